//! Products with quantised weights on the processor: `Y = X W^T` for one row of activations
//! (decoding) or many (prefill, vision).
//!
//! Weights stay packed. Activations are either floats as given, or quantised on the way in to
//! bytes with one scale per 32 columns ([`Input::int8`]), which
//! turns a block's 32 products into a few integer instructions. Block sums are exact in `i32`
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

use super::view::decode_row;
use super::{BLOCK, Geometry, QuantView, Scheme};
pub use bench::{Figure, Shape, bench};
pub use input::Input;
use input::{Codes, Values};

/// Rows computed together, so that activations are read once for all of them.
const TILE: usize = 4;
/// Rows of activations from which a tile of weights is unpacked once for all of them.
const UNPACK_FROM: usize = 4;
/// Products a thread should have to do; fewer are not worth handing out.
#[cfg(not(target_arch = "wasm32"))]
const THREAD_WORK: usize = 1 << 18;

/// What does not fit in a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {found} where the product needs {expected}")]
pub struct Mismatch {
    /// Of what there are too many or too few.
    pub what: &'static str,
    /// How many are needed.
    pub expected: usize,
    /// How many there are.
    pub found: usize,
}

impl Mismatch {
    fn check(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found {
            return Ok(());
        }
        Err(Self {
            what,
            expected,
            found,
        })
    }
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

/// A quantised weight ready for products: codes as they are, scales in single precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    scheme: Scheme,
    geometry: Geometry,
    words: Vec<u32>,
    scales: Vec<f32>,
}

/// Some rows of a matrix.
#[derive(Clone, Copy)]
struct Rows<'a> {
    scheme: Scheme,
    blocks: usize,
    words: &'a [u32],
    scales: &'a [f32],
}

impl From<&QuantView<'_>> for Matrix {
    fn from(view: &QuantView<'_>) -> Self {
        Self {
            scheme: view.scheme(),
            geometry: view.geometry(),
            words: view.words().into_owned(),
            scales: view.scales(),
        }
    }
}

impl Matrix {
    /// A matrix of these codes, `[rows, Geometry::row_words]`, and scales, `[rows, blocks]`.
    ///
    /// # Errors
    /// [`Mismatch`], where one has another length.
    pub fn new(
        scheme: Scheme,
        geometry: Geometry,
        words: Vec<u32>,
        scales: Vec<f32>,
    ) -> Result<Self, Mismatch> {
        let rows = geometry.rows;
        Mismatch::check("words", rows * geometry.row_words(scheme), words.len())?;
        Mismatch::check("scales", rows * geometry.blocks(), scales.len())?;
        Ok(Self {
            scheme,
            geometry,
            words,
            scales,
        })
    }

    /// Rows and columns.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Bits of a code.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Bytes a product reads: codes and scales.
    pub fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice()) + size_of_val(self.scales.as_slice())
    }

    /// The weights of one row, `[cols]`: a token's embedding. `None` where there is no such row.
    pub fn row(&self, row: usize) -> Option<Vec<f32>> {
        if row >= self.geometry.rows {
            return None;
        }
        let (words, blocks) = (self.geometry.row_words(self.scheme), self.geometry.blocks());
        let mut values = Vec::with_capacity(self.geometry.cols);
        decode_row(
            self.scheme,
            &self.words[row * words..][..words],
            &self.scales[row * blocks..][..blocks],
            self.geometry.cols,
            &mut values,
        );
        Some(values)
    }

    /// `y = X W^T`: activations `[tokens, cols]` to outputs `[tokens, rows]`, which are
    /// overwritten. NaN or infinity in a row of activations makes its outputs NaN or infinite.
    ///
    /// # Errors
    /// [`Mismatch`], where the sizes do not fit.
    pub fn multiply(&self, x: &Input, y: &mut [f32]) -> Result<(), Mismatch> {
        self.multiply_at(Level::best(), x, y)
    }

    fn multiply_at(&self, level: Level, x: &Input, y: &mut [f32]) -> Result<(), Mismatch> {
        let Geometry { rows, cols } = self.geometry;
        let tokens = x.tokens();
        Mismatch::check("columns of the activations", cols, x.cols())?;
        Mismatch::check("outputs", tokens * rows, y.len())?;
        match tokens {
            0 => {}
            1 => self.by_rows(level, x, y),
            _ => {
                let mut turned = vec![0.0; y.len()];
                self.by_rows(level, x, &mut turned);
                for (row, outputs) in turned.chunks_exact(tokens).enumerate() {
                    for (token, output) in outputs.iter().enumerate() {
                        y[token * rows + row] = *output;
                    }
                }
            }
        }
        Ok(())
    }

    /// Outputs `[rows, tokens]`.
    fn by_rows(&self, level: Level, x: &Input, out: &mut [f32]) {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let work = out.len() * self.geometry.padded();
            let threads = rayon::current_num_threads().min(work / THREAD_WORK);
            if threads > 1 {
                // More parts than threads even out threads that are held up.
                let rows = self.geometry.rows.div_ceil(4 * threads);
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
        let (words, blocks) = (self.geometry.row_words(self.scheme), self.geometry.blocks());
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
