//! Inner loops for WebAssembly's SIMD128.
//!
//! For products with bytes, vectors are taken as eight 16-bit lanes of two bytes each. A shift to
//! the left and a mask bring each nibble (q4) or byte (q8) to the top of its lane, where it is 4096
//! or 256 times its code with the sign in place, ready for `i32x4.dot_i16x8_s`; the power of two is
//! taken out of the finished sum. A block's 32 products stay below 2^28.

use std::arch::wasm32::*;

use super::Rows;
use super::dense::tiles;
use super::input::Codes;
use super::walk::{Packed, walk};
use crate::blocks::{BLOCK, Scheme};

/// Packed weights times bytes.
pub(super) fn int8(part: Rows<'_>, x: &[Codes], out: &mut [f32]) {
    let (blocks, zero) = (part.blocks, f32x4_splat(0.0));
    match part.scheme {
        Scheme::Q4 => {
            let top = u16x8_splat(0xf000);
            let step = |sum, (words, scale): (&[u32; 4], f32), x: &Codes| {
                let nibbles = vector(words);
                let lanes = [
                    i16x8_shl(nibbles, 12),
                    v128_and(i16x8_shl(nibbles, 4), top),
                    v128_and(i16x8_shl(nibbles, 8), top),
                    v128_and(nibbles, top),
                ];
                dot(sum, lanes, x, scale)
            };
            let finish = |sum| total(sum) / 4096.0;
            walk(Packed::<4>::new(part), blocks, x, out, zero, step, finish);
        }
        Scheme::Q8 => {
            let top = u16x8_splat(0xff00);
            let step = |sum, (words, scale): (&[u32; 8], f32), x: &Codes| {
                let [low, high] = vectors(words);
                let lanes = [
                    i16x8_shl(low, 8),
                    v128_and(low, top),
                    i16x8_shl(high, 8),
                    v128_and(high, top),
                ];
                dot(sum, lanes, x, scale)
            };
            let finish = |sum| total(sum) / 256.0;
            walk(Packed::<8>::new(part), blocks, x, out, zero, step, finish);
        }
    }
}

/// Packed weights times floats.
pub(super) fn float(part: Rows<'_>, x: &[[f32; BLOCK]], out: &mut [f32]) {
    let (blocks, zero) = (part.blocks, f32x4_splat(0.0));
    match part.scheme {
        Scheme::Q4 => {
            let (flip, low, eight) = (u8x16_splat(0x88), u8x16_splat(0xf), i8x16_splat(8));
            let step = |sum, (words, scale): (&[u32; 4], f32), x: &_| {
                let nibbles = v128_xor(vector(words), flip);
                let halves = [
                    i8x16_sub(v128_and(nibbles, low), eight),
                    i8x16_sub(u8x16_shr(nibbles, 4), eight),
                ];
                products(sum, halves, x, scale)
            };
            walk(Packed::<4>::new(part), blocks, x, out, zero, step, total);
        }
        Scheme::Q8 => {
            let step = |sum, (words, scale): (&[u32; 8], f32), x: &_| {
                products(sum, vectors(words), x, scale)
            };
            walk(Packed::<8>::new(part), blocks, x, out, zero, step, total);
        }
    }
}

/// `out[i][j] = a_i . b_j` for rows of `k` floats.
pub(super) fn dense(a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
    let load = |x: &[f32; 4]| f32x4(x[0], x[1], x[2], x[3]);
    let add = |sum, a, b| f32x4_add(sum, f32x4_mul(a, b));
    tiles((a, b, k), out, f32x4_splat(0.0), load, add, total);
}

/// `sum + (lanes . codes) * scale` in four parts.
#[inline(always)]
fn dot(sum: v128, lanes: [v128; 4], x: &Codes, scale: f32) -> v128 {
    let codes = x.codes.as_chunks::<8>().0;
    let codes: [v128; 4] = std::array::from_fn(|i| {
        let [a, b, c, d, e, f, g, h] = codes[i];
        i16x8(a, b, c, d, e, f, g, h)
    });
    let dot = i32x4_add(
        i32x4_add(
            i32x4_dot_i16x8(lanes[0], codes[0]),
            i32x4_dot_i16x8(lanes[1], codes[1]),
        ),
        i32x4_add(
            i32x4_dot_i16x8(lanes[2], codes[2]),
            i32x4_dot_i16x8(lanes[3], codes[3]),
        ),
    );
    let scale = f32x4_splat(scale * x.scale);
    f32x4_add(sum, f32x4_mul(f32x4_convert_i32x4(dot), scale))
}

/// `sum + (bytes . x) * scale` in four parts.
#[inline(always)]
fn products(sum: v128, bytes: [v128; 2], x: &[f32; BLOCK], scale: f32) -> v128 {
    let x = floats(x);
    let pairs = bytes.map(|bytes| {
        [
            i16x8_extend_low_i8x16(bytes),
            i16x8_extend_high_i8x16(bytes),
        ]
    });
    let mut products = f32x4_splat(0.0);
    for (pairs, x) in pairs.as_flattened().iter().zip(x.as_chunks::<2>().0) {
        let low = f32x4_convert_i32x4(i32x4_extend_low_i16x8(*pairs));
        let high = f32x4_convert_i32x4(i32x4_extend_high_i16x8(*pairs));
        products = f32x4_add(products, f32x4_mul(low, x[0]));
        products = f32x4_add(products, f32x4_mul(high, x[1]));
    }
    f32x4_add(sum, f32x4_mul(products, f32x4_splat(scale)))
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

/// A block of floats as vectors.
#[inline(always)]
fn floats(block: &[f32; BLOCK]) -> [v128; 8] {
    let quads = block.as_chunks::<4>().0;
    std::array::from_fn(|i| f32x4(quads[i][0], quads[i][1], quads[i][2], quads[i][3]))
}

/// The sum of the lanes.
fn total(sum: v128) -> f32 {
    f32x4_extract_lane::<0>(sum)
        + f32x4_extract_lane::<1>(sum)
        + f32x4_extract_lane::<2>(sum)
        + f32x4_extract_lane::<3>(sum)
}
