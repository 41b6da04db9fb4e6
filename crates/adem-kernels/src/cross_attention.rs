//! Parameter-free cross-attention (paper, section 3.2 and eq. 9).

use burn::tensor::Tensor;

use crate::{cpu, host, ops, reference};

/// What the cross-attention does besides its tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossAttention {
    /// Weight of the result.
    pub alpha: f64,
    /// Sorted position of each row's threshold (see [`drop_index`](crate::drop_index)); `None`
    /// keeps all scores.
    pub drop_index: Option<usize>,
}

/// `alpha * A U` with `A = mask(silu(x) K^T)`: queries `x` `[batch, rows, D]`, projected keys K and
/// values U `[batch, N, D]`, to `[batch, rows, D]`.
///
/// On wgpu devices a kernel, on the CPU backend in the program's memory, elsewhere
/// [`reference::cross_attention`]. While gradients are recorded
/// it has a backward pass of its own on all of them, which keeps x, K and U alone and computes the
/// scores again.
pub fn cross_attention(
    x: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    settings: CrossAttention,
) -> Tensor<3> {
    #[cfg(feature = "wgpu")]
    if let Some(plan) = crate::gpu::plan_attend(&x, &keys, &values, settings) {
        return crate::gpu::cross_attention(x, keys, values, settings, plan);
    }
    #[cfg(feature = "autodiff")]
    if let Some(y) = crate::recorded::cross_attention(&x, &keys, &values, settings) {
        return y;
    }
    if crate::on_host(&x.device()) {
        return on_host(x, &keys, &values, settings);
    }
    reference::cross_attention(x, keys, values, settings)
}

fn on_host(
    x: Tensor<3>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    settings: CrossAttention,
) -> Tensor<3> {
    let (device, [batch, rows, d]) = (x.device(), x.dims());
    let n = keys.dims()[1];
    let (x, keys, values) = (host::view(&x), host::view(keys), host::view(values));
    let mut out = Vec::with_capacity(x.len());
    for i in 0..batch {
        let [keys, values] = [&keys, &values].map(|all| &all[i * n * d..][..n * d]);
        out.extend(cpu::cross_attention(
            &x[i * rows * d..][..rows * d],
            [keys, values],
            d,
            settings.alpha as f32,
            settings.drop_index,
        ));
    }
    host::tensor(out, [batch, rows, d], &device)
}

/// [`cross_attention`] and the map of kept scores `[batch, rows, N]`, 1 where a score was kept
/// and 0 where not. No gradient flows through it on wgpu.
pub fn cross_attention_map(
    x: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    settings: CrossAttention,
) -> (Tensor<3>, Tensor<3>) {
    #[cfg(feature = "wgpu")]
    if let Some(both) = crate::gpu::cross_attention_map(&x, &keys, &values, None, settings) {
        return both;
    }
    reference::cross_attention_map(x, keys, values, settings)
}

/// [`cross_attention`] added to `residual` `[batch, rows, D]`, in the same kernel. No gradient
/// flows through it on wgpu.
pub fn cross_attention_onto(
    residual: Tensor<3>,
    x: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    settings: CrossAttention,
) -> Tensor<3> {
    #[cfg(feature = "wgpu")]
    if let Some(out) = crate::gpu::cross_attention_onto(&residual, &x, &keys, &values, settings) {
        return out;
    }
    ops::add(residual, cross_attention(x, keys, values, settings))
}
