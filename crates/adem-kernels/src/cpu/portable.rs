//! Inner loops in plain Rust, for processors without ones of their own.

use super::Rows;
use super::dense::tiles;
use super::fixed::{Fixed, Lanes, PAIRS, Pair, dealt, tiles as fixed_tiles};
use super::walk::walk;
use crate::blocks::{BLOCK, Scheme, unpack, unpack4, unpack8};

/// Packed weights times many rows of activations.
pub(super) fn many(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
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

/// Packed weights times few rows of activations.
pub(super) fn few(part: Rows<'_>, x: &Fixed, out: &mut [f32]) {
    fn step(sum: f32, codes: [i8; BLOCK], x: &[i16; BLOCK], scale: f32) -> f32 {
        let products = codes
            .iter()
            .zip(x)
            .map(|(w, x)| i32::from(*w) * i32::from(*x));
        sum + products.sum::<i32>() as f32 * scale
    }
    match part.scheme {
        Scheme::Q4 => {
            let step = |sum, words: &_, x: &_, scale| step(sum, dealt(unpack4(words)), x, scale);
            walk(part, x, out, 0.0, step, |sum| sum);
        }
        Scheme::Q8 => {
            let step = |sum, words: &_, x: &_, scale| step(sum, unpack8(words), x, scale);
            walk(part, x, out, 0.0, step, |sum| sum);
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
