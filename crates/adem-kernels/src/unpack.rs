//! Codes and scales to floats by arithmetic on the device, in Burn's own operations.

use burn::tensor::{DType, Int, Tensor};

use crate::blocks::{BLOCK, Scheme};

/// Codes `[n, words a row]` times scales `[n, blocks]`, `[n, columns]`.
pub(crate) fn unpacked(
    scheme: Scheme,
    words: Tensor<2, Int>,
    scales: Tensor<2>,
    columns: usize,
) -> Tensor<2> {
    let [rows, blocks] = scales.dims();
    let bits = match scheme {
        Scheme::Q4 => 4,
        Scheme::Q8 => 8,
    };
    let per_word = 32 / bits;
    let top = 1i64 << bits;
    let words = words.reshape([rows, blocks, BLOCK / per_word]);
    // Code number i of every word, as floats.
    let code = |i: usize| {
        let code = words
            .clone()
            .bitwise_right_shift_scalar((i * bits) as i64)
            .bitwise_and_scalar(top - 1)
            .float();
        let negative = code.clone().greater_equal_scalar((top / 2) as f32).float();
        code - negative * top as f32
    };
    let part = |first: usize, step: usize| {
        let codes = (0..4).map(|j| code(first + step * j)).collect();
        Tensor::stack::<4>(codes, 3)
    };
    let codes = match scheme {
        Scheme::Q4 => {
            let halves = [part(0, 2), part(1, 2)].map(|t| t.reshape([rows, blocks, 16]));
            Tensor::cat(halves.to_vec(), 2)
        }
        Scheme::Q8 => part(0, 1).reshape([rows, blocks, BLOCK]),
    };
    (codes * scales.reshape([rows, blocks, 1]))
        .reshape([rows, blocks * BLOCK])
        .narrow(1, 0, columns)
}

/// Both halves of each word as floats, by arithmetic on the device.
pub(crate) fn halves(words: Tensor<1, Int>) -> Tensor<1> {
    let count = words.dims()[0];
    let half = |shift: i64| {
        words
            .clone()
            .bitwise_right_shift_scalar(shift)
            .bitwise_and_scalar(0xffff)
    };
    let bits: Tensor<2, Int> = Tensor::stack(vec![half(0), half(16)], 1);
    single(bits.reshape([2 * count]))
}

/// Scales of the rows `ids` of a matrix of `blocks` blocks a row, `[ids, blocks]`.
pub(crate) fn scales_of(words: &Tensor<1, Int>, ids: Tensor<1, Int>, blocks: usize) -> Tensor<2> {
    let (count, device) = (ids.dims()[0], ids.device());
    let within = Tensor::<1, Int>::arange(0..blocks as i64, &device).reshape([1, blocks]);
    let place: Tensor<1, Int> =
        (ids.reshape([count, 1]) * blocks as i64 + within).reshape([count * blocks]);
    let shift = (place.clone().bitwise_and_scalar(1) * 16).cast(DType::U32);
    let word = words.clone().select(0, place.bitwise_right_shift_scalar(1));
    single(word.bitwise_right_shift(shift).bitwise_and_scalar(0xffff)).reshape([count, blocks])
}

/// Halves, their bits in the low half of each word, as floats.
fn single(bits: Tensor<1, Int>) -> Tensor<1> {
    let exponent = bits
        .clone()
        .bitwise_right_shift_scalar(10)
        .bitwise_and_scalar(31);
    let fraction = bits.clone().bitwise_and_scalar(1023).float() / 1024.0;
    let sign = bits.bitwise_right_shift_scalar(15).float() * -2.0 + 1.0;
    // A subnormal number has no leading one and the exponent of the smallest normal one.
    let normal = exponent.clone().greater_equal_scalar(1).float();
    let powers: Vec<f32> = (0..32).map(|e: i32| 2f32.powi(e.max(1) - 15)).collect();
    let power = Tensor::<1>::from_floats(powers.as_slice(), &fraction.device())
        .select(0, exponent.cast(DType::I32));
    sign * (fraction + normal) * power
}
