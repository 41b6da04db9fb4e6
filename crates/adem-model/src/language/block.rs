//! One decoder block and the places in it where the pictures come in (paper, Table VII).

use adem_kernels::ops;
use burn::module::Module;
use burn::tensor::Tensor;

use super::Vision;
use super::attention::Attention;
use super::cache::LayerCache;
use super::rope::Turn;
use crate::config::{LlamaConfig, Stage};
use crate::nn::{Builder, Linear, RmsNorm};
use crate::source::SourceError;

/// SwiGLU feed-forward network, without biases (arXiv 2002.05202).
#[derive(Module, Debug)]
pub struct FeedForward {
    /// Gate, `[hidden, dim]`.
    pub w1: Linear,
    /// Output, `[dim, hidden]`.
    pub w2: Linear,
    /// Up, `[hidden, dim]`.
    pub w3: Linear,
}

impl FeedForward {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let gate = ops::silu(self.w1.forward(x.clone()));
        self.w2.forward(ops::mul(gate, self.w3.forward(x)))
    }
}

/// A residual block.
#[derive(Module, Debug)]
pub struct Block {
    /// Self-attention.
    pub attention: Attention,
    /// Feed-forward network.
    pub feed_forward: FeedForward,
    /// Before the attention.
    pub attention_norm: RmsNorm,
    /// Before the feed-forward network; its output is the fusion's query by default.
    pub ffn_norm: RmsNorm,
}

/// The fusion of one block: takes its query at one stage, adds its result at the same or a later
/// one.
struct Fuse<'a> {
    vision: Option<Vision<'a>>,
    result: Option<Tensor<3>>,
}

impl Fuse<'_> {
    fn at(&mut self, stage: Stage, x: Tensor<3>) -> Tensor<3> {
        let Some(vision) = self.vision else { return x };
        if stage == vision.config.query_from {
            if let Some(trace) = vision.trace {
                trace.note(vision.memory, &x, vision.config);
            }
            self.result = Some(vision.memory.attend(x.clone(), vision.config));
        }
        match (stage == vision.config.add_to, self.result.take()) {
            (true, Some(result)) => ops::add(x, result),
            (_, result) => {
                self.result = result;
                x
            }
        }
    }
}

impl Block {
    pub(super) fn new(b: &mut Builder, name: &str, c: &LlamaConfig) -> Result<Self, SourceError> {
        let path = |part: &str| format!("{name}.{part}");
        Ok(Self {
            attention: Attention::new(b, &path("attention"), c)?,
            feed_forward: FeedForward {
                w1: Linear::new(b, &path("feed_forward.w1"), [c.dim, c.ffn_hidden], false)?,
                w2: Linear::new(b, &path("feed_forward.w2"), [c.ffn_hidden, c.dim], false)?,
                w3: Linear::new(b, &path("feed_forward.w3"), [c.dim, c.ffn_hidden], false)?,
            },
            attention_norm: RmsNorm::new(b, &path("attention_norm"), c.dim, c.norm_eps)?,
            ffn_norm: RmsNorm::new(b, &path("ffn_norm"), c.dim, c.norm_eps)?,
        })
    }

    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        vision: Option<Vision>,
        turn: &Turn,
        mask: Option<&Tensor<4>>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let mut fuse = Fuse {
            vision,
            result: None,
        };
        let normed = fuse.at(Stage::MhsaIn, self.attention_norm.forward(x.clone()));
        let mixed = self.attention.forward(normed, turn, mask, cache);
        let h = ops::add(x, fuse.at(Stage::MhsaOut, mixed));
        let normed = fuse.at(Stage::MlpIn, self.ffn_norm.forward(h.clone()));
        ops::add(h, fuse.at(Stage::MlpOut, self.feed_forward.forward(normed)))
    }
}
