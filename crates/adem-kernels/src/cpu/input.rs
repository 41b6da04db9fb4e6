//! Activations on their way into products.

use crate::blocks::BLOCK;

/// Activations `[tokens, columns]` in blocks filled up with zeros, prepared once for all rows of
/// weights.
#[derive(Debug, Clone)]
pub(super) struct Input {
    tokens: usize,
    blocks: Vec<[f32; BLOCK]>,
}

impl Input {
    /// Activations `[tokens, columns]`.
    pub fn new(values: &[f32], columns: usize) -> Self {
        let parts = values
            .chunks_exact(columns)
            .flat_map(|token| token.chunks(BLOCK));
        let filled = |part: &[f32]| {
            let mut block = [0.0; BLOCK];
            block[..part.len()].copy_from_slice(part);
            block
        };
        Self {
            tokens: values.len() / columns,
            blocks: parts.map(filled).collect(),
        }
    }

    /// Rows.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Blocks of every row, one row after another.
    pub fn blocks(&self) -> &[[f32; BLOCK]] {
        &self.blocks
    }
}
