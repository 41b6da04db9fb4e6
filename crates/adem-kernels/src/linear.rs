//! Products with weight matrices, and what is done beside them.

use burn::tensor::Tensor;

use crate::matrix::Matrix;
use crate::reference;

/// What is done with x before the product and with the product before it is returned, in one
/// kernel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// RMSNorm of x with this gain `[k]` and epsilon (arXiv 1910.07467).
    pub norm: Option<(&'a Tensor<1>, f64)>,
    /// A second matrix V: `silu(x W^T) * (x V^T)` (arXiv 2002.05202).
    pub gate: Option<&'a Matrix>,
    /// Added, `[n]`.
    pub bias: Option<&'a Tensor<1>>,
    /// Added, `[batch, rows, n]`.
    pub residual: Option<&'a Tensor<3>>,
}

/// `y = epilogue(x W^T)`: x `[batch, rows, k]`, W `[n, k]`, to `[batch, rows, n]`.
///
/// On wgpu devices one kernel (two for the norm of many rows), without gradients; elsewhere, and
/// for tensors that record gradients, [`reference::linear`].
pub fn linear(x: Tensor<3>, weights: &Matrix, epilogue: Epilogue) -> Tensor<3> {
    #[cfg(feature = "wgpu")]
    if let Some(y) = crate::gpu::linear(&x, weights, &epilogue) {
        return y;
    }
    reference::linear(x, weights, epilogue)
}
