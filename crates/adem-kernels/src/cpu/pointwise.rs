//! Exponentials of many numbers at once.
//!
//! Plain Rust that the compiler turns into vectors: a library's exponential is a call a number.

/// `e^x` within three units in the last place, for x in -87..88 and as at those ends beyond; NaN of
/// NaN. Cody and Waite's reduction, then the polynomial of Cephes' `expf`.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Leaves no bit for a fraction when added, and the integer in the low bits of the sum.
    const NO_FRACTION: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + NO_FRACTION;
    let n = shifted - NO_FRACTION;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        p = p * r + c;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()));
    (p * r * r + r + 1.0) * power
}

/// `x * sigmoid(1.702 x)`, in place.
pub(crate) fn quick_gelu(values: &mut [f32]) {
    for x in values {
        *x /= 1.0 + exp(-1.702 * *x);
    }
}

/// `x * sigmoid(x)`, in place.
pub(crate) fn silu(values: &mut [f32]) {
    for x in values {
        *x /= 1.0 + exp(-*x);
    }
}

/// `x * (1 + erf(x / sqrt 2)) / 2`, in place.
pub(crate) fn gelu(values: &mut [f32]) {
    for x in values {
        *x *= 0.5 + 0.5 * libm::erff(*x * std::f32::consts::FRAC_1_SQRT_2);
    }
}

/// The softmax of a row, in place.
pub(crate) fn softmax(row: &mut [f32]) {
    let most = row.iter().fold(f32::NEG_INFINITY, |m, x| m.max(*x));
    for x in &mut *row {
        *x = exp(*x - most);
    }
    let lanes = row.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for chunk in lanes.0 {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x;
        }
    }
    let inverse = 1.0 / (sums.iter().sum::<f32>() + lanes.1.iter().sum::<f32>());
    for x in row {
        *x *= inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_those_of_double_precision() {
        for i in -870..=880 {
            for fraction in 0..37 {
                let x = (i as f32 + fraction as f32 / 37.0) / 10.0;
                let want = f64::from(x.min(88.0)).exp();
                let off = (f64::from(exp(x)) - want).abs() / want;
                assert!(off < 3.0 * f64::from(f32::EPSILON), "e^{x}: off by {off:e}");
            }
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn a_softmax_of_large_numbers_is_one() {
        let mut row: Vec<f32> = (0..21).map(|i| 1e4 + (i as f32).sin()).collect();
        let want: Vec<f64> = row.iter().map(|x| f64::from(*x - 1e4).exp()).collect();
        let sum: f64 = want.iter().sum();
        softmax(&mut row);
        for (got, want) in row.iter().zip(want) {
            assert!((f64::from(*got) - want / sum).abs() < 1e-7);
        }
        let mut poisoned = [1.0, f32::NAN, 2.0];
        softmax(&mut poisoned);
        assert!(poisoned.iter().all(|x| x.is_nan()));
    }

    #[test]
    fn the_gate_is_open_above_and_closed_below() {
        let mut values = [-100.0, -1.0, 0.0, -0.0, 1.0, 100.0, f32::NAN];
        quick_gelu(&mut values);
        let sigmoid = 1.0 / (1.0 + (-1.702f32).exp());
        let want = [0.0, sigmoid - 1.0, 0.0, 0.0, sigmoid, 100.0];
        for (got, want) in values.iter().zip(want) {
            assert!((got - want).abs() < 1e-6, "{got} where {want} was expected");
        }
        assert!(values[6].is_nan());
    }
}
