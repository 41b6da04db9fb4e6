//! Parameter-free cross-attention with adaptive masking (paper, sections 3.1 to 3.3).
//!
//! ```text
//! K = phi(V + emb1)      U = V + emb2            [batch, N, D], once per picture
//! A = phi(x) K^T                                 [batch, T, N], no scale, no normaliser
//! t = ascending_sort(A, per row)[floor(gamma N)]
//! A = where(A < t, 0, A)                         strict, ties kept, no gradient through the mask
//! out = alpha * A U
//! ```

mod projection;

use std::ops::Range;

use adem_kernels::{CrossAttention, cross_attention, cross_attention_onto, ops};
use burn::tensor::Tensor;

use crate::config::{AdemConfig, Projection};
pub use adem_kernels::drop_index;
use projection::{project, scores};

/// K and U of one batch of pictures: all the decoder ever sees of their patches.
#[derive(Debug, Clone)]
pub struct VisualMemory {
    /// Projected keys K, `[batch, N, D]`.
    keys: Tensor<3>,
    /// Values U, `[batch, N, D]`.
    values: Tensor<3>,
}

impl VisualMemory {
    /// K and U from scaled visual features `v` `[batch, N, D]` and the shared position embeddings
    /// `emb1`, `emb2` `[1, N, D]`.
    pub fn new(v: Tensor<3>, emb1: Tensor<3>, emb2: Tensor<3>, phi: Projection) -> Self {
        Self {
            keys: project(ops::add(v.clone(), emb1), phi),
            values: ops::add(v, emb2),
        }
    }

    /// K and U that were computed elsewhere, `[batch, N, D]` each.
    pub fn of(keys: Tensor<3>, values: Tensor<3>) -> Self {
        Self { keys, values }
    }

    /// Projected keys K, `[batch, N, D]`.
    pub fn keys(&self) -> Tensor<3> {
        self.keys.clone()
    }

    /// Values U, `[batch, N, D]`.
    pub fn values(&self) -> Tensor<3> {
        self.values.clone()
    }

    /// Visual tokens N.
    pub fn tokens(&self) -> usize {
        self.keys.dims()[1]
    }

    /// Rows of the batch.
    pub fn batch(&self) -> usize {
        self.keys.dims()[0]
    }

    /// K and U of the visual tokens `range` alone, as if the others had never been: for taking a
    /// scale away from a trained model.
    pub fn narrow(self, range: Range<usize>) -> Self {
        let (start, length) = (range.start, range.len());
        Self {
            keys: self.keys.narrow(1, start, length),
            values: self.values.narrow(1, start, length),
        }
    }

    /// Masked scores of queries `x` `[rows, T, D]` over the visual tokens: `[rows, T, N]`.
    ///
    /// `rows` is a multiple of the batch of pictures: rows that follow one another share one.
    pub fn kept_scores(&self, x: Tensor<3>, config: &AdemConfig) -> Tensor<3> {
        let [rows, t, _] = x.dims();
        self.masked(self.by_picture(x), config)
            .reshape([rows, t, self.tokens()])
    }

    /// `[rows, T, D]` to `[batch, rows / batch * T, D]`.
    fn by_picture(&self, x: Tensor<3>) -> Tensor<3> {
        let [rows, t, dim] = x.dims();
        x.reshape([self.batch(), rows / self.batch() * t, dim])
    }

    /// Scores of queries `x` `[rows, T, D]` over the visual tokens before any is dropped:
    /// `[rows, T, N]`; `rows` as in [`kept_scores`](Self::kept_scores).
    pub fn scores(&self, x: Tensor<3>, config: &AdemConfig) -> Tensor<3> {
        let [rows, t, _] = x.dims();
        let x = project(self.by_picture(x), config.phi);
        scores(x, self.keys.clone(), config.phi).reshape([rows, t, self.tokens()])
    }

    fn masked(&self, x: Tensor<3>, config: &AdemConfig) -> Tensor<3> {
        let a = scores(project(x, config.phi), self.keys.clone(), config.phi);
        match drop_index(config.drop_ratio, self.tokens()) {
            None => a,
            Some(index) => ops::masked(a, index),
        }
    }

    /// What the pictures add to `x` `[rows, T, D]` added to `residual` of the same shape, one row a
    /// picture, for the projection SiLU and without gradients.
    pub(crate) fn attend_onto(
        &self,
        residual: Tensor<3>,
        x: Tensor<3>,
        config: &AdemConfig,
    ) -> Tensor<3> {
        let (keys, values) = (self.keys.clone(), self.values.clone());
        cross_attention_onto(residual, x, keys, values, self.settings(config))
    }

    fn settings(&self, config: &AdemConfig) -> CrossAttention {
        CrossAttention {
            alpha: config.alpha,
            drop_index: drop_index(config.drop_ratio, self.tokens()),
        }
    }

    /// What the pictures add to `x` `[rows, T, D]`: `alpha * A U`, the same shape.
    pub fn attend(&self, x: Tensor<3>, config: &AdemConfig) -> Tensor<3> {
        let shape = x.dims();
        let x = self.by_picture(x);
        let out = match config.phi {
            // The paper's own projection has a kernel.
            Projection::Silu => {
                let (keys, values) = (self.keys.clone(), self.values.clone());
                cross_attention(x, keys, values, self.settings(config))
            }
            _ => {
                let masked = self.masked(x, config);
                ops::scale(ops::matmul(masked, self.values.clone()), config.alpha)
            }
        };
        out.reshape(shape)
    }
}
