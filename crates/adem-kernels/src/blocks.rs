//! Packed weights as they lie in memory.

use burn::tensor::f16;

use crate::variant::Format;

/// Numbers of a row that share a scale.
pub const BLOCK: usize = 32;

/// How many bits a code has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Four.
    Q4,
    /// Eight.
    Q8,
}

impl Scheme {
    /// Words of one block.
    pub fn words(self) -> usize {
        match self {
            Self::Q4 => 4,
            Self::Q8 => 8,
        }
    }

    /// `q4` or `q8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Q4 => "q4",
            Self::Q8 => "q8",
        }
    }
}

impl From<Scheme> for Format {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Q4 => Self::Q4,
            Scheme::Q8 => Self::Q8,
        }
    }
}

/// One scale a block, row after row.
#[derive(Debug, Clone, PartialEq)]
pub enum Scales {
    /// f32, `rows * blocks` of them.
    Single(Vec<f32>),
    /// Halves packed in u32, low half first; an odd number of them is filled up.
    Half(Vec<u32>),
}

impl Scales {
    /// `count` scales in single precision.
    pub(crate) fn into_single(self, count: usize) -> Vec<f32> {
        match self {
            Self::Single(scales) => scales,
            Self::Half(words) => {
                let halves = words.into_iter().flat_map(halves);
                halves.take(count).collect()
            }
        }
    }
}

/// The two halves of a word.
fn halves(word: u32) -> [f32; 2] {
    [word as u16, (word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32())
}

/// A weight matrix `[rows, columns]` in blocks: rows are filled up to whole blocks of [`BLOCK`]
/// columns, codes are two's complement, a weight is code times scale.
///
/// * [`Q8`](Scheme::Q8): byte j of word w of a block is column 4w + j.
/// * [`Q4`](Scheme::Q4): byte j of word w of a block holds column 4w + j in its low nibble and
///   column 16 + 4w + j in its high one.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    pub(crate) scheme: Scheme,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) words: Vec<u32>,
    pub(crate) scales: Scales,
}

/// Codes and scales that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlocksError {
    /// A matrix without rows or columns.
    #[error("a {rows} x {columns} matrix has no blocks")]
    Empty {
        /// Outputs.
        rows: usize,
        /// Inputs.
        columns: usize,
    },
    /// Too few or too many codes or scales.
    #[error("{what}: {found} words where a {rows} x {columns} matrix has {expected}")]
    Length {
        /// `codes` or `scales`.
        what: &'static str,
        /// Outputs.
        rows: usize,
        /// Inputs.
        columns: usize,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

impl Blocks {
    /// The matrix of these codes and scales.
    ///
    /// # Errors
    /// Where sizes and lengths do not fit together.
    pub fn new(
        scheme: Scheme,
        [rows, columns]: [usize; 2],
        words: Vec<u32>,
        scales: Scales,
    ) -> Result<Self, BlocksError> {
        if rows == 0 || columns == 0 {
            return Err(BlocksError::Empty { rows, columns });
        }
        let length = |what, expected, found| match expected == found {
            true => Ok(()),
            false => Err(BlocksError::Length {
                what,
                rows,
                columns,
                expected,
                found,
            }),
        };
        let blocks = rows.saturating_mul(columns.div_ceil(BLOCK));
        let expected = blocks.saturating_mul(scheme.words());
        length("codes", expected, words.len())?;
        match &scales {
            Scales::Single(s) => length("scales", blocks, s.len())?,
            Scales::Half(s) => length("scales", blocks.div_ceil(2), s.len())?,
        }
        Ok(Self {
            scheme,
            rows,
            columns,
            words,
            scales,
        })
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }
}

/// The codes of a q4 block.
#[inline(always)]
pub(crate) fn unpack4(words: &[u32; 4]) -> [i8; BLOCK] {
    let bytes: [i8; BLOCK / 2] = bytemuck::cast(words.map(u32::to_le));
    let mut codes = [0; BLOCK];
    let (low, high) = codes.split_at_mut(BLOCK / 2);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        *low = byte << 4 >> 4;
        *high = byte >> 4;
    }
    codes
}

/// The codes of a q8 block.
#[inline(always)]
pub(crate) fn unpack8(words: &[u32; 8]) -> [i8; BLOCK] {
    bytemuck::cast(words.map(u32::to_le))
}

/// The codes of a block; `words` are [`Scheme::words`] many.
pub(crate) fn unpack(scheme: Scheme, words: &[u32]) -> [i8; BLOCK] {
    match (scheme, words.first_chunk(), words.first_chunk()) {
        (Scheme::Q4, Some(words), _) => unpack4(words),
        (Scheme::Q8, _, Some(words)) => unpack8(words),
        _ => [0; BLOCK],
    }
}

/// Appends the `columns` weights of one row.
pub(crate) fn unpack_row(
    scheme: Scheme,
    words: &[u32],
    scales: &[f32],
    columns: usize,
    values: &mut Vec<f32>,
) {
    let blocks = words.chunks_exact(scheme.words()).zip(scales);
    for (index, (words, scale)) in blocks.enumerate() {
        let block = unpack(scheme, words).map(|code| f32::from(code) * scale);
        let within = BLOCK.min(columns - index * BLOCK);
        values.extend_from_slice(&block[..within]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_written_out_by_hand() {
        // Word 0: columns 0..4 low, 16..20 high; word 3: columns 12..16 low, 28..32 high.
        let four = unpack4(&[0x8700_0f21, 0x0000_0008, 0, 0xd000_0000]);
        let eight = unpack8(&[
            0x0700_ff01,
            0x0000_00f8,
            0,
            0,
            0xf800_0002,
            0,
            0,
            0xfd00_0000,
        ]);
        let mut codes = [0i8; BLOCK];
        for (column, code) in [
            (0, 1),
            (1, -1),
            (3, 7),
            (4, -8),
            (16, 2),
            (19, -8),
            (31, -3),
        ] {
            codes[column] = code;
        }
        assert_eq!(four, codes);
        assert_eq!(eight, codes);
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let q4 = |shape, words, scales| Blocks::new(Scheme::Q4, shape, vec![0; words], scales);
        assert!(q4([2, 40], 16, Scales::Single(vec![1.0; 4])).is_ok());
        assert!(q4([2, 40], 15, Scales::Single(vec![1.0; 4])).is_err());
        assert!(q4([2, 40], 16, Scales::Half(vec![0; 1])).is_err());
        assert!(q4([3, 32], 12, Scales::Half(vec![0; 2])).is_ok());
        assert!(q4([0, 32], 0, Scales::Single(Vec::new())).is_err());
    }
}
