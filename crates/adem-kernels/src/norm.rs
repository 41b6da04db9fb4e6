//! Normalisation of rows.

use burn::tensor::Tensor;

use crate::{ops, reference};

/// Root-mean-square normalisation (arXiv 1910.07467) of `x` `[batch, rows, k]` with `gain` `[k]`:
/// one kernel on wgpu devices, without gradients; elsewhere [`reference::rms_norm`].
pub fn rms_norm(x: Tensor<3>, gain: &Tensor<1>, eps: f64) -> Tensor<3> {
    #[cfg(feature = "wgpu")]
    if let Some(y) = crate::gpu::norm(&x, gain, None, eps) {
        return y;
    }
    reference::rms_norm(x, gain, eps)
}

/// Layer normalisation (arXiv 1607.06450) of `x` `[batch, rows, k]` with `gain` and `shift` `[k]`:
/// one kernel on wgpu devices, without gradients; elsewhere [`ops::layer_norm`].
pub fn layer_norm(x: Tensor<3>, gain: &Tensor<1>, shift: &Tensor<1>, eps: f64) -> Tensor<3> {
    #[cfg(feature = "wgpu")]
    if let Some(y) = crate::gpu::norm(&x, gain, Some(shift), eps) {
        return y;
    }
    ops::layer_norm(x, gain, shift, eps)
}
