//! What the kernels compute, in Burn's own operations: the fall-back on every other backend and
//! what the tests compare with.

use burn::tensor::activation::silu;
use burn::tensor::Tensor;

use crate::cross_attention::CrossAttention;
use crate::threshold::keep_mask;

/// Scores `silu(x) K^T` with those below their row's threshold set to 0, `[batch, rows, N]`.
pub fn kept_scores(x: Tensor<3>, keys: Tensor<3>, settings: CrossAttention) -> Tensor<3> {
    let a = silu(x).matmul(keys.swap_dims(1, 2));
    match settings.drop_index {
        None => a,
        Some(index) => {
            let dropped = keep_mask(a.clone().detach(), index).bool_not();
            a.mask_fill(dropped, 0.0)
        }
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
