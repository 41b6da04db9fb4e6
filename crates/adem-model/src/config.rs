//! What a model is made of: every size and every switch of the paper, as a serde config.
//!
//! Field names are those of the reference description; a config file that leaves a field out gets
//! the paper's setting.

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// The whole model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The language model.
    pub llama: LlamaConfig,
    /// The vision encoder.
    pub clip: ClipConfig,
    /// The fusion between them.
    pub adem: AdemConfig,
}

/// A LLaMA-family decoder (RMSNorm, RoPE, SwiGLU, optional grouped-query attention).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LlamaConfig {
    /// Width D of the residual stream.
    pub dim: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads (grouped-query attention); `None` means as many as query heads.
    pub n_kv_heads: Option<usize>,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Hidden width of the feed-forward network.
    pub ffn_hidden: usize,
    /// Epsilon of RMSNorm.
    pub norm_eps: f64,
    /// RoPE's base.
    pub rope_theta: f64,
    /// RoPE's frequency scaling, where the checkpoint has one.
    pub rope_scaling: Option<RopeScaling>,
    /// Which channels RoPE turns together; follows the checkpoint's layout.
    pub rope_style: RopeStyle,
    /// The output head shares the token embedding.
    pub tie_embeddings: bool,
    /// Context window in tokens.
    pub max_seq_len: usize,
}

impl Default for LlamaConfig {
    fn default() -> Self {
        Self {
            dim: 4096,
            n_layers: 32,
            n_heads: 32,
            n_kv_heads: None,
            vocab_size: 32000,
            ffn_hidden: 11008,
            norm_eps: 1e-6,
            rope_theta: 10000.0,
            rope_scaling: None,
            rope_style: RopeStyle::Interleaved,
            tie_embeddings: false,
            max_seq_len: 512,
        }
    }
}

impl LlamaConfig {
    /// Key/value heads.
    pub fn kv_heads(&self) -> usize {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Channels of one head.
    pub fn head_dim(&self) -> usize {
        self.dim / self.n_heads
    }
}

/// Pairs of channels that RoPE turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeStyle {
    /// (0, 1), (2, 3), … as in Meta's checkpoints.
    Interleaved,
    /// (0, d/2), (1, d/2 + 1), … as in Hugging Face's checkpoints.
    Half,
}

/// Llama 3's RoPE frequency scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeScaling {
    /// Only `llama3` is known.
    #[serde(alias = "type")]
    pub rope_type: String,
    /// By how much low frequencies are slowed.
    pub factor: f64,
    /// Below old context / this, wavelengths are slowed in full.
    pub low_freq_factor: f64,
    /// Above old context / this, wavelengths stay.
    pub high_freq_factor: f64,
    /// Context window of the pre-training.
    pub original_max_position_embeddings: usize,
}

/// Whose vision transformer it is, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VisionLayout {
    /// OpenAI's CLIP: no bias on patches, a norm before the blocks, QuickGELU.
    #[default]
    Clip,
    /// The plain ViT (Dosovitskiy et al., 2021; Hugging Face's `ViTModel`): a bias on patches, no
    /// norm before the blocks, exact GELU.
    Vit {
        /// Outputs of the classifier over `[cls]`; 0 where there is none.
        classes: usize,
    },
}

impl VisionLayout {
    /// Whether it is CLIP's, which no config needs to say.
    pub fn is_clip(&self) -> bool {
        *self == Self::Clip
    }

    /// Outputs of the classifier; 0 where there is none.
    pub fn classes(&self) -> usize {
        match self {
            Self::Clip => 0,
            Self::Vit { classes } => *classes,
        }
    }
}

/// A CLIP vision transformer in OpenAI's layout, or a plain ViT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClipConfig {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of one patch in pixels.
    pub patch: usize,
    /// Width of the encoder.
    pub width: usize,
    /// Blocks in the checkpoint.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Epsilon of every LayerNorm.
    pub ln_eps: f64,
    /// Blocks that are run; -1 means all but the last, as ADEM-VL does.
    pub run_layers: i64,
    /// Whose encoder it is.
    #[serde(skip_serializing_if = "VisionLayout::is_clip")]
    pub layout: VisionLayout,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self {
            image_size: 224,
            patch: 14,
            width: 1024,
            layers: 24,
            heads: 16,
            ln_eps: 1e-5,
            run_layers: -1,
            layout: VisionLayout::Clip,
        }
    }
}

impl ClipConfig {
    /// Patches along one side, G.
    pub fn grid(&self) -> usize {
        self.image_size / self.patch
    }

    /// Blocks that are run.
    pub fn blocks_run(&self) -> usize {
        usize::try_from(self.run_layers).unwrap_or(self.layers.saturating_sub(1))
    }
}

/// How features of a coarser scale are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// Mean of the window.
    Avg,
    /// Maximum of the window.
    Max,
}

/// Projection of queries and keys before their product (paper, Table VIII).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projection {
    /// Identity.
    None,
    /// Softmax over the visual tokens of the scaled scores.
    Softmax,
    /// Softmax over the channels of queries and of keys.
    SoftmaxFeat,
    /// max(x, 0).
    Relu,
    /// ELU.
    Elu,
    /// ELU + 1.
    Elu1,
    /// x * sigmoid(x), the paper's choice.
    Silu,
    /// SiLU lifted by its minimum, so that it is never negative.
    SiluPositive,
    /// Identity on both, SiLU on the scores: MemVP's memory, the ladder's baseline (Table VI).
    Memory,
}

/// A place in a decoder block (paper, Table VII), in the order of computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Normalised input of the self-attention.
    MhsaIn,
    /// Output of the self-attention.
    MhsaOut,
    /// Normalised input of the feed-forward network.
    MlpIn,
    /// Output of the feed-forward network.
    MlpOut,
}

/// The fusion and its trainable parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdemConfig {
    /// Hidden width of both projectors.
    pub hidden_proj: usize,
    /// Width of the encoder's bottleneck adapters; 0 leaves them out.
    pub clip_adapter_dim: usize,
    /// Scale of the adapters' output.
    pub clip_adapter_scale: f64,
    /// Visual tokens of each scale, each a square number (Table IX).
    pub down_sample: Vec<usize>,
    /// Pooling of the scales.
    pub pool: Pool,
    /// Put the picture's `[cls]` token into the text.
    pub with_cls: bool,
    /// Pooled patch tokens put into the text as well (Table X); 0 for none.
    pub input_tokens: usize,
    /// Projection of queries and keys.
    pub phi: Projection,
    /// Where the query is taken.
    pub query_from: Stage,
    /// Where the result is added.
    pub add_to: Stage,
    /// Share gamma of the visual tokens that the adaptive masking drops, in [0, 1).
    pub drop_ratio: f64,
    /// Weight alpha of the fusion's output.
    pub alpha: f64,
    /// Scale beta of the visual features.
    pub beta: f64,
}

impl Default for AdemConfig {
    fn default() -> Self {
        Self {
            hidden_proj: 128,
            clip_adapter_dim: 12,
            clip_adapter_scale: 0.1,
            down_sample: vec![256, 64],
            pool: Pool::Avg,
            with_cls: true,
            input_tokens: 0,
            phi: Projection::Silu,
            query_from: Stage::MlpIn,
            add_to: Stage::MlpOut,
            drop_ratio: 0.1,
            alpha: 0.1,
            beta: 0.01,
        }
    }
}

impl AdemConfig {
    /// Visual tokens N over all scales.
    pub fn visual_tokens(&self) -> usize {
        self.down_sample.iter().sum()
    }

    /// Visual tokens placed in the text.
    pub fn text_tokens(&self) -> usize {
        usize::from(self.with_cls) + self.input_tokens
    }
}

impl ModelConfig {
    /// Refuses sizes that cannot be built.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first impossible field.
    pub fn validate(&self) -> Result<(), ModelError> {
        self.llama.validate()?;
        self.clip.validate()?;
        self.adem.validate()
    }
}

/// Largest width, depth or count that is believed; beyond it a config is taken for damaged.
const LARGEST: usize = 1 << 20;

fn sized(field: &'static str, value: usize) -> Result<(), ModelError> {
    if value == 0 || value > LARGEST {
        return Err(ModelError::config(
            field,
            format!("is {value}, must be in 1..={LARGEST}"),
        ));
    }
    Ok(())
}

fn finite(field: &'static str, value: f64) -> Result<(), ModelError> {
    if !value.is_finite() {
        return Err(ModelError::config(
            field,
            format!("is {value}, must be a finite number"),
        ));
    }
    Ok(())
}

fn not_negative(field: &'static str, value: f64) -> Result<(), ModelError> {
    match value < 0.0 {
        true => Err(ModelError::config(field, format!("is {value}, below 0"))),
        false => finite(field, value),
    }
}

impl LlamaConfig {
    fn validate(&self) -> Result<(), ModelError> {
        sized("llama.dim", self.dim)?;
        sized("llama.n_layers", self.n_layers)?;
        sized("llama.n_heads", self.n_heads)?;
        sized("llama.n_kv_heads", self.kv_heads())?;
        sized("llama.vocab_size", self.vocab_size)?;
        sized("llama.ffn_hidden", self.ffn_hidden)?;
        sized("llama.max_seq_len", self.max_seq_len)?;
        not_negative("llama.norm_eps", self.norm_eps)?;
        not_negative("llama.rope_theta", self.rope_theta)?;
        if !self.dim.is_multiple_of(self.n_heads) || !self.head_dim().is_multiple_of(2) {
            return Err(ModelError::config(
                "llama.n_heads",
                format!(
                    "{} heads must divide dim {} into even parts",
                    self.n_heads, self.dim
                ),
            ));
        }
        if !self.n_heads.is_multiple_of(self.kv_heads()) {
            return Err(ModelError::config(
                "llama.n_kv_heads",
                format!("{} must divide n_heads {}", self.kv_heads(), self.n_heads),
            ));
        }
        match &self.rope_scaling {
            Some(scaling) if scaling.rope_type != "llama3" => Err(ModelError::config(
                "llama.rope_scaling",
                format!("type `{}` is not known; `llama3` is", scaling.rope_type),
            )),
            _ => Ok(()),
        }
    }
}

impl ClipConfig {
    fn validate(&self) -> Result<(), ModelError> {
        sized("clip.image_size", self.image_size)?;
        sized("clip.patch", self.patch)?;
        sized("clip.width", self.width)?;
        sized("clip.layers", self.layers)?;
        sized("clip.heads", self.heads)?;
        not_negative("clip.ln_eps", self.ln_eps)?;
        if self.layout.classes() > LARGEST {
            return Err(ModelError::config(
                "clip.layout",
                format!("has more than {LARGEST} classes"),
            ));
        }
        if !self.image_size.is_multiple_of(self.patch) {
            return Err(ModelError::config(
                "clip.patch",
                format!("{} must divide image_size {}", self.patch, self.image_size),
            ));
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(ModelError::config(
                "clip.heads",
                format!("{} must divide width {}", self.heads, self.width),
            ));
        }
        if self.blocks_run() > self.layers {
            return Err(ModelError::config(
                "clip.run_layers",
                format!(
                    "{} of {} blocks cannot be run",
                    self.run_layers, self.layers
                ),
            ));
        }
        Ok(())
    }
}

impl AdemConfig {
    fn validate(&self) -> Result<(), ModelError> {
        sized("adem.hidden_proj", self.hidden_proj)?;
        finite("adem.alpha", self.alpha)?;
        finite("adem.beta", self.beta)?;
        finite("adem.clip_adapter_scale", self.clip_adapter_scale)?;
        if self.down_sample.is_empty() {
            return Err(ModelError::config(
                "adem.down_sample",
                "needs at least one scale",
            ));
        }
        for &tokens in &self.down_sample {
            sized("adem.down_sample", tokens)?;
            square("adem.down_sample", tokens)?;
        }
        if self.input_tokens > 0 {
            square("adem.input_tokens", self.input_tokens)?;
        }
        if !(0.0..1.0).contains(&self.drop_ratio) {
            return Err(ModelError::config(
                "adem.drop_ratio",
                format!("is {}, must be at least 0 and less than 1", self.drop_ratio),
            ));
        }
        if self.add_to < self.query_from {
            return Err(ModelError::config(
                "adem.add_to",
                "lies before query_from: the result would be needed before it is computed",
            ));
        }
        Ok(())
    }
}

fn square(field: &'static str, tokens: usize) -> Result<(), ModelError> {
    let side = tokens.isqrt();
    if side * side != tokens || tokens > LARGEST {
        return Err(ModelError::config(
            field,
            format!("{tokens} is not a square number"),
        ));
    }
    Ok(())
}
