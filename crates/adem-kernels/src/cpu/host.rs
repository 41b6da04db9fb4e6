//! A weight matrix in the program's own memory.

use std::borrow::Cow;
use std::ops::Range;

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use super::fixed::Fixed;
use super::{Level, Rows, dense};
use crate::blocks::{BLOCK, Scheme, unpack_row};
use crate::variant::Format;

/// Rows of activations for which packed weights are put beside one another.
const MANY: usize = 4;

/// A weight matrix ready for products.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HostMatrix {
    rows: usize,
    columns: usize,
    weights: Weights,
}

#[derive(Debug, Clone, PartialEq)]
enum Weights {
    /// `[rows, columns]`.
    Float(Vec<f32>),
    /// Codes as they are, scales in single precision.
    Packed {
        scheme: Scheme,
        words: Vec<u32>,
        scales: Vec<f32>,
    },
}

impl HostMatrix {
    /// A matrix of these values `[rows, columns]`, whose number the caller has checked.
    pub fn float([rows, columns]: [usize; 2], values: Vec<f32>) -> Self {
        Self {
            rows,
            columns,
            weights: Weights::Float(values),
        }
    }

    /// A matrix of these codes and scales, whose numbers the caller has checked.
    pub fn packed(
        scheme: Scheme,
        [rows, columns]: [usize; 2],
        words: Vec<u32>,
        scales: Vec<f32>,
    ) -> Self {
        Self {
            rows,
            columns,
            weights: Weights::Packed {
                scheme,
                words,
                scales,
            },
        }
    }

    /// How it is stored.
    pub fn format(&self) -> Format {
        match &self.weights {
            Weights::Float(_) => Format::Float,
            Weights::Packed { scheme, .. } => (*scheme).into(),
        }
    }

    /// Outputs.
    #[cfg(test)]
    pub fn rows(&self) -> usize {
        self.rows
    }

    fn blocks(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }

    /// Fixed a product reads.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Float(values) => size_of_val(values.as_slice()),
            Weights::Packed { words, scales, .. } => {
                size_of_val(words.as_slice()) + size_of_val(scales.as_slice())
            }
        }
    }

    /// Rows `range`, `[.., columns]`, of which there must be as many.
    pub fn floats(&self, range: Range<usize>) -> Cow<'_, [f32]> {
        match &self.weights {
            Weights::Float(values) => {
                Cow::Borrowed(&values[range.start * self.columns..range.end * self.columns])
            }
            Weights::Packed {
                scheme,
                words,
                scales,
            } => {
                let blocks = self.blocks();
                let mut values = Vec::with_capacity(range.len() * self.columns);
                let words = words.chunks_exact(blocks * scheme.words());
                let rows = words.zip(scales.chunks_exact(blocks));
                for (words, scales) in rows.skip(range.start).take(range.len()) {
                    unpack_row(*scheme, words, scales, self.columns, &mut values);
                }
                Cow::Owned(values)
            }
        }
    }

    /// `X W^T` of f32 activations `[tokens, columns]`, `[tokens, rows]`. With packed weights
    /// activations become fixed point (`cpu::fixed`). NaN or infinity in a row of activations makes
    /// its outputs NaN or infinite.
    pub fn times(&self, x: &[f32]) -> Vec<f32> {
        self.multiply(Level::best(), x, true)
    }

    /// [`times`](Self::times) with the instructions of `level`, over several threads where it is to
    /// be `spread` and worth it.
    pub(super) fn multiply(&self, level: Level, x: &[f32], spread: bool) -> Vec<f32> {
        let tokens = x.len() / self.columns;
        match self.weights {
            Weights::Packed { .. } if tokens < MANY => self.multiply_few(level, x, spread),
            Weights::Packed { .. } => self.multiply_many(level, x, spread),
            Weights::Float(_) => {
                let mut out = vec![0.0; tokens * self.rows];
                let weights = |range| self.floats(range);
                dense::product(level, x, self.columns, weights, &mut out, spread);
                out
            }
        }
    }

    /// [`multiply`](Self::multiply) of packed weights beside one another; floats give nothing.
    pub(super) fn multiply_many(&self, level: Level, x: &[f32], spread: bool) -> Vec<f32> {
        let x = Fixed::new(x, self.columns);
        let mut out = vec![0.0; x.tokens() * self.rows];
        let size = [self.rows, self.columns];
        dense::panels(size, Level::ROWS, &mut out, spread, |rows, out| {
            if let Some(part) = self.packed_rows(rows) {
                level.many(part, &x, out);
            }
        });
        out
    }

    /// [`multiply`](Self::multiply) of packed weights as they lie in memory; floats give nothing.
    pub(super) fn multiply_few(&self, level: Level, x: &[f32], spread: bool) -> Vec<f32> {
        let x = Fixed::new(x, self.columns);
        let x = match self.format() {
            Format::Q4 => x.dealt(),
            _ => x,
        };
        let tokens = x.tokens();
        let mut out = vec![0.0; tokens * self.rows];
        if tokens == 0 {
            return out;
        }
        self.by_rows(level, &x, &mut out, spread);
        if tokens == 1 {
            return out;
        }
        let mut turned = vec![0.0; out.len()];
        for (row, outputs) in out.chunks_exact(tokens).enumerate() {
            for (token, output) in outputs.iter().enumerate() {
                turned[token * self.rows + row] = *output;
            }
        }
        turned
    }

    /// Outputs `[rows, tokens]`.
    fn by_rows(&self, level: Level, x: &Fixed, out: &mut [f32], spread: bool) {
        #[cfg(not(target_arch = "wasm32"))]
        {
            // A packed weight is multiplied in a fraction of the time that a float comes from memory.
            let threads = dense::threads(out.len() * self.blocks() * BLOCK / 4);
            if spread && threads > 1 {
                // More parts than threads even out threads that are held up.
                let rows = self.rows.div_ceil(4 * threads);
                let rows = rows.next_multiple_of(super::walk::STREAMS);
                out.par_chunks_mut(rows * x.tokens())
                    .enumerate()
                    .for_each(|(part, out)| self.part(level, part * rows, x, out));
                return;
            }
        }
        let _ = spread;
        self.part(level, 0, x, out);
    }

    /// As many rows from `first` on as `out` has room for.
    fn part(&self, level: Level, first: usize, x: &Fixed, out: &mut [f32]) {
        let rows = out.len() / x.tokens();
        if let Some(part) = self.packed_rows(first..first + rows) {
            level.few(part, x, out);
        }
    }

    /// Rows `range` of packed weights.
    fn packed_rows(&self, range: Range<usize>) -> Option<Rows<'_>> {
        let Weights::Packed {
            scheme,
            words,
            scales,
        } = &self.weights
        else {
            return None;
        };
        let blocks = self.blocks();
        let row = blocks * scheme.words();
        Some(Rows {
            scheme: *scheme,
            blocks,
            words: &words[range.start * row..range.end * row],
            scales: &scales[range.start * blocks..range.end * blocks],
        })
    }
}
