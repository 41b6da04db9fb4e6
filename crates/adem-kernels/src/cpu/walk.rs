//! Packed weights times a few rows of activations: weights go by once, row by row as they lie in
//! memory.

use super::fixed::Fixed;
use super::{Rows, TILE};
use crate::blocks::BLOCK;

/// Products of the rows of `part`, whose scheme has `W` words a block, with activations, as many rows
/// as `out`, `[rows, tokens]`, has room for: `step(sum, words, activations, scale)` adds a block,
/// multiplied by `scale`, to a sum that begins as `zero`, and `finish` makes a sum an output. Inlined
/// with its closures into functions that switch instructions on, which they then use.
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
    let rule = (zero, &step);
    let mut tiles = out.chunks_exact_mut(TILE * tokens);
    let mut first = 0;
    for out in &mut tiles {
        for token in 0..tokens {
            let sums = tile::<TILE, W, A>(part, first, x.token(token), rule);
            for (i, sum) in sums.into_iter().enumerate() {
                out[i * tokens + token] = finish(sum);
            }
        }
        first += TILE;
    }
    for (i, out) in tiles.into_remainder().chunks_exact_mut(tokens).enumerate() {
        for (token, out) in out.iter_mut().enumerate() {
            let [sum] = tile::<1, W, A>(part, first + i, x.token(token), rule);
            *out = finish(sum);
        }
    }
}

/// The sums of `R` rows from `first` on with one row of activations.
#[inline(always)]
fn tile<const R: usize, const W: usize, A: Copy>(
    part: Rows<'_>,
    first: usize,
    (x, scales): (&[[i16; BLOCK]], &[f32]),
    (zero, step): (A, &impl Fn(A, &[u32; W], &[i16; BLOCK], f32) -> A),
) -> [A; R] {
    let blocks = x.len();
    let words = &part.words.as_chunks().0[first * blocks..][..R * blocks];
    let weights = &part.scales[first * blocks..][..R * blocks];
    let mut sums = [zero; R];
    for (block, (x, scale)) in x.iter().zip(scales).enumerate() {
        for (i, sum) in sums.iter_mut().enumerate() {
            let here = i * blocks + block;
            *sum = step(*sum, &words[here], x, weights[here] * scale);
        }
    }
    sums
}
