//! The cross-attention while gradients are recorded, in Burn's own operations on any backend.
//!
//! The graph that Burn makes of [`reference`](crate::reference) keeps silu(x), the masked scores and
//! the mask of every call until its backward pass. Here a call keeps what it was given and a threshold
//! a row; going backwards, scores are computed again:
//!
//! ```text
//! S  = silu(x) K^T      A = where(S < t, 0, S)      y = alpha A U      t is a constant
//! dA = where(S < t, 0, alpha dy U^T)
//! dx = (dA K) silu'(x)            dK = dA^T silu(x)            dU = alpha A^T dy
//! ```
//!
//! The same product on the same device has the same bits, so no score changes sides of its threshold.

#[cfg(any(feature = "wgpu", feature = "cuda"))]
use burn::backend::Cube;
#[cfg(feature = "flex")]
use burn::backend::Flex;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::{Autodiff, Backend, DispatchKindConversion, DispatchTensor};
use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{Bool, Tensor};

use crate::cross_attention::CrossAttention;
use crate::threshold::threshold;

/// [`crate::cross_attention()`] of tensors that record for gradients; `None` for others, and where
/// Burn itself is to say what does not fit.
pub(crate) fn cross_attention(
    x: &Tensor<3>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    settings: CrossAttention,
) -> Option<Tensor<3>> {
    let ([batch, _, dim], [own, tokens, width]) = (x.dims(), keys.dims());
    let fits = [batch, dim] == [own, width]
        && values.dims() == keys.dims()
        && settings.drop_index.is_none_or(|index| index < tokens);
    if !fits || !x.device().is_autodiff() {
        return None;
    }
    let given = [x, keys, values];
    #[cfg(feature = "flex")]
    if let Some(y) = on::<Flex>(given, settings) {
        return Some(y);
    }
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if let Some(y) = on::<Cube>(given, settings) {
        return Some(y);
    }
    None
}

/// The operation where the tensors are those of `B`.
fn on<B: Backend>(given: [&Tensor<3>; 3], settings: CrossAttention) -> Option<Tensor<3>>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let node = |t: &Tensor<3>| {
        let t = t.clone().try_into_primitive::<Autodiff<B>>().ok()?;
        Some(t.node())
    };
    let nodes = [node(given[0])?, node(given[1])?, node(given[2])?];
    let [x, keys, values] = given.map(|t| t.clone().inner());
    let mut call = Call {
        x,
        keys,
        values,
        threshold: None,
        settings,
    };
    let y = call.forward().try_into_primitive::<B>().ok()?;
    let step = Backward::<B, 3>::prepare::<NoCheckpointing>(Step, nodes);
    let y = match step.compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(call, y),
        OpsKind::UnTracked(step) => step.finish(y),
    };
    Some(Tensor::from_primitive::<Autodiff<B>>(y))
}

/// What a call was given, and what its backward pass needs besides; nothing of it records.
#[derive(Debug, Clone)]
struct Call {
    /// `[batch, rows, D]`.
    x: Tensor<3>,
    /// `[batch, N, D]`.
    keys: Tensor<3>,
    /// `[batch, N, D]`.
    values: Tensor<3>,
    /// `[batch, rows, 1]`, where scores are dropped.
    threshold: Option<Tensor<3>>,
    settings: CrossAttention,
}

impl Call {
    /// The result, `[batch, rows, D]`; notes the thresholds.
    fn forward(&mut self) -> Tensor<3> {
        let scores = self.scores(silu(self.x.clone()));
        let index = self.settings.drop_index;
        self.threshold = index.map(|index| threshold(scores.clone(), index));
        let dropped = self.dropped(&scores);
        masked(scores, dropped).matmul(self.values.clone()) * self.settings.alpha
    }

    fn scores(&self, queries: Tensor<3>) -> Tensor<3> {
        queries.matmul(self.keys.clone().swap_dims(1, 2))
    }

    /// Where a score `[batch, rows, N]` is below its row's threshold.
    fn dropped(&self, scores: &Tensor<3>) -> Option<Tensor<3, Bool>> {
        let threshold = self.threshold.clone()?;
        Some(scores.clone().lower(threshold))
    }
}

/// `map` `[batch, rows, N]` with 0 where the score was dropped.
fn masked(map: Tensor<3>, dropped: Option<Tensor<3, Bool>>) -> Tensor<3> {
    match dropped {
        Some(dropped) => map.mask_fill(dropped, 0.0),
        None => map,
    }
}

#[derive(Debug)]
struct Step;

impl<B: Backend> Backward<B, 3> for Step
where
    DispatchTensor: DispatchKindConversion<B>,
{
    type State = Call;

    fn backward(self, ops: Ops<Call, 3>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let dy = Tensor::<3>::from_primitive::<B>(gradients.consume::<B>(&ops.node));
        let mut give = |node: NodeId, gradient: Tensor<3>| {
            // Computed from tensors of B, it is one.
            if let Ok(gradient) = gradient.try_into_primitive::<B>() {
                gradients.register::<B>(node, gradient);
            }
        };
        let [x, keys, values] = ops.parents;
        let call = ops.state;
        let alpha = call.settings.alpha;
        let queries = silu(call.x.clone());
        let scores = call.scores(queries.clone());
        let dropped = call.dropped(&scores);
        if let Some(values) = values {
            let masked = masked(scores, dropped.clone());
            give(values.id, masked.swap_dims(1, 2).matmul(dy.clone()) * alpha);
        }
        if x.is_none() && keys.is_none() {
            return;
        }
        let pull = dy.matmul(call.values.clone().swap_dims(1, 2)) * alpha;
        let pull = masked(pull, dropped);
        if let Some(keys) = keys {
            give(keys.id, pull.clone().swap_dims(1, 2).matmul(queries));
        }
        if let Some(node) = x {
            // silu'(x) = s (1 + x (1 - s)), s = sigmoid(x)
            let x = call.x;
            let s = sigmoid(x.clone());
            let slope = s.clone() * (x * (-s + 1.0) + 1.0);
            give(node.id, pull.matmul(call.keys) * slope);
        }
    }
}

#[cfg(all(test, feature = "flex", feature = "wgpu"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::{Device, DeviceKind, DeviceType, TensorData};

    use super::*;
    use crate::reference;

    /// As on a CUDA device: no kernels, and thresholds by counting.
    #[test]
    fn a_graphics_card_without_kernels_agrees_with_the_reference() {
        if Device::enumerate(DeviceType::Wgpu).is_empty() {
            eprintln!("\n*** SKIPPED: no GPU adapter ***\n");
            return;
        }
        let (sizes, tokens) = ([2, 5, 12], 9);
        for drop_index in [None, Some(0), Some(4), Some(8)] {
            let settings = CrossAttention {
                alpha: 0.3,
                drop_index,
            };
            let run = |device: Device, plain: bool| {
                let device = device.autodiff();
                let leaf = |[batch, rows, dim]: [usize; 3], pace: f32| {
                    let values = (0..batch * rows * dim).map(|i| (i as f32 * pace).sin());
                    let data = TensorData::new(values.collect::<Vec<_>>(), [batch, rows, dim]);
                    Tensor::<3>::from_data(data, &device).require_grad()
                };
                let memory = [sizes[0], tokens, sizes[2]];
                let leaves = [leaf(sizes, 0.7), leaf(memory, 1.3), leaf(memory, 2.1)];
                let [x, keys, values] = &leaves;
                let y = match plain {
                    true => reference::cross_attention(
                        x.clone(),
                        keys.clone(),
                        values.clone(),
                        settings,
                    ),
                    false => cross_attention(x, keys, values, settings).unwrap(),
                };
                let mut found = vec![y.clone().inner()];
                let gradients = (y * leaf(sizes, 3.3).detach()).sum().backward();
                found.extend(leaves.iter().map(|leaf| leaf.grad(&gradients).unwrap()));
                let read = |t: Tensor<3>| t.into_data().try_to_vec::<f32>().unwrap();
                found.into_iter().flat_map(read).collect::<Vec<f32>>()
            };
            let got = run(Device::wgpu(DeviceKind::DefaultDevice), false);
            let want = run(Device::flex(), true);
            assert_eq!(got.len(), want.len());
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 1e-4, "{got} instead of {want}");
            }
        }
    }
}
