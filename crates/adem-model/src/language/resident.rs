//! Decoding one text with the kernels alone: a cache of fixed size that is written in place, and
//! at most eight dispatches a block and step.

use adem_kernels::{Epilogue, Heads, Kernels, linear, next_token, rms_norm, rope_attention};
use burn::tensor::{Device, Int, Tensor};

use super::block::Block;
use super::cache::Positions;
use super::{Llama, Vision};
use crate::config::{AdemConfig, Projection, Stage};

/// The KV cache of one text, in memory that stays where it is.
#[derive(Debug)]
pub struct ResidentCache {
    kernels: Kernels,
    /// Keys and values of each block, `[kv_heads, capacity, head]`.
    layers: Vec<[Tensor<3>; 2]>,
    /// Cosines and sines of every position, `[capacity, head / 2]`.
    turns: [Tensor<2>; 2],
    /// Tokens held.
    past: usize,
}

impl ResidentCache {
    /// An empty cache for `capacity` tokens; `None` where the decoder was not built for kernels
    /// (see [`Builder::for_inference`](crate::nn::Builder::for_inference)), or the fusion is one
    /// they do not have.
    pub fn new(
        llama: &Llama,
        fusion: &AdemConfig,
        capacity: usize,
        device: &Device,
    ) -> Option<Self> {
        let kernels = Kernels::of(device)?;
        let joined = llama.layers.iter().all(|b| b.attention.is_joined());
        let known = fusion.phi == Projection::Silu && fusion.query_from == Stage::MlpIn;
        if !joined || !known || capacity == 0 {
            return None;
        }
        let Heads { kv_heads, head, .. } = llama.heads;
        let empty = || Tensor::empty([kv_heads, capacity, head], device);
        Some(Self {
            kernels,
            layers: llama.layers.iter().map(|_| [empty(), empty()]).collect(),
            turns: llama.rope.tables(&Positions::new(capacity, 0, &[]), device),
            past: 0,
        })
    }
}

impl Llama {
    /// Embeddings `[1, tokens, dim]` of the next tokens to the logits `[1, 1, vocabulary]` after the
    /// last. `past + tokens` must fit the cache.
    pub fn step(
        &self,
        embeddings: Tensor<3>,
        vision: Option<Vision>,
        cache: &mut ResidentCache,
    ) -> Tensor<3> {
        cache.kernels.attest();
        let [_, tokens, _] = embeddings.dims();
        let ResidentCache {
            layers,
            turns,
            past,
            ..
        } = cache;
        let mut h = embeddings;
        for (block, kept) in self.layers.iter().zip(layers) {
            h = block.step(h, vision, kept, turns, *past, self.heads);
        }
        *past += tokens;
        let last = match tokens {
            1 => h,
            _ => h.narrow(1, tokens - 1, 1),
        };
        let epilogue = Epilogue {
            norm: Some((&self.norm.weight.val(), self.norm.eps())),
            ..Epilogue::default()
        };
        linear(last, &self.head().matrix(), epilogue)
    }

    /// The most likely token of logits `[1, 1, vocabulary]`, `[1]`, and its embedding
    /// `[1, 1, dim]`, both still on the device.
    pub fn most_likely(&self, logits: Tensor<3>) -> (Tensor<1, Int>, Tensor<3>) {
        let table = self.tok_embeddings.weight.matrix();
        let [vocabulary, dim] = table.shape();
        let (id, embedding) = next_token(logits.reshape([vocabulary]), &table);
        (id, embedding.reshape([1, 1, dim]))
    }
}

impl Block {
    fn step(
        &self,
        x: Tensor<3>,
        vision: Option<Vision>,
        kept: &mut [Tensor<3>; 2],
        [cos, sin]: &[Tensor<2>; 2],
        past: usize,
        heads: Heads,
    ) -> Tensor<3> {
        let [_, tokens, dim] = x.dims();
        let norm = &self.attention_norm;
        let epilogue = Epilogue {
            norm: Some((&norm.weight.val(), norm.eps())),
            ..Epilogue::default()
        };
        let qkv = linear(x.clone(), &self.attention.wq.weight.matrix(), epilogue);
        let width = qkv.dims()[2];
        let qkv = qkv.reshape([tokens, width]);
        let (mixed, cache) = rope_attention(qkv, cos, sin, kept.clone(), past, heads);
        *kept = cache;
        let mixed = mixed.reshape([1, tokens, dim]);
        let h = onto(&x, mixed, &self.attention.wo.weight.matrix());

        let norm = &self.ffn_norm;
        let normed = rms_norm(h.clone(), &norm.weight.val(), norm.eps());
        let (normed, residual) = match vision {
            None => (normed, h),
            Some(Vision { memory, config, .. }) if config.add_to == Stage::MlpOut => {
                let residual = memory.attend_onto(h, normed.clone(), config);
                (normed, residual)
            }
            Some(Vision { memory, config, .. }) => {
                (memory.attend_onto(normed.clone(), normed, config), h)
            }
        };
        let net = &self.feed_forward;
        let epilogue = Epilogue {
            gate: Some(&net.w3.weight.matrix()),
            ..Epilogue::default()
        };
        let hidden = linear(normed, &net.w1.weight.matrix(), epilogue);
        onto(&residual, hidden, &net.w2.weight.matrix())
    }
}

/// `residual + x W^T`.
fn onto(residual: &Tensor<3>, x: Tensor<3>, weights: &adem_kernels::Matrix) -> Tensor<3> {
    let epilogue = Epilogue {
        residual: Some(residual),
        ..Epilogue::default()
    };
    linear(x, weights, epilogue)
}
