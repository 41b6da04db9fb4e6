//! What the kernels compute, in Burn's own operations: the fall-back on every other backend and
//! what the tests compare with.

use burn::tensor::activation::{silu, softmax};
use burn::tensor::{Int, Tensor};

use crate::cross_attention::CrossAttention;
use crate::decode::{Heads, RopeStyle};
use crate::linear::Epilogue;
use crate::matrix::Matrix;
use crate::ops;
use crate::threshold::keep_mask;

/// Scores `silu(x) K^T` with those below their row's threshold set to 0, `[batch, rows, N]`.
pub fn kept_scores(x: Tensor<3>, keys: Tensor<3>, settings: CrossAttention) -> Tensor<3> {
    let a = ops::matmul_by_rows(ops::silu(x), keys);
    match settings.drop_index {
        None => a,
        Some(index) => ops::masked(a, index),
    }
}

/// [`cross_attention`](crate::cross_attention()).
pub fn cross_attention(
    x: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    settings: CrossAttention,
) -> Tensor<3> {
    kept_scores(x, keys, settings).matmul(values) * settings.alpha
}

/// [`cross_attention_map`](crate::cross_attention_map).
pub fn cross_attention_map(
    x: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    settings: CrossAttention,
) -> (Tensor<3>, Tensor<3>) {
    let a = silu(x).matmul(keys.swap_dims(1, 2));
    let kept = match settings.drop_index {
        None => a.ones_like(),
        Some(index) => keep_mask(a.clone().detach(), index).float(),
    };
    let out = (a * kept.clone()).matmul(values) * settings.alpha;
    (out, kept)
}

/// Root-mean-square normalisation of the last dimension with `gain` `[k]`.
pub fn rms_norm(x: Tensor<3>, gain: &Tensor<1>, eps: f64) -> Tensor<3> {
    ops::rms_norm(x, gain, eps)
}

/// [`linear`](crate::linear()).
pub fn linear(x: Tensor<3>, weights: &Matrix, epilogue: Epilogue) -> Tensor<3> {
    let x = match epilogue.norm {
        Some((gain, eps)) => rms_norm(x, gain, eps),
        None => x,
    };
    let bias = epilogue.bias.cloned();
    let mut y = match (epilogue.gate, bias) {
        (None, bias) => weights.times(x, bias),
        (Some(gate), bias) => {
            let y = ops::mul(
                ops::silu(weights.times(x.clone(), None)),
                gate.times(x, None),
            );
            match bias {
                Some(bias) => ops::add(y, bias.unsqueeze()),
                None => y,
            }
        }
    };
    if let Some(residual) = epilogue.residual {
        y = ops::add(y, residual.clone());
    }
    y
}

/// Turns pairs of `x` `[tokens, heads, head]` by the angles whose cosines and sines are given,
/// `[tokens, head / 2]`.
fn turned(x: Tensor<3>, cos: Tensor<2>, sin: Tensor<2>, style: RopeStyle) -> Tensor<3> {
    let [tokens, heads, head] = x.dims();
    let pairs = head / 2;
    let (cos, sin) = (
        cos.reshape([tokens, 1, pairs]),
        sin.reshape([tokens, 1, pairs]),
    );
    let (a, b) = match style {
        RopeStyle::Half => (x.clone().narrow(2, 0, pairs), x.narrow(2, pairs, pairs)),
        RopeStyle::Interleaved => {
            let x = x.reshape([tokens, heads, pairs, 2]);
            let part = |i| x.clone().narrow(3, i, 1).reshape([tokens, heads, pairs]);
            (part(0), part(1))
        }
    };
    let first = a.clone() * cos.clone() - b.clone() * sin.clone();
    let second = a * sin + b * cos;
    match style {
        RopeStyle::Half => Tensor::cat(vec![first, second], 2),
        RopeStyle::Interleaved => {
            Tensor::stack::<4>(vec![first, second], 3).reshape([tokens, heads, head])
        }
    }
}

/// [`rope_append`](crate::rope_append).
pub fn rope_append(
    qkv: Tensor<2>,
    cos: &Tensor<2>,
    sin: &Tensor<2>,
    [keys, values]: [Tensor<3>; 2],
    past: usize,
    heads: Heads,
) -> (Tensor<2>, [Tensor<3>; 2]) {
    let tokens = qkv.dims()[0];
    let Heads {
        heads: q,
        kv_heads: kv,
        head,
        ..
    } = heads;
    let at = |table: &Tensor<2>| table.clone().narrow(0, past, tokens);
    let part = |first: usize, count: usize| {
        qkv.clone()
            .narrow(1, first * head, count * head)
            .reshape([tokens, count, head])
    };
    let turn = |x| turned(x, at(cos), at(sin), heads.style);
    let queries = turn(part(0, q)).reshape([tokens, q * head]);
    let place = [0..kv, past..past + tokens, 0..head];
    let keys = keys.slice_assign(place.clone(), turn(part(q, kv)).swap_dims(0, 1));
    let values = values.slice_assign(place, part(q + kv, kv).swap_dims(0, 1));
    (queries, [keys, values])
}

/// [`attention`](crate::attention()).
pub fn attention(
    queries: Tensor<2>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    past: usize,
    heads: Heads,
) -> Tensor<2> {
    let tokens = queries.dims()[0];
    let Heads {
        heads: q,
        kv_heads: kv,
        head,
        ..
    } = heads;
    let (all, group) = (past + tokens, q / kv);
    let device = queries.device();
    let queries =
        queries
            .reshape([tokens, q, head])
            .swap_dims(0, 1)
            .reshape([kv, group * tokens, head])
            / (head as f64).sqrt();
    let seen = |cache: &Tensor<3>| cache.clone().narrow(1, 0, all);
    let scores = queries.matmul(seen(keys).swap_dims(1, 2));
    let hidden = Tensor::<2, Int>::ones([tokens, all], &device)
        .triu(past as i64 + 1)
        .bool()
        .reshape([1, 1, tokens, all])
        .expand([kv, group, tokens, all])
        .reshape([kv, group * tokens, all]);
    softmax(scores.mask_fill(hidden, -1e30), 2)
        .matmul(seen(values))
        .reshape([q, tokens, head])
        .swap_dims(0, 1)
        .reshape([tokens, q * head])
}

/// [`self_attention`](crate::self_attention).
pub fn self_attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    let [batch, tokens, width] = qkv.dims();
    let (width, head) = (width / 3, width / 3 / heads);
    let qkv = qkv
        .reshape([batch, tokens, 3, heads, head])
        .permute([2, 0, 3, 1, 4]);
    let part = |i: usize| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0);
    let (q, k, v) = (part(0), part(1), part(2));
    let scores = (q / (head as f64).sqrt()).matmul(k.swap_dims(2, 3));
    softmax(scores, 3)
        .matmul(v)
        .swap_dims(1, 2)
        .reshape([batch, tokens, width])
}

/// [`next_token`](crate::next_token).
pub fn next_token(logits: Tensor<1>, table: &Matrix) -> (Tensor<1, Int>, Tensor<2>) {
    let broken = logits.clone().is_nan().any();
    let id = logits.argmax(0);
    let embedding = table.rows(id.clone().unsqueeze()).squeeze_dim::<2>(0);
    (id.mask_fill(broken, -1), embedding)
}
