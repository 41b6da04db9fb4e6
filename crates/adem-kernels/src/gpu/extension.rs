//! The cross-attention as an extension of Burn's backends, with gradients.
//!
//! ```text
//! A  = mask(silu(x) K^T)          no gradient through the mask
//! y  = alpha A U
//! dA = mask(alpha dy U^T)
//! dx = (dA K) silu'(x)            dK = dA^T silu(x)            dU = alpha A^T dy
//! ```
//!
//! The forward pass keeps x, K and U; the backward pass computes scores and mask again.

use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::backend::{Backend, Cube, Dispatch, backend_extension, tensor::FloatTensor};
use burn::tensor::Tensor;

use super::attend::Attend;
use crate::cross_attention::CrossAttention;
use crate::variant::Variant;

#[cfg(feature = "autodiff")]
#[backend_extension(Cube, Autodiff)]
pub(crate) trait CrossAttentionOps: Backend {
    /// `alpha * mask(silu(x) K^T) U` in the form `variant`, which the device is known to run.
    fn cross_attention(
        x: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        settings: CrossAttention,
        variant: Variant,
    ) -> FloatTensor<Self>;
}

#[cfg(not(feature = "autodiff"))]
#[backend_extension(Cube)]
pub(crate) trait CrossAttentionOps: Backend {
    /// `alpha * mask(silu(x) K^T) U` in the form `variant`, which the device is known to run.
    fn cross_attention(
        x: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        settings: CrossAttention,
        variant: Variant,
    ) -> FloatTensor<Self>;
}

/// [`crate::cross_attention()`] on a device that runs it in the form `variant`.
pub(crate) fn cross_attention(
    x: Tensor<3>,
    keys: Tensor<3>,
    values: Tensor<3>,
    settings: CrossAttention,
    variant: Variant,
) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::cross_attention(
        x.into_dispatch(),
        keys.into_dispatch(),
        values.into_dispatch(),
        settings,
        variant,
    ))
}

fn attend(x: CubeTensor, keys: CubeTensor, values: CubeTensor, settings: CrossAttention) -> Attend {
    Attend {
        x: into_contiguous(x),
        keys: into_contiguous(keys),
        values: into_contiguous(values),
        residual: None,
        settings,
    }
}

impl CrossAttentionOps for Cube {
    fn cross_attention(
        x: FloatTensor<Self>,
        keys: FloatTensor<Self>,
        values: FloatTensor<Self>,
        settings: CrossAttention,
        variant: Variant,
    ) -> FloatTensor<Self> {
        attend(x, keys, values, settings).run(variant)
    }
}

#[cfg(feature = "autodiff")]
mod gradients {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::ops::{ActivationOps, FloatTensorOps};
    use burn::tensor::Scalar;

    use super::super::attend::{Attend, Scores, run};
    use super::super::product::{Product, Size, Weights};
    use super::*;
    use crate::variant::Format;

    /// A call whose scores have been computed again.
    struct Again {
        attend: Attend,
        scores: Scores,
    }

    #[derive(Debug)]
    struct CrossAttentionStep;

    impl Backward<Cube, 3> for CrossAttentionStep {
        type State = Attend;

        fn backward(
            self,
            ops: Ops<Attend, 3>,
            gradients: &mut Gradients,
            _checkpointer: &mut Checkpointer,
        ) {
            let dy = into_contiguous(gradients.consume::<Cube>(&ops.node));
            let [x, keys, values] = ops.parents;
            let call = Again {
                scores: ops.state.scores(),
                attend: ops.state,
            };
            if let Some(values) = values {
                gradients.register::<Cube>(values.id, call.values(dy.clone()));
            }
            if x.is_none() && keys.is_none() {
                return;
            }
            let pull = call.pull(dy);
            if let Some(keys) = keys {
                gradients.register::<Cube>(keys.id, call.keys(pull.clone()));
            }
            if let Some(x) = x {
                gradients.register::<Cube>(x.id, call.x(pull));
            }
        }
    }

    impl Again {
        /// `[batch, rows, N, D]`.
        fn size(&self) -> [usize; 4] {
            let masked = self.scores.masked.meta.shape();
            [
                masked[0],
                masked[1],
                masked[2],
                self.attend.x.meta.shape()[2],
            ]
        }

        /// dA, `[batch, rows, N]`.
        fn pull(&self, dy: CubeTensor) -> CubeTensor {
            let [batch, m, n, k] = self.size();
            let weights = Weights::float(Format::Float, self.attend.values.clone());
            let all = run(Product {
                own_weights: true,
                alpha: Some(self.attend.settings.alpha as f32),
                ..Product::new(dy, Size { batch, m, k, n }, weights)
            });
            Cube::float_mul(all, self.scores.kept.clone())
        }

        /// dx, `[batch, rows, D]`.
        fn x(&self, pull: CubeTensor) -> CubeTensor {
            let [batch, m, k, n] = self.size();
            let weights = Weights::float(Format::Across, self.attend.keys.clone());
            let dq = run(Product {
                own_weights: true,
                ..Product::new(pull, Size { batch, m, k, n }, weights)
            });
            // silu'(x) = s (1 + x (1 - s)), s = sigmoid(x)
            let x = self.attend.x.clone();
            let s = Cube::sigmoid(x.clone());
            let rest = Cube::float_add_scalar(Cube::float_neg(s.clone()), Scalar::from(1.0f32));
            let slope = Cube::float_add_scalar(Cube::float_mul(x, rest), Scalar::from(1.0f32));
            Cube::float_mul(dq, Cube::float_mul(s, slope))
        }

        /// dK, `[batch, N, D]`.
        fn keys(&self, pull: CubeTensor) -> CubeTensor {
            let x = self.attend.x.clone();
            let q = Cube::float_mul(x.clone(), Cube::sigmoid(x));
            self.over_rows(pull, q, None)
        }

        /// dU, `[batch, N, D]`.
        fn values(&self, dy: CubeTensor) -> CubeTensor {
            let alpha = self.attend.settings.alpha as f32;
            self.over_rows(self.scores.masked.clone(), dy, Some(alpha))
        }

        /// `alpha * left^T right` of `[batch, rows, N]` and `[batch, rows, D]`.
        fn over_rows(&self, left: CubeTensor, right: CubeTensor, alpha: Option<f32>) -> CubeTensor {
            let [batch, k, m, n] = self.size();
            let weights = Weights::float(Format::Across, into_contiguous(right));
            let left = into_contiguous(Cube::float_swap_dims(left, 1, 2));
            run(Product {
                own_weights: true,
                alpha,
                ..Product::new(left, Size { batch, m, k, n }, weights)
            })
        }
    }

    impl<C: CheckpointStrategy> CrossAttentionOps for Autodiff<Cube, C> {
        fn cross_attention(
            x: FloatTensor<Self>,
            keys: FloatTensor<Self>,
            values: FloatTensor<Self>,
            settings: CrossAttention,
            variant: Variant,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), keys.node(), values.node()];
            let attend = attend(
                x.into_primitive(),
                keys.into_primitive(),
                values.into_primitive(),
                settings,
            );
            match CrossAttentionStep
                .prepare::<C>(nodes)
                .compute_bound()
                .stateful()
            {
                OpsKind::Tracked(step) => {
                    // As backwards, so that both drop the same scores.
                    let out = attend.run(Variant::Split);
                    step.finish(attend, out)
                }
                OpsKind::UnTracked(step) => step.finish(attend.run(variant)),
            }
        }
    }
}
