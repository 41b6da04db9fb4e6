//! What kernels should compute, in double precision on the processor: no driver has a part in it,
//! and no kernel but the tested one is compiled for it.

use crate::decode::{Heads, RopeStyle};

/// `x W^T` of `x` `[m, k]` and `w` `[n, k]`, `[m, n]`.
pub(super) fn product(x: &[f32], w: &[f32], k: usize) -> Vec<f64> {
    let row = |x: &[f32]| -> Vec<f64> { w.chunks_exact(k).map(|w| dot(x, w)).collect() };
    x.chunks_exact(k).flat_map(row).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// `x * sigmoid(x)`.
pub(super) fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// Rows of `k` normalised: by their root mean square, or with a `shift` by mean and variance.
pub(super) fn norm(x: &[f32], gain: &[f32], shift: Option<&[f32]>, eps: f64) -> Vec<f64> {
    let k = gain.len();
    let row = |row: &[f32]| -> Vec<f64> {
        let sum: f64 = row.iter().map(|x| f64::from(*x)).sum();
        let mean = if shift.is_some() { sum / k as f64 } else { 0.0 };
        let squares: f64 = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum();
        let scale = (squares / k as f64 + eps).sqrt().recip();
        let one = |(i, x): (usize, &f32)| {
            (f64::from(*x) - mean) * scale * f64::from(gain[i])
                + shift.map_or(0.0, |shift| f64::from(shift[i]))
        };
        row.iter().enumerate().map(one).collect()
    };
    x.chunks_exact(k).flat_map(row).collect()
}

/// One head's pairs turned by the angles of a position.
pub(super) fn turned(x: &[f32], cos: &[f32], sin: &[f32], style: RopeStyle) -> Vec<f64> {
    let pairs = cos.len();
    let mut out = vec![0.0; 2 * pairs];
    for (i, (cos, sin)) in cos.iter().zip(sin).enumerate() {
        let (first, second) = match style {
            RopeStyle::Half => (i, pairs + i),
            RopeStyle::Interleaved => (2 * i, 2 * i + 1),
        };
        let [a, b, cos, sin] = [x[first], x[second], *cos, *sin].map(f64::from);
        out[first] = a * cos - b * sin;
        out[second] = a * sin + b * cos;
    }
    out
}

/// What one query gathers of `values`, by the softmax of its scaled products with `keys`.
pub(super) fn attend(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
    let scale = (query.len() as f64).sqrt();
    let scores: Vec<f64> = keys.iter().map(|key| dot(query, key) / scale).collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let all: f64 = shares.iter().sum();
    let mixed = |i: usize| -> f64 {
        let parts = shares.iter().zip(values);
        parts
            .map(|(share, value)| share * f64::from(value[i]))
            .sum()
    };
    (0..query.len()).map(|i| mixed(i) / all).collect()
}

/// Causal attention over a cache `[kv_heads, capacity, head]`, of which `past` positions and the
/// new tokens are taken.
pub(super) fn cached_attention(
    queries: &[f32],
    [keys, values]: [&[f32]; 2],
    past: usize,
    heads: Heads,
) -> Vec<f64> {
    let head = heads.head;
    let capacity = keys.len() / (heads.kv_heads * head);
    let group = heads.heads / heads.kv_heads;
    let mut out = Vec::new();
    for (index, query) in queries.chunks_exact(head).enumerate() {
        let (token, own) = (index / heads.heads, index % heads.heads / group);
        let row = |position: usize| (own * capacity + position) * head;
        let rows = |cache| -> Vec<&[f32]> {
            let cache: &[f32] = cache;
            (0..=past + token)
                .map(|p| &cache[row(p)..][..head])
                .collect()
        };
        out.extend(attend(query, &rows(keys), &rows(values)));
    }
    out
}
