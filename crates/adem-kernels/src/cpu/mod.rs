//! Products with fixed weights on the processor: `Y = X W^T` for one row of activations (decoding)
//! or many (prefill, vision), and what a vision encoder does between them.
//!
//! Quantised weights meet activations in 16-bit fixed point with one scale per 32 columns
//! ([`fixed`]), which makes half as many instructions of a product as floats would: packed as they
//! are where there are few rows of activations ([`walk`]), put beside one another for many.
//!
//! Which instructions: AVX-512 VNNI or AVX2 where the processor has them, looked up at run time;
//! SIMD128 in WebAssembly built for it; otherwise plain Rust that the compiler turns into vectors.
//! Results of the variants differ by the order in which sums are added, no more.
//!
//! Natively large products are spread over the threads of the current `rayon` pool.

mod attention;
mod bench;
mod dense;
mod fixed;
mod four;
mod host;
mod pointwise;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
mod rows;
mod walk;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

use crate::blocks::Scheme;
pub(crate) use attention::self_attention;
pub use bench::{Figure, Shape, bench};
use fixed::Fixed;
pub(crate) use host::HostMatrix;
pub(crate) use pointwise::{gelu, quick_gelu, silu, softmax};
pub(crate) use rows::{
    Turned, cross_attention, layer_norm, mask, products, rms_norm, smallest, times,
};

/// The instructions that products with packed weights use on this processor.
pub fn level() -> &'static str {
    Level::best().name()
}

/// Instructions for the inner loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    /// What every processor of the target has.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
}

impl Level {
    /// Most rows of weights that any level computes together.
    const ROWS: usize = 16 * fixed::GROUPS;

    /// The level that is always there.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    const BASE: Self = Self::Portable;
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    const BASE: Self = Self::Simd128;

    /// The levels of this processor, best first.
    fn available() -> impl Iterator<Item = Self> {
        let all = [
            #[cfg(target_arch = "x86_64")]
            x86::has_avx512().then_some(Self::Avx512),
            #[cfg(target_arch = "x86_64")]
            x86::has_avx2().then_some(Self::Avx2),
            Some(Self::BASE),
        ];
        all.into_iter().flatten()
    }

    fn best() -> Self {
        Self::available().next().unwrap_or(Self::BASE)
    }

    /// Packed weights times many rows of activations: to one row of outputs each.
    fn many(self, part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => portable::many(part, x, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => x86::many(self == Self::Avx512, part, x, out),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => wasm::many(part, x, out),
        }
    }

    /// Packed weights times few rows of activations, which are [`Fixed::dealt`] for q4: outputs
    /// `[rows, tokens]`.
    fn few(self, part: Rows<'_>, x: &Fixed, out: &mut [f32]) {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => portable::few(part, x, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => x86::few(self == Self::Avx512, part, x, out),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => wasm::few(part, x, out),
        }
    }

    /// `out[i][j] = a_i . b_j` for rows of `k` floats.
    fn dense(self, a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => portable::dense(a, b, k, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => x86::dense(self == Self::Avx512, a, b, k, out),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => wasm::dense(a, b, k, out),
        }
    }

    fn name(self) -> &'static str {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512 VNNI",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => "SIMD128",
        }
    }
}

/// Some rows of a matrix.
#[derive(Clone, Copy)]
struct Rows<'a> {
    scheme: Scheme,
    blocks: usize,
    words: &'a [u32],
    scales: &'a [f32],
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
