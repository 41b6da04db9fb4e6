//! Inner loops for AVX2, and for AVX-512 with VNNI.
//!
//! `unsafe` is here alone, and for one thing: calling functions that are compiled for features
//! the whole program is not. The features are looked up first.

use std::arch::x86_64::*;

use super::dense::tiles;
use super::fixed::{Fixed, Lanes, Pair, tiles as fixed_tiles};
use super::walk::{Packed, walk};
use super::{Rows, portable};
use crate::blocks::{BLOCK, Scheme};

/// Whether the processor has AVX2 and FMA.
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// Whether the processor has AVX-512 with VNNI, and 256-bit forms of both.
pub(super) fn has_avx512() -> bool {
    has_avx2()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// Calls the first of two functions where the processor has AVX-512 and that is `$wanted`, the
/// second where it has AVX2, and else the third.
macro_rules! dispatch {
    ($wanted:expr, $avx512:ident, $avx2:ident, $portable:path, ($($arg:expr),*)) => {{
        #[allow(unsafe_code)]
        if $wanted && has_avx512() {
            // SAFETY: the processor has every feature the function is compiled for.
            unsafe { $avx512($($arg),*) }
        } else if has_avx2() {
            // SAFETY: as above.
            unsafe { $avx2($($arg),*) }
        } else {
            $portable($($arg),*)
        }
    }};
}

/// Packed weights times fixed point, for many rows of activations.
pub(super) fn fixed(avx512: bool, part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
    dispatch!(
        avx512,
        fixed_avx512,
        fixed_avx2,
        portable::fixed,
        (part, x, out)
    );
}

/// Packed weights times floats.
pub(super) fn float(avx512: bool, part: Rows<'_>, x: &[[f32; BLOCK]], out: &mut [f32]) {
    dispatch!(
        avx512,
        float_avx512,
        float_avx2,
        portable::float,
        (part, x, out)
    );
}

/// `out[i][j] = a_i . b_j` for rows of `k` floats.
pub(super) fn dense(avx512: bool, a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
    dispatch!(
        avx512,
        dense_avx512,
        dense_avx2,
        portable::dense,
        (a, b, k, out)
    );
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")]
fn fixed_avx512(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
    let lanes = Lanes {
        zero: (_mm512_setzero_si512(), _mm512_setzero_ps()),
        turn: |scheme, words: [&[u32]; 16]| {
            portable::turned(scheme, words).map(bytemuck::cast::<_, __m512i>)
        },
        new: |scales: [f32; 16]| bytemuck::cast::<_, __m512>(scales),
        dot: |sum, x: Pair, w: __m512i| {
            let x = _mm512_set1_epi32(bytemuck::cast(x));
            _mm512_dpwssd_epi32(sum, x, w)
        },
        scale: |sum, dot, w: __m512, x| {
            let scale = _mm512_mul_ps(w, _mm512_set1_ps(x));
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sum)
        },
        take: |sum: __m512| bytemuck::cast::<_, [f32; 16]>(sum),
    };
    fixed_tiles(part, x, out, &lanes);
}

#[target_feature(enable = "avx2,fma")]
fn fixed_avx2(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
    let lanes = Lanes {
        zero: (_mm256_setzero_si256(), _mm256_setzero_ps()),
        turn: |scheme, words: [&[u32]; 8]| {
            portable::turned(scheme, words).map(bytemuck::cast::<_, __m256i>)
        },
        new: |scales: [f32; 8]| bytemuck::cast::<_, __m256>(scales),
        dot: |sum, x: Pair, w: __m256i| {
            let x = _mm256_set1_epi32(bytemuck::cast(x));
            _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))
        },
        scale: |sum, dot, w: __m256, x| {
            let scale = _mm256_mul_ps(w, _mm256_set1_ps(x));
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sum)
        },
        take: |sum: __m256| bytemuck::cast::<_, [f32; 8]>(sum),
    };
    fixed_tiles(part, x, out, &lanes);
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")]
fn float_avx512(part: Rows<'_>, x: &[[f32; BLOCK]], out: &mut [f32]) {
    let (blocks, zero) = (part.blocks, _mm512_setzero_ps());
    let step = |sum, codes: __m256i, scale, x: &[f32; BLOCK]| {
        let [x0, x1]: [__m512; 2] = bytemuck::cast(*x);
        let low = _mm512_cvtepi8_epi32(_mm256_castsi256_si128(codes));
        let high = _mm512_cvtepi8_epi32(_mm256_extracti128_si256::<1>(codes));
        let products = _mm512_mul_ps(_mm512_cvtepi32_ps(low), x0);
        let products = _mm512_fmadd_ps(_mm512_cvtepi32_ps(high), x1, products);
        _mm512_fmadd_ps(products, _mm512_set1_ps(scale), sum)
    };
    let finish = |sum| _mm512_reduce_add_ps(sum);
    match part.scheme {
        Scheme::Q4 => {
            let step = |sum, (words, scale): (&_, f32), x: &_| step(sum, signed4(words), scale, x);
            walk(Packed::<4>::new(part), blocks, x, out, zero, step, finish);
        }
        Scheme::Q8 => {
            let step =
                |sum, (words, scale): (&[u32; 8], f32), x: &_| step(sum, load(words), scale, x);
            walk(Packed::<8>::new(part), blocks, x, out, zero, step, finish);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn float_avx2(part: Rows<'_>, x: &[[f32; BLOCK]], out: &mut [f32]) {
    let (blocks, zero) = (part.blocks, _mm256_setzero_ps());
    let step = |sum, codes: __m256i, scale, x: &[f32; BLOCK]| {
        let x: [__m256; 4] = bytemuck::cast(*x);
        let (low, high) = (
            _mm256_castsi256_si128(codes),
            _mm256_extracti128_si256::<1>(codes),
        );
        let quarters = [
            low,
            _mm_srli_si128::<8>(low),
            high,
            _mm_srli_si128::<8>(high),
        ];
        let mut products = _mm256_setzero_ps();
        for (quarter, x) in quarters.into_iter().zip(x) {
            let weights = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(quarter));
            products = _mm256_fmadd_ps(weights, x, products);
        }
        _mm256_fmadd_ps(products, _mm256_set1_ps(scale), sum)
    };
    match part.scheme {
        Scheme::Q4 => {
            let step = |sum, (words, scale): (&_, f32), x: &_| step(sum, signed4(words), scale, x);
            walk(Packed::<4>::new(part), blocks, x, out, zero, step, |sum| {
                total(sum)
            });
        }
        Scheme::Q8 => {
            let step =
                |sum, (words, scale): (&[u32; 8], f32), x: &_| step(sum, load(words), scale, x);
            walk(Packed::<8>::new(part), blocks, x, out, zero, step, |sum| {
                total(sum)
            });
        }
    }
}

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")]
fn dense_avx512(a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
    let load = |x: &[f32; 16]| -> __m512 { bytemuck::cast(*x) };
    let add = |sum, a, b| _mm512_fmadd_ps(a, b, sum);
    let finish = |sum| _mm512_reduce_add_ps(sum);
    tiles((a, b, k), out, _mm512_setzero_ps(), load, add, finish);
}

#[target_feature(enable = "avx2,fma")]
fn dense_avx2(a: &[f32], b: &[f32], k: usize, out: &mut [&mut [f32]]) {
    let load = |x: &[f32; 8]| -> __m256 { bytemuck::cast(*x) };
    let add = |sum, a, b| _mm256_fmadd_ps(a, b, sum);
    let finish = |sum| total(sum);
    tiles((a, b, k), out, _mm256_setzero_ps(), load, add, finish);
}

/// A q4 block's codes plus 8, in the order of the columns.
#[inline]
#[target_feature(enable = "avx2")]
fn plus8(words: &[u32; 4]) -> __m256i {
    let both = _mm_xor_si128(bytemuck::cast(*words), _mm_set1_epi8(0x88u8 as i8));
    let two = _mm256_set_m128i(_mm_srli_epi16::<4>(both), both);
    _mm256_and_si256(two, _mm256_set1_epi8(0xf))
}

/// A q4 block's codes, in the order of the columns.
#[inline]
#[target_feature(enable = "avx2")]
fn signed4(words: &[u32; 4]) -> __m256i {
    _mm256_sub_epi8(plus8(words), _mm256_set1_epi8(8))
}

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
}

/// 32 bytes as a vector.
#[inline(always)]
fn load<T: bytemuck::Pod>(bytes: &T) -> __m256i {
    bytemuck::cast(*bytes)
}
