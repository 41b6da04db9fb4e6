//! The loops around the inner ones.

use super::{Rows, TILE};

/// Rows of blocks, as an inner loop takes them.
pub(super) trait Weights: Copy {
    /// One block.
    type Block;

    /// Row `row` of rows of `blocks` blocks.
    fn row(self, row: usize, blocks: usize) -> Self;

    /// Block `block` of a row.
    fn block(self, block: usize) -> Self::Block;
}

/// Codes in `W` words a block, and scales.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a, const W: usize> {
    words: &'a [[u32; W]],
    scales: &'a [f32],
}

impl<'a, const W: usize> Packed<'a, W> {
    /// The rows of `part`, whose scheme has `W` words a block.
    #[inline(always)]
    pub fn new(part: Rows<'a>) -> Self {
        Self {
            words: part.words.as_chunks().0,
            scales: part.scales,
        }
    }
}

impl<'a, const W: usize> Weights for Packed<'a, W> {
    type Block = (&'a [u32; W], f32);

    #[inline(always)]
    fn row(self, row: usize, blocks: usize) -> Self {
        let span = row * blocks..(row + 1) * blocks;
        Self {
            words: &self.words[span.clone()],
            scales: &self.scales[span],
        }
    }

    #[inline(always)]
    fn block(self, block: usize) -> Self::Block {
        (&self.words[block], self.scales[block])
    }
}

/// Products of rows of `blocks` blocks with activations `[tokens, blocks]`, as many rows as `out`,
/// `[rows, tokens]`, has room for: `step(sum, weights, activations)` adds a block to a sum that
/// begins as `zero`, and `finish` makes a sum an output. Inlined with its closures into functions
/// that switch instructions on, which they then use.
#[inline(always)]
pub(super) fn walk<W: Weights, X, A: Copy>(
    weights: W,
    blocks: usize,
    x: &[X],
    out: &mut [f32],
    zero: A,
    step: impl Fn(A, W::Block, &X) -> A,
    finish: impl Fn(A) -> f32,
) {
    let tokens = x.len() / blocks;
    let rows = out.len() / tokens;
    let mut first = 0;
    while first + TILE <= rows {
        let tile: [_; TILE] = std::array::from_fn(|i| weights.row(first + i, blocks));
        for (token, x) in x.chunks_exact(blocks).enumerate() {
            let mut sums = [zero; TILE];
            for (block, x) in x.iter().enumerate() {
                for (sum, row) in sums.iter_mut().zip(&tile) {
                    *sum = step(*sum, row.block(block), x);
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                out[(first + i) * tokens + token] = finish(sum);
            }
        }
        first += TILE;
    }
    for last in first..rows {
        let row = weights.row(last, blocks);
        for (token, x) in x.chunks_exact(blocks).enumerate() {
            let mut sum = zero;
            for (block, x) in x.iter().enumerate() {
                sum = step(sum, row.block(block), x);
            }
            out[last * tokens + token] = finish(sum);
        }
    }
}
