//! Packed weights times a few rows of activations: weights go by once, as they lie in memory.

use super::Rows;
use super::fixed::Fixed;
use crate::blocks::BLOCK;

/// Places of a matrix from which rows are read in turn, each a stream of its own as in
/// [`dense`](super::dense).
pub(super) const STREAMS: usize = 4;

/// Products of the rows of `part`, whose scheme has `W` words a block, with activations, as many rows
/// as `out`, `[rows, tokens]`, has room for: `step(sum, words, activations, scale)` adds a block,
/// multiplied by `scale`, to a sum that begins as `zero`, and `finish` makes a sum an output. Inlined
/// with its closures into functions that switch instructions on, which they then use.
///
/// How rows fall into tiles changes no result.
#[inline(always)]
pub(super) fn walk<const W: usize, A: Copy>(
    part: Rows<'_>,
    x: &Fixed,
    out: &mut [f32],
    zero: A,
    step: impl Fn(A, &[u32; W], &[i16; BLOCK], f32) -> A,
    finish: impl Fn(A) -> f32,
) {
    let tokens = x.tokens();
    let rows = out.len() / tokens;
    let apart = rows / STREAMS;
    let rule = (zero, &step);
    for first in 0..apart {
        let tile = [0, 1, 2, 3].map(|stream| stream * apart + first);
        for token in 0..tokens {
            let found = sums(part, tile, x.token(token), rule);
            for (row, sum) in tile.into_iter().zip(found) {
                out[row * tokens + token] = finish(sum);
            }
        }
    }
    for row in STREAMS * apart..rows {
        for token in 0..tokens {
            let [sum] = sums(part, [row], x.token(token), rule);
            out[row * tokens + token] = finish(sum);
        }
    }
}

/// The sums of some rows with one row of activations.
#[inline(always)]
fn sums<const R: usize, const W: usize, A: Copy>(
    part: Rows<'_>,
    rows: [usize; R],
    (x, scales): (&[[i16; BLOCK]], &[f32]),
    (zero, step): (A, &impl Fn(A, &[u32; W], &[i16; BLOCK], f32) -> A),
) -> [A; R] {
    let (blocks, words) = (x.len(), part.words.as_chunks().0);
    let rows = rows.map(|row| {
        let span = row * blocks..(row + 1) * blocks;
        (&words[span.clone()], &part.scales[span])
    });
    let scales = &scales[..blocks];
    let mut sums = [zero; R];
    for block in 0..blocks {
        for (sum, (words, weights)) in sums.iter_mut().zip(&rows) {
            let scale = weights[block] * scales[block];
            *sum = step(*sum, &words[block], &x[block], scale);
        }
    }
    sums
}
