//! The model's configuration as a package's manifest holds it.
//!
//! The same fields as `adem_model::config`, which gives them their meaning. Stated again because
//! this crate builds without the model and its back ends; a test of the workspace reads one as the
//! other.

use serde::{Deserialize, Serialize};

/// The whole model, as far as the sources have it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelConfig {
    /// The language model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub llama: Option<LlamaConfig>,
    /// The vision encoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipConfig>,
    /// The fusion between them.
    pub adem: AdemConfig,
}

/// A LLaMA-family decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // Those of `adem_model::config::LlamaConfig`.
pub struct LlamaConfig {
    pub dim: u64,
    pub n_layers: u64,
    pub n_heads: u64,
    pub n_kv_heads: Option<u64>,
    pub vocab_size: u64,
    pub ffn_hidden: u64,
    pub norm_eps: f64,
    pub rope_theta: f64,
    pub rope_scaling: Option<RopeScaling>,
    pub rope_style: RopeStyle,
    pub tie_embeddings: bool,
    pub max_seq_len: u64,
}

/// Pairs of channels that RoPE turns. Queries and keys stay as the checkpoint has them; this says
/// which way that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeStyle {
    /// (0, 1), (2, 3), … as in Meta's checkpoints and in GGUF.
    Interleaved,
    /// (0, d/2), (1, d/2 + 1), … as in Hugging Face's checkpoints.
    Half,
}

/// Llama 3's RoPE frequency scaling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct RopeScaling {
    pub rope_type: String,
    pub factor: f64,
    pub low_freq_factor: f64,
    pub high_freq_factor: f64,
    pub original_max_position_embeddings: u64,
}

/// Whose vision transformer it is, where they differ: `adem_model::config::VisionLayout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum VisionLayout {
    #[default]
    Clip,
    Vit {
        classes: u64,
    },
}

impl VisionLayout {
    fn is_clip(&self) -> bool {
        *self == Self::Clip
    }
}

/// A CLIP vision transformer, or a plain ViT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ClipConfig {
    pub image_size: u64,
    pub patch: u64,
    pub width: u64,
    pub layers: u64,
    pub heads: u64,
    pub ln_eps: f64,
    pub run_layers: i64,
    #[serde(default, skip_serializing_if = "VisionLayout::is_clip")]
    pub layout: VisionLayout,
}

/// The fusion; what a checkpoint's tensors do not say is the paper's setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct AdemConfig {
    pub hidden_proj: u64,
    pub clip_adapter_dim: u64,
    pub clip_adapter_scale: f64,
    pub down_sample: Vec<u64>,
    pub pool: String,
    pub with_cls: bool,
    pub input_tokens: u64,
    pub phi: String,
    pub query_from: String,
    pub add_to: String,
    pub drop_ratio: f64,
    pub alpha: f64,
    pub beta: f64,
}

impl Default for AdemConfig {
    fn default() -> Self {
        Self {
            hidden_proj: 128,
            clip_adapter_dim: 12,
            clip_adapter_scale: 0.1,
            down_sample: vec![256, 64],
            pool: "avg".into(),
            with_cls: true,
            input_tokens: 0,
            phi: "silu".into(),
            query_from: "mlp_in".into(),
            add_to: "mlp_out".into(),
            drop_ratio: 0.1,
            alpha: 0.1,
            beta: 0.01,
        }
    }
}

impl LlamaConfig {
    /// Key/value heads.
    pub fn kv_heads(&self) -> u64 {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Channels of one head.
    pub fn head_dim(&self) -> u64 {
        self.dim / self.n_heads.max(1)
    }
}

impl ClipConfig {
    /// Tokens of a picture: its patches and `[cls]`.
    pub fn tokens(&self) -> u64 {
        let grid = self.image_size / self.patch.max(1);
        1 + grid * grid
    }
}
