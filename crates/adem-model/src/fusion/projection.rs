//! The projections phi of queries and keys (paper, Table VIII).

use adem_kernels::ops;
use burn::tensor::Tensor;
use burn::tensor::activation::{elu, relu};

use crate::config::Projection;

/// -min over x of SiLU(x).
const SILU_MIN: f64 = 0.278_464_542_761_073_8;

/// phi of queries or keys `[batch, tokens, D]`.
pub(super) fn project(x: Tensor<3>, phi: Projection) -> Tensor<3> {
    match phi {
        Projection::None | Projection::Softmax | Projection::Memory => x,
        Projection::SoftmaxFeat => ops::softmax(x),
        Projection::Relu => ops::map(x, |x| x.max(0.0), relu),
        Projection::Elu => ops::map(x, unit, |x| elu(x, 1.0)),
        Projection::Elu1 => ops::map(x, |x| unit(x) + 1.0, |x| elu(x, 1.0) + 1.0),
        Projection::Silu => ops::silu(x),
        Projection::SiluPositive => {
            ops::map(ops::silu(x), |x| x + SILU_MIN as f32, |x| x + SILU_MIN)
        }
    }
}

/// ELU with a slope of 1 (arXiv 1511.07289).
fn unit(x: f32) -> f32 {
    if x > 0.0 { x } else { x.exp_m1() }
}

/// Scores `[batch, T, N]` of projected queries `[batch, T, D]` against projected keys
/// `[batch, N, D]`.
pub(super) fn scores(q: Tensor<3>, k: Tensor<3>, phi: Projection) -> Tensor<3> {
    let dim = q.dims()[2] as f64;
    let raw = ops::matmul_by_rows(q, k);
    match phi {
        Projection::Softmax => ops::softmax(ops::scale(raw, 1.0 / dim.sqrt())),
        Projection::Memory => ops::silu(raw),
        _ => raw,
    }
}
