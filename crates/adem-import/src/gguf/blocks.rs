//! GGUF's blocks as single precision (ggml, `ggml-quants.c`: `dequantize_row_*`), and those that are
//! blocks of a package as they stand.

use half::f16;

/// 32 weights `d * (code - 8)`: `d` in half precision, then 16 bytes of two codes each, the low
/// nibbles columns 0..16, the high ones 16..32.
pub(crate) fn q4_0(bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len() / 18 * 32);
    for block in bytes.as_chunks::<18>().0 {
        let d = half(block, 0);
        let codes = &block[2..];
        let low = codes.iter().map(|byte| byte & 0xf);
        let all = low.chain(codes.iter().map(|byte| byte >> 4));
        values.extend(all.map(|code| (f32::from(code) - 8.0) * d));
    }
    values
}

/// 32 weights `d * code`: `d` in half precision, then 32 signed codes.
pub(crate) fn q8_0(bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len() / 34 * 32);
    for block in bytes.as_chunks::<34>().0 {
        let d = half(block, 0);
        values.extend(block[2..].iter().map(|code| f32::from(*code as i8) * d));
    }
    values
}

/// 256 weights in eight groups of 32, `d * scale * code - dmin * minimum`: `d` and `dmin` in half
/// precision, twelve bytes of scales and minima in six bits, 128 bytes of two codes each.
pub(crate) fn q4_k(bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len() / 144 * 256);
    for block in bytes.as_chunks::<144>().0 {
        let (d, d_min) = (half(block, 0), half(block, 2));
        let (scales, codes) = (&block[4..16], &block[16..]);
        for (pair, codes) in codes.chunks_exact(32).enumerate() {
            for (half, shift) in [0, 4].into_iter().enumerate() {
                let (scale, minimum) = scale_and_minimum(scales, 2 * pair + half);
                let (scale, minimum) = (d * f32::from(scale), d_min * f32::from(minimum));
                let code = |byte: &u8| f32::from((byte >> shift) & 0xf);
                values.extend(codes.iter().map(|byte| scale * code(byte) - minimum));
            }
        }
    }
    values
}

/// The six-bit scale and minimum of one of eight groups.
fn scale_and_minimum(scales: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        return (scales[group] & 63, scales[group + 4] & 63);
    }
    let low = scales[group + 4];
    (
        (low & 0xf) | ((scales[group - 4] >> 6) << 4),
        (low >> 4) | ((scales[group] >> 6) << 4),
    )
}

/// 256 weights in sixteen groups of 16, `d * scale * (code - 32)`: 128 bytes of the codes' low four
/// bits, 64 of their high two, sixteen signed scales, `d` in half precision.
pub(crate) fn q6_k(bytes: &[u8]) -> Vec<f32> {
    let mut values = Vec::with_capacity(bytes.len() / 210 * 256);
    for block in bytes.as_chunks::<210>().0 {
        let d = half(block, 208);
        for (part, low) in block[..128].chunks_exact(64).enumerate() {
            let high = &block[128 + 32 * part..][..32];
            let scales = &block[192 + 8 * part..][..8];
            for quarter in 0..4 {
                let nibbles = &low[32 * (quarter % 2)..][..32];
                for (column, (low, high)) in nibbles.iter().zip(high).enumerate() {
                    let low = (low >> (4 * (quarter / 2))) & 0xf;
                    let code = low | (((high >> (2 * quarter)) & 3) << 4);
                    let scale = f32::from(scales[2 * quarter + column / 16] as i8);
                    values.push(d * scale * (f32::from(code) - 32.0));
                }
            }
        }
    }
    values
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Codes and scales as a package stores them.
pub(crate) struct Stored {
    /// Words, little-endian.
    pub words: Vec<u8>,
    /// Half precision, little-endian.
    pub scales: Vec<u8>,
}

/// Q4_0 as q4: the nibbles stand where the package has them, 8 too large each.
pub(crate) fn q4_0_stored(bytes: &[u8]) -> Stored {
    stored(bytes.as_chunks::<18>().0, |code| code ^ 0x88)
}

/// Q8_0 as q8: the codes as they are.
pub(crate) fn q8_0_stored(bytes: &[u8]) -> Stored {
    stored(bytes.as_chunks::<34>().0, |code| code)
}

fn stored<const N: usize>(blocks: &[[u8; N]], code: impl Fn(u8) -> u8) -> Stored {
    let mut all = Stored {
        words: Vec::with_capacity(blocks.len() * (N - 2)),
        scales: Vec::with_capacity(blocks.len() * 2),
    };
    for block in blocks {
        all.scales.extend(&block[..2]);
        all.words.extend(block[2..].iter().map(|byte| code(*byte)));
    }
    all
}
