//! Inner loops for AVX2, and for AVX-512 with VNNI.
//!
//! `unsafe` is here alone, and for one thing: calling functions that are compiled for features
//! the whole program is not. The features are looked up first.

use std::arch::x86_64::*;

use super::dense::tiles;
use super::fixed::{Fixed, Lanes, Pair, tiles as fixed_tiles};
use super::walk::walk;
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

/// Packed weights times many rows of activations.
pub(super) fn many(avx512: bool, part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
    dispatch!(
        avx512,
        many_avx512,
        many_avx2,
        portable::many,
        (part, x, out)
    );
}

/// Packed weights times few rows of activations.
pub(super) fn few(avx512: bool, part: Rows<'_>, x: &Fixed, out: &mut [f32]) {
    dispatch!(avx512, few_avx512, few_avx2, portable::few, (part, x, out));
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
fn many_avx512(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
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
fn many_avx2(part: Rows<'_>, x: &Fixed, out: &mut [&mut [f32]]) {
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
fn few_avx512(part: Rows<'_>, x: &Fixed, out: &mut [f32]) {
    let zero = _mm512_setzero_ps();
    let step = |sum, codes: __m512i, x: &[i16; BLOCK], scale| {
        let dot = _mm512_dpwssd_epi32(_mm512_setzero_si512(), codes, bytemuck::cast(*x));
        _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_set1_ps(scale), sum)
    };
    let finish = |sum| _mm512_reduce_add_ps(sum);
    match part.scheme {
        Scheme::Q4 => {
            let shifts: __m512i = bytemuck::cast([[12i16; 8], [8; 8], [4; 8], [0; 8]]);
            let step = |sum, words: &[u32; 4], x: &_, scale| {
                let words = _mm512_broadcast_i32x4(bytemuck::cast(*words));
                let codes = _mm512_srai_epi16::<12>(_mm512_sllv_epi16(words, shifts));
                step(sum, codes, x, scale)
            };
            walk(part, x, out, zero, step, finish);
        }
        Scheme::Q8 => {
            let step = |sum, words: &[u32; 8], x: &_, scale| {
                step(sum, _mm512_cvtepi8_epi16(bytemuck::cast(*words)), x, scale)
            };
            walk(part, x, out, zero, step, finish);
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn few_avx2(part: Rows<'_>, x: &Fixed, out: &mut [f32]) {
    let zero = _mm256_setzero_ps();
    let step = |sum, codes: [__m256i; 2], x: &[i16; BLOCK], scale| {
        let x: [__m256i; 2] = bytemuck::cast(*x);
        let low = _mm256_madd_epi16(codes[0], x[0]);
        let dot = _mm256_add_epi32(low, _mm256_madd_epi16(codes[1], x[1]));
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), _mm256_set1_ps(scale), sum)
    };
    match part.scheme {
        Scheme::Q4 => {
            // Multiplied by powers of two in place of shifts by as many bits as each lane wants.
            let shifts: [[i16; 8]; 4] = [[1 << 12; 8], [1 << 8; 8], [1 << 4; 8], [1; 8]];
            let shifts: [__m256i; 2] = bytemuck::cast(shifts);
            let step = |sum, words: &[u32; 4], x: &_, scale| {
                let words = _mm256_broadcastsi128_si256(bytemuck::cast(*words));
                let codes = [
                    _mm256_srai_epi16::<12>(_mm256_mullo_epi16(words, shifts[0])),
                    _mm256_srai_epi16::<12>(_mm256_mullo_epi16(words, shifts[1])),
                ];
                step(sum, codes, x, scale)
            };
            walk(part, x, out, zero, step, |sum| total(sum));
        }
        Scheme::Q8 => {
            let step = |sum, words: &[u32; 8], x: &_, scale| {
                let [low, high]: [__m128i; 2] = bytemuck::cast(*words);
                let codes = [_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high)];
                step(sum, codes, x, scale)
            };
            walk(part, x, out, zero, step, |sum| total(sum));
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

/// The sum of the lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: __m256) -> f32 {
    let half = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
    let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
    _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
}
