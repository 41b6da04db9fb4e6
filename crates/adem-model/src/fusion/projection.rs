//! The projections phi of queries and keys (paper, Table VIII).

use burn::tensor::Tensor;
use burn::tensor::activation::{elu, relu, silu, softmax};

use crate::config::Projection;

/// -min over x of SiLU(x).
const SILU_MIN: f64 = 0.278_464_542_761_073_8;

/// phi of queries or keys `[batch, tokens, D]`.
pub(super) fn project(x: Tensor<3>, phi: Projection) -> Tensor<3> {
    match phi {
        Projection::None | Projection::Softmax | Projection::Memory => x,
        Projection::SoftmaxFeat => softmax(x, 2),
        Projection::Relu => relu(x),
        Projection::Elu => elu(x, 1.0),
        Projection::Elu1 => elu(x, 1.0) + 1.0,
        Projection::Silu => silu(x),
        Projection::SiluPositive => silu(x) + SILU_MIN,
    }
}

/// Scores `[batch, T, N]` of projected queries `[batch, T, D]` against projected keys
/// `[batch, N, D]`.
pub(super) fn scores(q: Tensor<3>, k: Tensor<3>, phi: Projection) -> Tensor<3> {
    let dim = q.dims()[2] as f64;
    let raw = q.matmul(k.swap_dims(1, 2));
    match phi {
        Projection::Softmax => softmax(raw / dim.sqrt(), 2),
        Projection::Memory => silu(raw),
        _ => raw,
    }
}
