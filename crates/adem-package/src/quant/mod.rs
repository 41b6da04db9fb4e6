//! Block-quantised weights: the layout in memory and on disk, and how it is made and read.
//!
//! A weight of shape `[out, in, ..]` is a matrix of `rows = out` and `cols`, the product of the
//! other dimensions. Each row is cut into blocks of [`BLOCK`] = 32 columns; the last block is
//! filled up with zeros, so a row takes `in_padded = 32 * ceil(cols / 32)` columns in memory. A
//! block is 32 signed integers `c`, the codes, and one float `s`, the scale, which may be
//! negative; the weight is `c * s`. There is no offset. In a package the weight `name` is two
//! tensors of the same shard:
//!
//! | tensor | type | shape | |
//! |---|---|---|---|
//! | `name.q` | U32, little-endian | `[rows, in_padded / 8]` (q4), `[rows, in_padded / 4]` (q8) | codes, row after row |
//! | `name.scale` | F16 or F32 | `[rows, in_padded / 32]` | scales, row after row |
//!
//! Each starts at a multiple of its element's size in the file and can be bound to a GPU alone.
//! A q4 block is 4 words (one `vec4<u32>`), a q8 block 8 words. Where a row's F16 scales are read
//! as words, scale number `i` of the whole tensor is the half `i & 1` of word `i >> 1`, low half
//! first; an odd number of them is followed by two zero bytes in the GPU's buffer
//! ([`QuantView::scale_words`]).
//!
//! **q8.** Byte `j` (bits `8j..8j+8`) of a block's word `k` is the two's complement code of column
//! `4k + j`. Codes are written in -127..=127, so that the range is symmetric and `|c|` fits seven
//! bits, which byte products without saturation need; a reader takes -128 as it stands.
//! `unpack4xI8(word)` is the codes of four consecutive columns, and `word` an operand of
//! `dot4I8Packed`.
//!
//! **q4.** Byte `j` of a block's word `k` holds two codes in two's complement: the low nibble is
//! column `4k + j`, the high nibble column `16 + 4k + j`. So a block's 16 bytes are the columns
//! 0..16 in their low nibbles and 16..32 in their high ones, and each word serves two aligned
//! quads of activations. Codes are -8..=7: all sixteen are used, because a scale of either sign
//! lets the block's largest weight, whichever sign it has, sit at -8. `unpack4xI8((word & 0x0f0f0f0f)
//! << 4)` and `unpack4xI8(word & 0xf0f0f0f0)` are sixteen times the codes, exactly.
//!
//! Codes of padding are 0. A kernel may multiply them with whatever finite values follow the
//! activations, but not with NaN or infinity.
//!
//! **Rounding.** `c = w / s` in f32, clamped to the range, to the nearest integer, ties to even,
//! with `s` as stored. The baseline, [`Method::Rtn`], takes `s` = largest `|w|` of the block over 7
//! or 127, rounded to the scale's type, upwards where that is needed to keep every
//! `|w - c * s| <= s / 2`. [`Method::Search`] takes the scale of least squared error among many and
//! never a worse one than the baseline's. Where it is known what activations a weight meets, errors
//! are weighted by it, and columns may make up for one another's ([`Importance`]).

mod choose;
#[cfg(not(target_arch = "wasm32"))]
mod convert;
mod encode;
mod feedback;
mod manifest;
mod pack;
#[cfg(not(target_arch = "wasm32"))]
mod report;
#[cfg(not(target_arch = "wasm32"))]
mod rule;
mod view;

use serde::{Deserialize, Serialize};

use crate::dtype::Dtype;

#[cfg(not(target_arch = "wasm32"))]
pub use convert::{Activations, QuantProgress, QuantizeOptions, quantize};
pub use encode::{Blocks, EncodeError, Errors, Importance, Recipe, encode};
pub use feedback::Feedback;
pub(crate) use manifest::{Part, SCALE_SUFFIX, WORDS_SUFFIX};
pub use manifest::{QuantTensor, Quantisation};
#[cfg(not(target_arch = "wasm32"))]
pub use report::{QuantReport, TensorReport};
#[cfg(not(target_arch = "wasm32"))]
pub use rule::Kept;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use rule::kept;
#[cfg(not(target_arch = "wasm32"))]
pub use rule::matches;
pub use view::QuantView;

/// Columns of one block.
pub const BLOCK: usize = 32;

/// How many bits a code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Four bits, -8..=7.
    Q4,
    /// Eight bits, -127..=127.
    Q8,
}

impl Scheme {
    /// Its name in manifests and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4 => "q4",
            Self::Q8 => "q8",
        }
    }

    /// Words of one block.
    pub fn words(self) -> usize {
        match self {
            Self::Q4 => 4,
            Self::Q8 => 8,
        }
    }

    /// The codes written: lowest and highest.
    pub fn range(self) -> (i8, i8) {
        match self {
            Self::Q4 => (-8, 7),
            Self::Q8 => (-127, 127),
        }
    }

    /// Largest magnitude of a code a reader can meet.
    pub(crate) fn reach(self) -> f32 {
        match self {
            Self::Q4 => 8.0,
            Self::Q8 => 128.0,
        }
    }
}

/// Type of the scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScaleType {
    /// Half precision: 0.5 bits a weight.
    #[default]
    F16,
    /// Single precision: 1 bit a weight.
    F32,
}

impl ScaleType {
    /// The scales' element type.
    pub fn dtype(self) -> Dtype {
        match self {
            Self::F16 => Dtype::F16,
            Self::F32 => Dtype::F32,
        }
    }
}

/// How a block's scale is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// From the block's largest weight.
    Rtn,
    /// By search for the least squared error.
    #[default]
    Search,
}

/// Size of a weight as a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Outputs: the first dimension.
    pub rows: usize,
    /// Inputs: the product of the other dimensions.
    pub cols: usize,
}

impl Geometry {
    /// The matrix that a weight of this shape is; `None` for fewer than two dimensions, for an
    /// empty one and for one too large to be counted in bytes.
    pub fn of(shape: &[usize]) -> Option<Self> {
        let (&rows, rest) = shape.split_first()?;
        let cols = rest.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim))?;
        if rest.is_empty() || rows == 0 || cols == 0 {
            return None;
        }
        let padded = cols.checked_next_multiple_of(BLOCK)?;
        rows.checked_mul(padded)?.checked_mul(size_of::<f32>())?;
        Some(Self { rows, cols })
    }

    /// Blocks of one row.
    pub fn blocks(self) -> usize {
        self.cols.div_ceil(BLOCK)
    }

    /// Columns of one row with its padding.
    pub fn padded(self) -> usize {
        self.blocks() * BLOCK
    }

    /// Words of one row.
    pub fn row_words(self, scheme: Scheme) -> usize {
        self.blocks() * scheme.words()
    }
}
