//! What is done with rows of numbers between products.

use std::borrow::Cow;
use std::ops::Range;

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use super::four::{self, Four, change};
use super::{Level, dense};
use crate::RopeStyle;

/// `x w^T` of activations `[tokens, k]` and weights `[rows, k]`, `[tokens, rows]`; over several
/// threads where it is worth it.
pub(crate) fn times(x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
    let k = k.max(1);
    let mut out = vec![0.0; x.len() / k * (w.len() / k)];
    let part = |rows: Range<usize>| Cow::Borrowed(&w[rows.start * k..rows.end * k]);
    dense::product(Level::best(), x, k, part, &mut out, true);
    out
}

/// `out[i] = a[i] b[i]^T` for matrices of `m` and of `n` rows of `k` floats, one after another.
pub(crate) fn products(a: &[f32], b: &[f32], [m, n, k]: [usize; 3]) -> Vec<f32> {
    let (level, count) = (Level::best(), a.len() / (m * k).max(1));
    let mut out = vec![0.0; count * m * n];
    if out.is_empty() {
        return out;
    }
    let one = |((a, b), out): ((&[f32], &[f32]), &mut [f32])| {
        let mut rows: Vec<_> = out.chunks_exact_mut(n).collect();
        level.dense(a, b, k, &mut rows);
    };
    #[cfg(not(target_arch = "wasm32"))]
    if count > 1 && dense::threads(out.len() * k) > 1 {
        let pairs = a.par_chunks_exact(m * k).zip(b.par_chunks_exact(n * k));
        pairs.zip(out.par_chunks_exact_mut(m * n)).for_each(one);
        return out;
    }
    let pairs = a.chunks_exact(m * k).zip(b.chunks_exact(n * k));
    pairs.zip(out.chunks_exact_mut(m * n)).for_each(one);
    out
}

/// The scores of a row below the `index`-th smallest set to 0; ties are kept.
pub(crate) fn mask(row: &mut [f32], index: usize) {
    let threshold = smallest(row.to_vec(), index);
    for score in row {
        if *score < threshold {
            *score = 0.0;
        }
    }
}

/// The `index`-th smallest of these scores, the last where there are fewer.
pub(crate) fn smallest(mut scores: Vec<f32>, index: usize) -> f32 {
    let last = scores.len().saturating_sub(1);
    if scores.is_empty() {
        return f32::NEG_INFINITY;
    }
    *scores
        .select_nth_unstable_by(index.min(last), f32::total_cmp)
        .1
}

/// Root-mean-square normalisation of rows as long as `gain`, in place.
pub(crate) fn rms_norm(values: &mut [f32], gain: &[f32], eps: f64) {
    for row in values.chunks_exact_mut(gain.len().max(1)) {
        let mean = four::sum(row, |x| x * x) / row.len() as f32;
        let scale = Four::splat(1.0 / (mean + eps as f32).sqrt());
        change(row, |x| x * scale);
        for (x, gain) in row.iter_mut().zip(gain) {
            *x *= gain;
        }
    }
}

/// Layer normalisation of rows as long as `gain` and `shift`, in place.
pub(crate) fn layer_norm(values: &mut [f32], [gain, shift]: [&[f32]; 2], eps: f64) {
    for row in values.chunks_exact_mut(gain.len().max(1)) {
        let count = row.len() as f32;
        let mean = Four::splat(four::sum(row, |x| x) / count);
        let variance = four::sum(row, |x| (x - mean) * (x - mean)) / count;
        let scale = Four::splat(1.0 / (variance + eps as f32).sqrt());
        change(row, |x| (x - mean) * scale);
        for ((x, gain), shift) in row.iter_mut().zip(gain).zip(shift) {
            *x = *x * gain + shift;
        }
    }
}

/// Angles of rotary embedding, `[batch or 1, tokens, head / 2]`.
pub(crate) struct Turned<'a> {
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    pub style: RopeStyle,
}

impl Turned<'_> {
    /// Turns `x` `[batch, heads, tokens, head]` in place.
    pub fn apply(&self, x: &mut [f32], [_, heads, tokens, head]: [usize; 4]) {
        let pairs = head / 2;
        let (cos, sin) = (self.cos, self.sin);
        let angles = cos.len() / pairs.max(1);
        for (row, x) in x.chunks_exact_mut(head.max(1)).enumerate() {
            let angle = (row / (heads * tokens) * tokens + row % tokens) % angles * pairs;
            for i in 0..pairs {
                let (a, b) = match self.style {
                    RopeStyle::Half => (i, i + pairs),
                    RopeStyle::Interleaved => (2 * i, 2 * i + 1),
                };
                let (cos, sin) = (cos[angle + i], sin[angle + i]);
                (x[a], x[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
            }
        }
    }
}

/// `alpha * A U` with `A = mask(silu(x) K^T)` for queries `x` `[rows, d]`, keys and values `[n, d]`:
/// to `[rows, d]`. What the mask drops costs nothing.
pub(crate) fn cross_attention(
    x: &[f32],
    [keys, values]: [&[f32]; 2],
    d: usize,
    alpha: f32,
    drop_index: Option<usize>,
) -> Vec<f32> {
    let mut queries = x.to_vec();
    super::silu(&mut queries);
    let (d, n) = (d.max(1), keys.len() / d.max(1));
    let mut scores = times(&queries, keys, d);
    let mut out = vec![0.0; x.len()];
    let one = |(scores, out): (&mut [f32], &mut [f32])| {
        if let Some(index) = drop_index {
            mask(scores, index);
        }
        for (score, values) in scores.iter().zip(values.chunks_exact(d)) {
            // A dropped score is 0; NaN is not.
            if *score == 0.0 {
                continue;
            }
            let weight = alpha * score;
            for (out, value) in out.iter_mut().zip(values) {
                *out += weight * value;
            }
        }
    };
    #[cfg(not(target_arch = "wasm32"))]
    if dense::threads(scores.len() * d) > 1 {
        let rows = scores.par_chunks_exact_mut(n.max(1));
        rows.zip(out.par_chunks_exact_mut(d)).for_each(one);
        return out;
    }
    let rows = scores.chunks_exact_mut(n.max(1));
    rows.zip(out.chunks_exact_mut(d)).for_each(one);
    out
}
