//! Inner loops in plain Rust, for processors without ones of their own.

use super::Rows;
use super::dense::tiles;
use super::fixed::{Fixed, Lanes, PAIRS, Pair, tiles as fixed_tiles};
use super::walk::{Packed, walk};
use crate::blocks::{BLOCK, Scheme, unpack, unpack4, unpack8};

/// Lanes a block's products are added in.
const LANES: usize = 8;

/// Packed weights times fixed point, for many rows of activations.
pub(super) fn fixed(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
    const WIDTH: usize = 4;
    let lanes = Lanes {
        zero: ([0i32; WIDTH], [0f32; WIDTH]),
        turn: turned,
        new: |scales| scales,
        dot: |mut sum: [i32; WIDTH], x: Pair, w: [Pair; WIDTH]| {
            for (sum, w) in sum.iter_mut().zip(w) {
                *sum += i32::from(w[0]) * i32::from(x[0]) + i32::from(w[1]) * i32::from(x[1]);
            }
            sum
        },
        scale: |mut sum: [f32; WIDTH], dot: [i32; WIDTH], w: [f32; WIDTH], x| {
            for ((sum, dot), w) in sum.iter_mut().zip(dot).zip(w) {
                *sum += dot as f32 * (w * x);
            }
            sum
        },
        take: |sum| sum,
    };
    fixed_tiles(part, x, out, &lanes);
}

/// The blocks of `L` rows as vectors would have them.
#[inline(always)]
pub(super) fn turned<const L: usize>(scheme: Scheme, words: [&[u32]; L]) -> [[Pair; L]; PAIRS] {
    let mut turned = [[[0; 2]; L]; PAIRS];
    for (lane, words) in words.into_iter().enumerate() {
        let pairs: [Pair; PAIRS] = bytemuck::cast(unpack(scheme, words).map(i16::from));
        for (turned, pair) in turned.iter_mut().zip(pairs) {
            turned[lane] = pair;
        }
    }
    turned
}

/// Packed weights times floats.
pub(super) fn float(part: Rows<'_>, x: &[[f32; BLOCK]], out: &mut [f32]) {
    fn step(sum: [f32; LANES], codes: [i8; BLOCK], x: &[f32; BLOCK], scale: f32) -> [f32; LANES] {
        let products = add(&codes.map(f32::from), x, [0.0; LANES]);
        std::array::from_fn(|lane| sum[lane] + products[lane] * scale)
    }
    let (blocks, zero) = (part.blocks, [0.0; LANES]);
    match part.scheme {
        Scheme::Q4 => {
            let step = |sum, (words, scale), x: &_| step(sum, unpack4(words), x, scale);
            walk(Packed::<4>::new(part), blocks, x, out, zero, step, total);
        }
        Scheme::Q8 => {
            let step = |sum, (words, scale), x: &_| step(sum, unpack8(words), x, scale);
            walk(Packed::<8>::new(part), blocks, x, out, zero, step, total);
        }
    }
}

/// `out[i][j] = a_i . b_j` for rows of `k` floats.
pub(super) fn dense(a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
    const WIDTH: usize = 4;
    type Sum = [f32; WIDTH];
    let add = |mut sum: Sum, a: Sum, b: Sum| {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
        sum
    };
    let finish = |sum: Sum| sum.iter().sum();
    tiles((a, b, k), out, [0.0; WIDTH], |x: &Sum| *x, add, finish);
}

/// `sum + weights . x`, lane by lane.
fn add(weights: &[f32; BLOCK], x: &[f32; BLOCK], mut sum: [f32; LANES]) -> [f32; LANES] {
    let chunks = weights.as_chunks::<LANES>().0.iter();
    for (weights, x) in chunks.zip(x.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sum[lane] += weights[lane] * x[lane];
        }
    }
    sum
}

fn total(sum: [f32; LANES]) -> f32 {
    let pairs: [f32; LANES / 2] = std::array::from_fn(|lane| sum[lane] + sum[lane + LANES / 2]);
    pairs.iter().sum()
}
