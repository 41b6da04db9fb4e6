//! Inner loops for WebAssembly's SIMD128.

use std::arch::wasm32::*;

use super::Rows;
use super::dense::tiles;
use super::fixed::{Fixed, Lanes, PAIRS, Pair, tiles as fixed_tiles};
use super::walk::walk;
use crate::blocks::{BLOCK, Scheme};

/// Packed weights times many rows of activations.
pub(super) fn many(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
    let lanes = Lanes {
        zero: (i32x4_splat(0), f32x4_splat(0.0)),
        turn: turned,
        new: |[a, b, c, d]: [f32; 4]| f32x4(a, b, c, d),
        dot: |sum, x: Pair, w| {
            let x = i32x4_splat(bytemuck::cast(x));
            i32x4_add(sum, i32x4_dot_i16x8(x, w))
        },
        scale: |sum, dot, w, x| {
            let scale = f32x4_mul(w, f32x4_splat(x));
            f32x4_add(sum, f32x4_mul(f32x4_convert_i32x4(dot), scale))
        },
        take: |sum| {
            [
                f32x4_extract_lane::<0>(sum),
                f32x4_extract_lane::<1>(sum),
                f32x4_extract_lane::<2>(sum),
                f32x4_extract_lane::<3>(sum),
            ]
        },
    };
    fixed_tiles(part, x, out, &lanes);
}

/// The blocks of four rows: pairs of codes, a row in each lane.
#[inline(always)]
fn turned(scheme: Scheme, words: [&[u32]; 4]) -> [v128; PAIRS] {
    // Sixteen bytes of each row are eight pairs, two vectors of four.
    let halves = words.map(
        |words| match (scheme, words.first_chunk(), words.first_chunk()) {
            (Scheme::Q4, Some(words), _) => {
                let nibbles = vector(words);
                [i8x16_shr(i8x16_shl(nibbles, 4), 4), i8x16_shr(nibbles, 4)]
            }
            (Scheme::Q8, _, Some(words)) => vectors(words),
            _ => [u32x4_splat(0); 2],
        },
    );
    let mut pairs = [u32x4_splat(0); PAIRS];
    for (index, pairs) in pairs.as_chunks_mut().0.iter_mut().enumerate() {
        let quads = halves.map(|halves| match index % 2 {
            0 => i16x8_extend_low_i8x16(halves[index / 2]),
            _ => i16x8_extend_high_i8x16(halves[index / 2]),
        });
        *pairs = transposed(quads);
    }
    pairs
}

/// Four by four numbers of 32 bits turned.
#[inline(always)]
fn transposed([a, b, c, d]: [v128; 4]) -> [v128; 4] {
    let low = [
        i32x4_shuffle::<0, 4, 1, 5>(a, b),
        i32x4_shuffle::<0, 4, 1, 5>(c, d),
    ];
    let high = [
        i32x4_shuffle::<2, 6, 3, 7>(a, b),
        i32x4_shuffle::<2, 6, 3, 7>(c, d),
    ];
    let halves =
        |[ab, cd]: [v128; 2]| [i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd)];
    let ([a, b], [c, d]) = (halves(low), halves(high));
    [a, b, c, d]
}

/// Packed weights times few rows of activations.
pub(super) fn few(part: Rows<'_>, x: &Fixed, out: &mut [f32]) {
    let zero = f32x4_splat(0.0);
    match part.scheme {
        Scheme::Q4 => {
            let step = |sum, words: &_, x: &_, scale| {
                let words = vector(words);
                let column = |shift| i16x8_shr(i16x8_shl(words, shift), 12);
                products(sum, [12, 8, 4, 0].map(column), x, scale)
            };
            walk(part, x, out, zero, step, total);
        }
        Scheme::Q8 => {
            let step = |sum, words: &_, x: &_, scale| {
                let [low, high] = vectors(words);
                let codes = [
                    i16x8_extend_low_i8x16(low),
                    i16x8_extend_high_i8x16(low),
                    i16x8_extend_low_i8x16(high),
                    i16x8_extend_high_i8x16(high),
                ];
                products(sum, codes, x, scale)
            };
            walk(part, x, out, zero, step, total);
        }
    }
}

/// `out[i][j] = a_i . b_j` for rows of `k` floats.
pub(super) fn dense(a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
    let load = |x: &[f32; 4]| f32x4(x[0], x[1], x[2], x[3]);
    let add = |sum, a, b| f32x4_add(sum, f32x4_mul(a, b));
    tiles((a, b, k), out, f32x4_splat(0.0), load, add, total);
}

/// `sum + (codes . x) * scale` in four parts.
#[inline(always)]
fn products(sum: v128, codes: [v128; 4], x: &[i16; BLOCK], scale: f32) -> v128 {
    let x: [[u32; 4]; 4] = bytemuck::cast(*x);
    let mut dot = i32x4_splat(0);
    for (codes, x) in codes.into_iter().zip(&x) {
        dot = i32x4_add(dot, i32x4_dot_i16x8(codes, vector(x)));
    }
    f32x4_add(sum, f32x4_mul(f32x4_convert_i32x4(dot), f32x4_splat(scale)))
}

/// Four words as a vector. Built from lanes, without `unsafe`; the compiler makes it one load.
#[inline(always)]
fn vector(words: &[u32; 4]) -> v128 {
    u32x4(words[0], words[1], words[2], words[3])
}

/// Eight words as two vectors.
#[inline(always)]
fn vectors(words: &[u32; 8]) -> [v128; 2] {
    let [a, b, c, d, e, f, g, h] = *words;
    [vector(&[a, b, c, d]), vector(&[e, f, g, h])]
}

/// The sum of the lanes.
fn total(sum: v128) -> f32 {
    f32x4_extract_lane::<0>(sum)
        + f32x4_extract_lane::<1>(sum)
        + f32x4_extract_lane::<2>(sum)
        + f32x4_extract_lane::<3>(sum)
}
