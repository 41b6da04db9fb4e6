//! Causal self-attention with grouped queries (arXiv 2305.13245).

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

use super::cache::LayerCache;
use super::rope::Turn;
use crate::config::LlamaConfig;
use crate::nn::{Builder, Linear};
use crate::source::SourceError;

/// Self-attention of one block, without biases.
#[derive(Module, Debug)]
pub struct Attention {
    /// Queries, `[dim, dim]`.
    pub wq: Linear,
    /// Keys, `[kv_heads * head_dim, dim]`.
    pub wk: Linear,
    /// Values, `[kv_heads * head_dim, dim]`.
    pub wv: Linear,
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
        Ok(Self {
            wq: part("wq", [c.dim, c.dim])?,
            wk: part("wk", [c.dim, kv])?,
            wv: part("wv", [c.dim, kv])?,
            wo: part("wo", [c.dim, c.dim])?,
            heads: c.n_heads,
            kv_heads: c.kv_heads(),
        })
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
        let q = turn.apply(split(self.wq.forward(x.clone()), self.heads));
        let k = turn.apply(split(self.wk.forward(x.clone()), self.kv_heads));
        let v = split(self.wv.forward(x), self.kv_heads);
        let (k, v) = match cache {
            Some(cache) => cache.append(k, v),
            None => (k, v),
        };
        let all = k.dims()[2];
        // The queries that share a key head stand below one another: no key is repeated.
        let group = self.heads / self.kv_heads;
        let q = (q / (head as f64).sqrt()).reshape([batch, self.kv_heads, group * tokens, head]);
        let mut scores = q
            .matmul(k.swap_dims(2, 3))
            .reshape([batch, self.heads, tokens, all]);
        if let Some(mask) = mask {
            scores = scores + mask.clone();
        }
        let mixed = softmax(scores, 3)
            .reshape([batch, self.kv_heads, group * tokens, all])
            .matmul(v)
            .reshape([batch, self.heads, tokens, head]);
        self.wo
            .forward(mixed.swap_dims(1, 2).reshape([batch, tokens, dim]))
    }
}
