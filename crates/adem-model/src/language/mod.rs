//! A LLaMA-family decoder (arXiv 2302.13971, 2307.09288), with the fusion inside its blocks.

mod attention;
mod block;
mod cache;
mod resident;
mod rope;

use adem_kernels::Heads;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

pub use attention::Attention;
pub use block::{Block, FeedForward};
pub use cache::{KvCache, Positions};
pub use resident::ResidentCache;
pub use rope::Rope;

use crate::config::{AdemConfig, LlamaConfig, RopeStyle};
use crate::fusion::VisualMemory;
use crate::nn::{Builder, Embedding, Linear, RmsNorm, Weight};
use crate::source::SourceError;
use crate::trace::Trace;

/// The pictures as every decoder block sees them.
#[derive(Debug, Clone, Copy)]
pub struct Vision<'a> {
    /// K and U.
    pub memory: &'a VisualMemory,
    /// Placement, masking and weight of the fusion.
    pub config: &'a AdemConfig,
    /// Notes what every block looks at, where somebody wants to see it.
    pub trace: Option<&'a Trace>,
}

/// What all blocks of one forward pass share: the rotations and what tokens may look at.
#[derive(Debug, Clone)]
pub struct Surroundings {
    turn: rope::Turn,
    mask: Option<Tensor<4>>,
}

/// The decoder.
#[derive(Module, Debug)]
pub struct Llama {
    /// Token embeddings, `[vocabulary, dim]`.
    pub tok_embeddings: Embedding,
    /// The blocks.
    pub layers: Vec<Block>,
    /// Before the output head.
    pub norm: RmsNorm,
    /// Output head; `None` where it shares the embeddings.
    pub output: Option<Linear>,
    #[module(skip)]
    rope: Rope,
    #[module(skip)]
    heads: Heads,
}

impl Llama {
    /// The decoder; its tensors have no prefix (`layers.0.attention.wq.weight`).
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &mut Builder, c: &LlamaConfig) -> Result<Self, SourceError> {
        let tok_embeddings = Embedding::new(b, "tok_embeddings", [c.vocab_size, c.dim])?;
        let layers = (0..c.n_layers)
            .map(|i| Block::new(b, &format!("layers.{i}"), c))
            .collect::<Result<_, _>>()?;
        let norm = RmsNorm::new(b, "norm", c.dim, c.norm_eps)?;
        let output = match c.tie_embeddings {
            true => None,
            false => Some(Linear::new(b, "output", [c.dim, c.vocab_size], false)?),
        };
        Ok(Self {
            tok_embeddings,
            layers,
            norm,
            output,
            rope: Rope::new(c),
            heads: Heads {
                heads: c.n_heads,
                kv_heads: c.kv_heads(),
                head: c.head_dim(),
                style: match c.rope_style {
                    RopeStyle::Interleaved => adem_kernels::RopeStyle::Interleaved,
                    RopeStyle::Half => adem_kernels::RopeStyle::Half,
                },
            },
        })
    }

    /// Token ids `[batch, tokens]` to embeddings `[batch, tokens, dim]`.
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.tok_embeddings.forward(ids)
    }

    /// Embeddings `[batch, tokens, dim]` to normalised hidden states of the same shape, appending
    /// to `cache` where there is one.
    ///
    /// `positions` says where the tokens stand in their rows and what they may look at.
    pub fn hidden(
        &self,
        embeddings: Tensor<3>,
        vision: Option<Vision>,
        positions: &Positions,
        cache: Option<&mut KvCache>,
    ) -> Tensor<3> {
        let mut last = embeddings.clone();
        self.run(embeddings, vision, positions, cache, |h| last = h.clone());
        self.norm.forward(last)
    }

    /// The residual stream before each block and after the last, `[batch, tokens, dim]` each.
    pub fn hidden_states(
        &self,
        embeddings: Tensor<3>,
        vision: Option<Vision>,
        positions: &Positions,
        cache: Option<&mut KvCache>,
    ) -> Vec<Tensor<3>> {
        let mut states = vec![embeddings.clone()];
        self.run(embeddings, vision, positions, cache, |h| {
            states.push(h.clone())
        });
        states
    }

    /// Runs the blocks and shows `seen` the residual stream after each.
    fn run(
        &self,
        embeddings: Tensor<3>,
        vision: Option<Vision>,
        positions: &Positions,
        mut cache: Option<&mut KvCache>,
        mut seen: impl FnMut(&Tensor<3>),
    ) {
        let around = self.surroundings(positions, &embeddings.device());
        let mut h = embeddings;
        for (i, block) in self.layers.iter().enumerate() {
            let layer = cache.as_deref_mut().map(|c| c.layer(i));
            h = block.forward(h, vision, &around.turn, around.mask.as_ref(), layer);
            seen(&h);
        }
        if let Some(cache) = cache {
            cache.advance(positions.tokens());
        }
    }

    /// What the blocks share in a forward pass over tokens at `positions`.
    pub fn surroundings(&self, positions: &Positions, device: &Device) -> Surroundings {
        Surroundings {
            turn: self.rope.at(positions, device),
            mask: positions.mask(device),
        }
    }

    /// The residual stream `[batch, tokens, dim]` through block `index` alone, without a cache:
    /// for a trainer that recomputes block by block.
    pub fn through(
        &self,
        index: usize,
        h: Tensor<3>,
        vision: Option<Vision>,
        around: &Surroundings,
    ) -> Tensor<3> {
        self.layers[index].forward(h, vision, &around.turn, around.mask.as_ref(), None)
    }

    /// Hidden states `[batch, tokens, dim]` to logits `[batch, tokens, vocabulary]`.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head().multiply(hidden, None)
    }

    fn head(&self) -> &Weight {
        match &self.output {
            Some(output) => &output.weight,
            None => &self.tok_embeddings.weight,
        }
    }
}
