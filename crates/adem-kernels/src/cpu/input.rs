//! Activations on their way into products.

use crate::blocks::BLOCK;

/// Activations `[tokens, columns]`, prepared once for any number of products.
#[derive(Debug, Clone)]
pub(super) struct Input {
    tokens: usize,
    values: Values,
}

#[derive(Debug, Clone)]
pub(super) enum Values {
    /// Blocks of every token, filled up with zeros.
    Float(Vec<[f32; BLOCK]>),
    Int8(Vec<Codes>),
}

/// A block of activations as bytes; 64-byte aligned so that no load crosses a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Codes {
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    pub codes: [i8; BLOCK],
    /// Minus the sum of each four codes: what an offset of one in the weights adds to a lane.
    #[cfg(target_arch = "x86_64")]
    pub minus: [i32; BLOCK / 4],
    /// Columns 0, 2, .. 14, then 1, 3, .. 15, 16, 18, .. 30, 17, 19, .. 31.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    pub codes: [i16; BLOCK],
    pub scale: f32,
}

impl Input {
    /// Activations `[tokens, columns]` as they are: exact, and slower than [`Input::int8`].
    pub fn float(values: &[f32], columns: usize) -> Self {
        let values_of =
            |blocks: &mut dyn Iterator<Item = [f32; BLOCK]>| Values::Float(blocks.collect());
        Self::new(values, columns, values_of)
    }

    /// Activations rounded to bytes, each block of 32 columns with a scale of its own: its largest
    /// magnitude over 127. No activation moves by more than half its block's scale.
    pub fn int8(values: &[f32], columns: usize) -> Self {
        Self::new(values, columns, |blocks| {
            Values::Int8(blocks.map(|block| Codes::new(&block)).collect())
        })
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    fn new(
        values: &[f32],
        columns: usize,
        prepare: impl FnOnce(&mut dyn Iterator<Item = [f32; BLOCK]>) -> Values,
    ) -> Self {
        let mut blocks = values
            .chunks_exact(columns)
            .flat_map(|token| token.chunks(BLOCK))
            .map(|part| {
                let mut block = [0.0; BLOCK];
                block[..part.len()].copy_from_slice(part);
                block
            });
        Self {
            tokens: values.len() / columns,
            values: prepare(&mut blocks),
        }
    }
}

impl Codes {
    fn new(block: &[f32; BLOCK]) -> Self {
        /// Leaves no bit for a fraction when added: rounds to nearest even.
        const NO_FRACTION: f32 = 12_582_912.0;
        let (mut peak, mut poison) = (0f32, 0f32);
        for value in block {
            peak = peak.max(value.abs());
            // NaN where the value is NaN or infinite.
            poison += value * 0.0;
        }
        let mut inverse = 127.0 / peak;
        // Activations of 1e-37 and less are nothing.
        if !inverse.is_finite() {
            inverse = 0.0;
        }
        let mut codes = [0i8; BLOCK];
        for (code, value) in codes.iter_mut().zip(block) {
            let rounded = (value * inverse).clamp(-127.0, 127.0) + NO_FRACTION;
            // The integer is in the low bits of the sum.
            *code = rounded.to_bits() as i8;
        }
        Self::of(codes, peak / 127.0 + poison)
    }

    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    fn of(codes: [i8; BLOCK], scale: f32) -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            minus: std::array::from_fn(|quad| {
                -(0..4).map(|i| i32::from(codes[4 * quad + i])).sum::<i32>()
            }),
            codes,
            scale,
        }
    }

    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    fn of(codes: [i8; BLOCK], scale: f32) -> Self {
        Self {
            codes: std::array::from_fn(|i| {
                let (half, odd, pair) = (i / 16, (i / 8) % 2, i % 8);
                i16::from(codes[16 * half + 2 * pair + odd])
            }),
            scale,
        }
    }
}
