//! Causal self-attention with grouped queries (arXiv 2305.13245).

use adem_kernels::ops;
use burn::module::Module;
use burn::tensor::Tensor;

use super::cache::LayerCache;
use super::rope::Turn;
use crate::config::LlamaConfig;
use crate::nn::{Builder, Linear};
use crate::source::SourceError;

/// Self-attention of one block, without biases.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, `[dim, dim]`; where `wk` and `wv` are none, queries, keys and values below one
    /// another.
    pub wq: Linear,
    /// Keys, `[kv_heads * head_dim, dim]`.
    pub wk: Option<Linear>,
    /// Values, `[kv_heads * head_dim, dim]`.
    pub wv: Option<Linear>,
    /// Output, `[dim, dim]`.
    pub wo: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    kv_heads: usize,
}

impl Attention {
    pub(super) fn new(b: &mut Builder, name: &str, c: &LlamaConfig) -> Result<Self, SourceError> {
        let kv = c.kv_heads() * c.head_dim();
        let mut part =
            |part: &str, widths| Linear::new(b, &format!("{name}.{part}"), widths, false);
        let parts = [
            part("wq", [c.dim, c.dim])?,
            part("wk", [c.dim, kv])?,
            part("wv", [c.dim, kv])?,
        ];
        let wo = part("wo", [c.dim, c.dim])?;
        let (wq, wk, wv) = match Linear::joined(b, &parts) {
            Some(joined) => (joined, None, None),
            None => {
                let [wq, wk, wv] = parts;
                (wq, Some(wk), Some(wv))
            }
        };
        Ok(Self {
            wq,
            wk,
            wv,
            wo,
            heads: c.n_heads,
            kv_heads: c.kv_heads(),
        })
    }

    /// Whether queries, keys and values are one matrix.
    pub(super) fn is_joined(&self) -> bool {
        self.wk.is_none() && self.wv.is_none()
    }

    /// Queries, keys and values of `x`.
    fn project(&self, x: Tensor<3>) -> [Tensor<3>; 3] {
        let dim = x.dims()[2];
        let first = self.wq.forward(x.clone());
        if let (Some(wk), Some(wv)) = (&self.wk, &self.wv) {
            return [first, wk.forward(x.clone()), wv.forward(x)];
        }
        let kv = dim / self.heads * self.kv_heads;
        let part = |start, width| first.clone().narrow(2, start, width);
        [part(0, dim), part(dim, kv), part(dim + kv, kv)]
    }

    /// `[batch, tokens, dim]` to the same shape. `mask` is added to the scores,
    /// `[batch or 1, 1, tokens, all tokens]`.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        turn: &Turn,
        mask: Option<&Tensor<4>>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let head = dim / self.heads;
        let split = |y: Tensor<3>, heads| y.reshape([batch, tokens, heads, head]).swap_dims(1, 2);
        let [q, k, v] = self.project(x);
        let q = turn.apply(split(q, self.heads));
        let k = turn.apply(split(k, self.kv_heads));
        let v = split(v, self.kv_heads);
        let (k, v) = match cache {
            Some(cache) => cache.append(k, v),
            None => (k, v),
        };
        let all = k.dims()[2];
        // The queries that share a key head stand below one another: no key is repeated.
        let group = self.heads / self.kv_heads;
        let q = ops::scale(q, 1.0 / (head as f64).sqrt());
        let q = q.reshape([batch, self.kv_heads, group * tokens, head]);
        let mut scores = ops::matmul_by_rows(q, k).reshape([batch, self.heads, tokens, all]);
        if let Some(mask) = mask {
            scores = ops::add(scores, mask.clone());
        }
        let scores = ops::softmax(scores).reshape([batch, self.kv_heads, group * tokens, all]);
        let mixed = ops::matmul(scores, v).reshape([batch, self.heads, tokens, head]);
        self.wo
            .forward(mixed.swap_dims(1, 2).reshape([batch, tokens, dim]))
    }
}
