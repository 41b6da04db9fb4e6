//! Products with quantised weights on the processor: `Y = X W^T` for one row of activations
//! (decoding) or many (prefill, vision).
//!
//! Weights stay packed. Activations are either floats as given, or quantised on the way in to
//! bytes with one scale per 32 columns, which turns a block's 32 products into a few integer
//! instructions. Block sums are exact in `i32`
//! then, and are scaled and added in `f32`. Which instructions: AVX-512 VNNI or AVX2 where the processor
//! has them, looked up at run time; SIMD128 in WebAssembly built for it; otherwise plain Rust
//! that the compiler turns into vectors. Results of the variants differ by the order in which
//! block sums are added, no more.
//!
//! Natively large products are spread over the threads of the current `rayon` pool.

mod bench;
mod input;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
mod unpack;
mod walk;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use crate::blocks::{BLOCK, Scheme, unpack_row};
pub use bench::{Figure, Shape, bench};
use input::{Codes, Input, Values};

/// The instructions that products with packed weights use on this processor.
pub fn level() -> &'static str {
    Level::best().name()
}

/// Rows computed together, so that activations are read once for all of them.
const TILE: usize = 4;
/// Rows of activations from which a tile of weights is unpacked once for all of them.
const UNPACK_FROM: usize = 4;
/// Products a thread should have to do; fewer are not worth handing out.
#[cfg(not(target_arch = "wasm32"))]
const THREAD_WORK: usize = 1 << 18;

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

    /// Packed weights times bytes: outputs `[rows, tokens]` of activations `[tokens, blocks]`.
    fn int8(self, part: Rows<'_>, x: &[Codes], out: &mut [f32]) {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => portable::int8(part, x, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => x86::int8(self == Self::Avx512, part, x, out),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => wasm::int8(part, x, out),
        }
    }

    /// Packed weights times floats, as [`Level::int8`].
    fn float(self, part: Rows<'_>, x: &[[f32; BLOCK]], out: &mut [f32]) {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => portable::float(part, x, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => x86::float(self == Self::Avx512, part, x, out),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => wasm::float(part, x, out),
        }
    }

    /// Plain weights `[rows, blocks]` times floats, as [`Level::int8`].
    fn dense(self, weights: &[[f32; BLOCK]], blocks: usize, x: &[[f32; BLOCK]], out: &mut [f32]) {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Self::Portable => portable::dense(weights, blocks, x, out),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 | Self::Avx512 => {
                x86::dense(self == Self::Avx512, weights, blocks, x, out);
            }
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => wasm::dense(weights, blocks, x, out),
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

/// A packed weight matrix ready for products: codes as they are, scales in single precision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostMatrix {
    scheme: Scheme,
    rows: usize,
    columns: usize,
    words: Vec<u32>,
    scales: Vec<f32>,
}

impl HostMatrix {
    /// A matrix of these codes and scales, whose numbers the caller has checked.
    pub fn of(
        scheme: Scheme,
        [rows, columns]: [usize; 2],
        words: Vec<u32>,
        scales: Vec<f32>,
    ) -> Self {
        Self {
            scheme,
            rows,
            columns,
            words,
            scales,
        }
    }

    /// Bits of a code.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    fn blocks(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }

    fn row_words(&self) -> usize {
        self.blocks() * self.scheme.words()
    }

    /// Bytes a product reads: codes and scales.
    fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) + size_of_val(self.scales.as_slice())
    }

    /// Appends the weights of one row; nothing where there is no such row.
    pub fn row(&self, row: usize, values: &mut Vec<f32>) {
        if row >= self.rows {
            return;
        }
        let (words, blocks) = (self.row_words(), self.blocks());
        unpack_row(
            self.scheme,
            &self.words[row * words..][..words],
            &self.scales[row * blocks..][..blocks],
            self.columns,
            values,
        );
    }

    /// All weights, `[rows, columns]`.
    pub fn unpacked(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.rows * self.columns);
        (0..self.rows).for_each(|row| self.row(row, &mut values));
        values
    }

    /// `X W^T` of f32 activations `[tokens, columns]`, `[tokens, rows]`. NaN or infinity in a row of
    /// activations makes its outputs NaN or infinite.
    pub fn times(&self, x: &[f32]) -> Vec<f32> {
        self.multiply(Level::best(), &Input::float(x, self.columns))
    }

    fn multiply(&self, level: Level, x: &Input) -> Vec<f32> {
        let tokens = x.tokens();
        let mut out = vec![0.0; tokens * self.rows];
        match tokens {
            0 => out,
            1 => {
                self.by_rows(level, x, &mut out);
                out
            }
            _ => {
                self.by_rows(level, x, &mut out);
                let mut turned = vec![0.0; out.len()];
                for (row, outputs) in out.chunks_exact(tokens).enumerate() {
                    for (token, output) in outputs.iter().enumerate() {
                        turned[token * self.rows + row] = *output;
                    }
                }
                turned
            }
        }
    }

    /// Outputs `[rows, tokens]`.
    fn by_rows(&self, level: Level, x: &Input, out: &mut [f32]) {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let work = out.len() * self.blocks() * BLOCK;
            let threads = rayon::current_num_threads().min(work / THREAD_WORK);
            if threads > 1 {
                // More parts than threads even out threads that are held up.
                let rows = self.rows.div_ceil(4 * threads);
                let rows = rows.next_multiple_of(TILE);
                out.par_chunks_mut(rows * x.tokens())
                    .enumerate()
                    .for_each(|(part, out)| self.part(level, part * rows, x, out));
                return;
            }
        }
        self.part(level, 0, x, out);
    }

    /// As many rows from `first` on as `out` has room for.
    fn part(&self, level: Level, first: usize, x: &Input, out: &mut [f32]) {
        let (words, blocks) = (self.row_words(), self.blocks());
        let rows = out.len() / x.tokens();
        let part = Rows {
            scheme: self.scheme,
            blocks,
            words: &self.words[first * words..][..rows * words],
            scales: &self.scales[first * blocks..][..rows * blocks],
        };
        match (x.values(), x.tokens() < UNPACK_FROM) {
            (Values::Int8(x), true) => level.int8(part, x, out),
            (Values::Int8(x), false) => unpack::int8(level, part, x, out),
            (Values::Float(x), true) => level.float(part, x, out),
            (Values::Float(x), false) => unpack::float(level, part, x, out),
        }
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests;
