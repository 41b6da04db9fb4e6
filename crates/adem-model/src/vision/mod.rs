//! The CLIP vision transformer, with ADEM-VL's bottleneck adapters (paper, section 3.3), and the
//! plain ViT.

mod block;
mod pool;

use adem_kernels::{host, ops};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

pub use block::{Adapter, Attention, Block, Mlp};
pub use pool::pool_grid;

use crate::config::ModelConfig;
use crate::nn::{Builder, LayerNorm, Linear, Weight};
use crate::source::SourceError;

/// Random dropout inside the adapters while training.
#[derive(Debug)]
pub struct Dropout<'a> {
    /// Share of activations set to zero.
    pub probability: f64,
    /// Source of the masks; seeded and saved by the trainer.
    pub rng: &'a mut ChaCha8Rng,
}

/// The blocks, under the name checkpoints give them.
#[derive(Module, Debug)]
pub struct Transformer {
    /// In order; the last one is kept for checkpoints but not run by ADEM-VL.
    pub resblocks: Vec<Block>,
}

/// Convolution weights, applied as a product over unfolded patches.
#[derive(Module, Debug)]
pub struct PatchEmbedding {
    /// `[width, 3, patch, patch]`.
    pub weight: Weight<4>,
    /// `[width]`, a plain ViT's.
    pub bias: Option<Param<Tensor<1>>>,
}

/// CLIP's vision transformer, or a plain ViT ([`VisionLayout`](crate::config::VisionLayout)).
#[derive(Module, Debug)]
pub struct ClipVision {
    /// Patch embedding.
    pub conv1: PatchEmbedding,
    /// `[width]`.
    pub class_embedding: Param<Tensor<1>>,
    /// `[1 + G*G, width]`.
    pub positional_embedding: Param<Tensor<2>>,
    /// Before the blocks, in CLIP.
    pub ln_pre: Option<LayerNorm>,
    /// The blocks.
    pub transformer: Transformer,
    /// Over every token of the result.
    pub ln_post: LayerNorm,
    /// From `[cls]` to classes, where a plain ViT has one.
    pub head: Option<Linear>,
    #[module(skip)]
    patch: usize,
    #[module(skip)]
    run: usize,
}

impl ClipVision {
    /// The encoder under the prefix `name` (`backbone.visual`).
    ///
    /// # Errors
    /// Those of the source.
    pub fn new(b: &mut Builder, name: &str, config: &ModelConfig) -> Result<Self, SourceError> {
        let c = &config.clip;
        let tokens = 1 + c.grid() * c.grid();
        let path = |part: &str| format!("{name}.{part}");
        let resblocks = (0..c.layers)
            .map(|i| Block::new(b, &path(&format!("transformer.resblocks.{i}")), config))
            .collect::<Result<_, _>>()?;
        let clip = c.layout.is_clip();
        Ok(Self {
            conv1: PatchEmbedding {
                weight: b.weight(&path("conv1.weight"), [c.width, 3, c.patch, c.patch])?,
                bias: match clip {
                    true => None,
                    false => Some(b.param(&path("conv1.bias"), [c.width])?),
                },
            },
            class_embedding: b.param(&path("class_embedding"), [c.width])?,
            positional_embedding: b.param(&path("positional_embedding"), [tokens, c.width])?,
            ln_pre: match clip {
                true => Some(LayerNorm::new(b, &path("ln_pre"), c.width, c.ln_eps)?),
                false => None,
            },
            transformer: Transformer { resblocks },
            ln_post: LayerNorm::new(b, &path("ln_post"), c.width, c.ln_eps)?,
            head: match c.layout.classes() {
                0 => None,
                classes => Some(Linear::new(b, &path("head"), [c.width, classes], true)?),
            },
            patch: c.patch,
            run: c.blocks_run(),
        })
    }

    /// Pictures `[batch, 3, side, side]`, normalised, to features `[batch, 1 + G*G, width]`:
    /// `[cls]` first, then patches row by row.
    ///
    /// `dropout` acts inside the adapters; leave it out unless training.
    pub fn forward(&self, pixels: Tensor<4>, mut dropout: Option<Dropout>) -> Tensor<3> {
        let mut x = self.embed(pixels);
        for block in self.blocks_run() {
            x = block.forward(x, dropout.as_mut());
        }
        self.ln_post.forward(x)
    }

    /// As [`forward`](Self::forward) without dropout, with what the first `early` blocks make of
    /// the pictures before it, in the same shape: for auxiliary objectives on lower layers.
    pub fn forward_with_early(&self, pixels: Tensor<4>, early: usize) -> [Tensor<3>; 2] {
        let (low, high) = self.transformer.resblocks[..self.run].split_at(early.min(self.run));
        let run = |x, blocks: &[Block]| blocks.iter().fold(x, |x, b| b.forward(x, None));
        let early = run(self.embed(pixels), low);
        [early.clone(), self.ln_post.forward(run(early, high))]
    }

    /// Every block's output `[batch, 1 + G*G, width]`, the first block's input before it; all
    /// blocks are run.
    pub fn hidden_states(&self, pixels: Tensor<4>) -> Vec<Tensor<3>> {
        let mut states = vec![self.embed(pixels)];
        for block in &self.transformer.resblocks {
            let x = states[states.len() - 1].clone();
            states.push(block.forward(x, None));
        }
        states
    }

    /// Scores `[batch, classes]` of pictures `[batch, 3, side, side]` by a plain ViT's classifier;
    /// `None` where the encoder has none. All blocks are run.
    pub fn classify(&self, pixels: Tensor<4>) -> Option<Tensor<2>> {
        let head = self.head.as_ref()?;
        let blocks = self.transformer.resblocks.iter();
        let x = blocks.fold(self.embed(pixels), |x, block| block.forward(x, None));
        let cls = self.ln_post.forward(x.narrow(1, 0, 1));
        Some(head.forward(cls.squeeze_dim::<2>(1)))
    }

    /// The blocks that are run, in order.
    pub fn blocks_run(&self) -> &[Block] {
        &self.transformer.resblocks[..self.run.min(self.transformer.resblocks.len())]
    }

    /// Pictures `[batch, 3, side, side]` to the first block's input `[batch, 1 + G*G, width]`.
    pub fn embed(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [batch, _, _, side] = pixels.dims();
        let (p, g) = (self.patch, side / self.patch);
        let width = self.class_embedding.dims()[0];
        // A convolution with stride = kernel is one matrix product over unfolded patches.
        let patches = pixels
            .reshape([batch, 3, g, p, g, p])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, g * g, 3 * p * p]);
        let bias = self.conv1.bias.as_ref().map(|bias| bias.val());
        let x = self.conv1.weight.multiply(patches, bias);
        let cls = self
            .class_embedding
            .val()
            .reshape([1, 1, width])
            .expand([batch, 1, width]);
        let places = self.positional_embedding.val().unsqueeze();
        let x = ops::add(ops::cat(vec![cls, x], 1), places);
        match &self.ln_pre {
            Some(norm) => norm.forward(x),
            None => x,
        }
    }
}

/// Constant mask of 0 and 1/(1-p), one value per activation.
fn dropout_mask(shape: [usize; 3], dropout: &mut Dropout, device: &Device) -> Tensor<3> {
    use rand::RngExt;
    let keep = 1.0 - dropout.probability;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| match dropout.rng.random::<f64>() < keep {
            true => (1.0 / keep) as f32,
            false => 0.0,
        })
        .collect();
    host::tensor(values, shape, device)
}
