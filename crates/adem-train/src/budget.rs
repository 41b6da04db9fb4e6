//! What a model costs before it is built: parameters, memory and arithmetic, from its sizes alone.

use std::fmt;

use adem_model::ModelConfig;
use adem_model::config::{Projection, VisionLayout};

/// Bytes of an `f32`.
const F32: u64 = 4;

/// Numbers of parameters by group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// Decoder: embeddings, blocks, norms and output head; frozen.
    pub decoder: u64,
    /// Vision encoder without its adapters; frozen.
    pub encoder: u64,
    /// Position embeddings of keys and values.
    pub positions: u64,
    /// Projector of the patches.
    pub projector: u64,
    /// Projector of `[cls]` and of input-stage tokens.
    pub projector_cls: u64,
    /// The encoder's bottleneck adapters, those of blocks that are never run included.
    pub adapters: u64,
    /// Of the adapters, those in blocks that are never run.
    pub adapters_unused: u64,
}

impl Parameters {
    /// Counts the parameters of a model.
    pub fn of(config: &ModelConfig) -> Self {
        let (l, c, a) = (&config.llama, &config.clip, &config.adem);
        let [dim, width] = [l.dim, c.width].map(|n| n as u64);
        let kv = (l.kv_heads() * l.head_dim()) as u64;
        let ffn = l.ffn_hidden as u64;
        let vocabulary = l.vocab_size as u64 * dim;
        let block = 2 * dim * dim + 2 * dim * kv + 3 * dim * ffn + 2 * dim;
        let head = if l.tie_embeddings { 0 } else { vocabulary };
        let patch = (3 * c.patch * c.patch) as u64 * width;
        let tokens = (1 + c.grid() * c.grid()) as u64;
        let encoder_block = 12 * width * width + 13 * width;
        // Norms around the blocks, or one of them, a bias and a classifier.
        let around = match c.layout {
            VisionLayout::Clip => 4 * width,
            VisionLayout::Vit { classes } => 3 * width + classes as u64 * (width + 1),
        };
        let hidden = a.hidden_proj as u64;
        let projector = width * hidden + hidden + hidden * dim + dim;
        let adapter = 2 * width * a.clip_adapter_dim as u64;
        let unused = c.layers.saturating_sub(c.blocks_run()) as u64;
        Self {
            decoder: vocabulary + l.n_layers as u64 * block + dim + head,
            encoder: patch + width + tokens * width + around + c.layers as u64 * encoder_block,
            positions: 2 * a.visual_tokens() as u64 * dim,
            projector,
            projector_cls: if a.text_tokens() > 0 { projector } else { 0 },
            adapters: c.layers as u64 * adapter,
            adapters_unused: unused * adapter,
        }
    }

    /// Parameters that are trained.
    pub fn trained(&self) -> u64 {
        self.positions + self.projector + self.projector_cls + self.adapters
    }

    /// Parameters that stay as they are.
    pub fn frozen(&self) -> u64 {
        self.decoder + self.encoder
    }
}

/// What one pass over a micro-batch is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pass {
    /// Pictures.
    pub pictures: usize,
    /// Texts.
    pub rows: usize,
    /// Positions of a text, visual tokens included.
    pub tokens: usize,
    /// Positions of a text that are learned from.
    pub learned: usize,
    /// Bytes of one frozen matrix element.
    pub frozen_bytes: u64,
    /// Blocks are run again in the backward pass.
    pub recompute: bool,
    /// The encoder's features come from a cache.
    pub features_given: bool,
}

/// Memory of training in bytes: an estimate from what the backward pass has to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Frozen weights.
    pub frozen: u64,
    /// Trained weights, their gradients and the optimiser's two moments.
    pub trained: u64,
    /// What the backward pass needs of the forward pass.
    pub activations: u64,
}

impl Memory {
    /// Estimates the memory of training with micro-batches of `pass`.
    pub fn of(config: &ModelConfig, pass: &Pass) -> Self {
        let (l, c, a) = (&config.llama, &config.clip, &config.adem);
        let p = Parameters::of(config);
        let [rows, tokens, dim] = [pass.rows, pass.tokens, l.dim].map(|n| n as u64);
        let n = a.visual_tokens() as u64;
        let stream = rows * tokens * dim * F32;
        // What the fusion keeps of a position: its query, and where it has no backward pass of its
        // own the projected query, scores and mask; else a threshold.
        let fusion = match a.phi {
            Projection::Silu => dim + 1,
            _ => 2 * dim + 2 * n,
        };
        // Norms and residuals, queries, keys and values; gate, up and their product; scores of the
        // attention.
        let block = rows
            * tokens
            * (9 * dim + 3 * l.ffn_hidden as u64 + l.n_heads as u64 * tokens + fusion)
            * F32;
        let blocks = l.n_layers as u64;
        let decoder = match pass.recompute {
            true => block + blocks * stream,
            false => blocks * block,
        };
        let [pictures, width] = [pass.pictures, c.width].map(|n| n as u64);
        let patches = (1 + c.grid() * c.grid()) as u64;
        let seen = pictures * patches * width * F32;
        let encoder_block = pictures * patches * (22 * width + c.heads as u64 * patches) * F32;
        let encoder = match (
            pass.features_given || a.clip_adapter_dim == 0,
            pass.recompute,
        ) {
            (true, _) => seen,
            (false, true) => encoder_block + c.blocks_run() as u64 * seen,
            (false, false) => c.blocks_run() as u64 * encoder_block,
        };
        let memory = 4 * pictures * n * dim * F32;
        let logits = 3 * rows * pass.learned as u64 * l.vocab_size as u64 * F32;
        Self {
            frozen: p.frozen() * pass.frozen_bytes,
            trained: 4 * p.trained() * F32,
            activations: decoder + encoder + memory + logits,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.frozen + self.trained + self.activations
    }
}

/// Floating-point operations of matrix products (a multiplication and an addition count two).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flops {
    /// Encoder, forward.
    pub encoder: u64,
    /// Decoder, fusion and output head, forward.
    pub decoder: u64,
    /// Backward pass; with recomputation its second forward pass, too.
    pub backward: u64,
}

impl Flops {
    /// Counts the operations of one micro-batch.
    pub fn of(config: &ModelConfig, pass: &Pass) -> Self {
        let (l, c, a) = (&config.llama, &config.clip, &config.adem);
        let [rows, tokens, dim] = [pass.rows, pass.tokens, l.dim].map(|n| n as u64);
        let kv = (l.kv_heads() * l.head_dim()) as u64;
        let n = a.visual_tokens() as u64;
        let places = rows * tokens;
        let weights = 2 * dim * dim + 2 * dim * kv + 3 * dim * l.ffn_hidden as u64;
        let blocks = l.n_layers as u64;
        let linear = blocks * 2 * places * weights;
        // Scores and their product with values: of the text, and of the picture.
        let scores = blocks * 4 * places * dim * (tokens + n);
        let head = 2 * rows * pass.learned as u64 * dim * l.vocab_size as u64;
        let [pictures, width] = [pass.pictures, c.width].map(|n| n as u64);
        let patches = (1 + c.grid() * c.grid()) as u64;
        let run = c.blocks_run() as u64;
        let adapter = 2 * width * a.clip_adapter_dim as u64;
        let seen = pictures * patches;
        let encoder_linear = run * 2 * seen * (12 * width * width + adapter);
        let encoder_scores = run * 4 * seen * width * patches;
        let hidden = a.hidden_proj as u64;
        let projected = 2 * pictures * (n + a.text_tokens() as u64) * hidden * (width + dim);
        let encoder = match pass.features_given {
            true => 0,
            false => encoder_linear + encoder_scores,
        };
        // A frozen product has one gradient, a product of two things that both change has two.
        let decoder_backward = linear + 2 * scores + head + 2 * projected;
        let encoder_backward = match encoder > 0 && a.clip_adapter_dim > 0 {
            true => encoder_linear + run * 2 * seen * adapter + 2 * encoder_scores,
            false => 0,
        };
        let again = match pass.recompute {
            true if encoder_backward > 0 => linear + scores + encoder,
            true => linear + scores,
            false => 0,
        };
        Self {
            encoder,
            decoder: linear + scores + head + projected,
            backward: decoder_backward + encoder_backward + again,
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.encoder + self.decoder + self.backward
    }
}

/// A number of bytes for people.
#[derive(Debug, Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0 as f64;
        match self.0 {
            n if n >= 1 << 30 => write!(f, "{:.2} GiB", value / (1u64 << 30) as f64),
            n if n >= 1 << 20 => write!(f, "{:.1} MiB", value / (1u64 << 20) as f64),
            n => write!(f, "{:.1} KiB", n as f64 / 1024.0),
        }
    }
}
