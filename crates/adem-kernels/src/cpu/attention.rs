//! Self-attention of a vision encoder.

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use super::Level;
use super::dense::{self, STEP};
use super::pointwise::softmax;

/// `qkv` `[batch, tokens, 3 width]`, queries, keys and values of `heads` heads side by side, to
/// `[batch, tokens, width]`.
pub(crate) fn self_attention(qkv: &[f32], [tokens, width]: [usize; 2], heads: usize) -> Vec<f32> {
    let (level, head) = (Level::best(), width / heads);
    let mut out = vec![0.0; qkv.len() / 3];
    if out.is_empty() {
        return out;
    }
    let pictures = qkv.chunks_exact(3 * width * tokens);
    for (qkv, out) in pictures.zip(out.chunks_exact_mut(width * tokens)) {
        let one = |(index, mut out): (usize, Vec<&mut [f32]>)| {
            let part = |which: usize| {
                let first = which * width + index * head;
                qkv.chunks_exact(3 * width)
                    .map(move |row| &row[first..][..head])
            };
            attend(level, [part(0), part(1), part(2)], head, &mut out);
        };
        let all = dense::columns(out, width, head);
        #[cfg(not(target_arch = "wasm32"))]
        if dense::threads(2 * tokens * tokens * width) > 1 {
            all.into_par_iter().enumerate().for_each(one);
            continue;
        }
        all.into_iter().enumerate().for_each(one);
    }
    out
}

/// One head: queries, keys and values are as many rows of `head` numbers as `out`.
fn attend<'a>(
    level: Level,
    [queries, keys, values]: [impl Iterator<Item = &'a [f32]>; 3],
    head: usize,
    out: &mut [&mut [f32]],
) {
    let tokens = out.len();
    let scale = 1.0 / (head as f32).sqrt();
    let queries: Vec<f32> = queries.flatten().map(|x| x * scale).collect();
    let keys: Vec<f32> = keys.flatten().copied().collect();
    // Filled up with zeros, so that the second product takes whole steps too.
    let padded = tokens.next_multiple_of(STEP);
    let mut scores = vec![0.0; tokens * padded];
    let mut rows: Vec<_> = scores
        .chunks_exact_mut(padded)
        .map(|row| &mut row[..tokens])
        .collect();
    level.dense(&queries, &keys, head, &mut rows);
    rows.into_iter().for_each(softmax);
    let mut turned = vec![0.0; head * padded];
    for (token, values) in values.enumerate() {
        for (i, value) in values.iter().enumerate() {
            turned[i * padded + token] = *value;
        }
    }
    level.dense(&scores, &turned, padded, out);
}
