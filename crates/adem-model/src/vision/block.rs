//! One pre-norm encoder block.

use adem_kernels::{ops, quick_gelu, self_attention};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Dropout, dropout_mask};
use crate::config::ModelConfig;
use crate::nn::{Builder, LayerNorm, Linear, Weight};
use crate::source::SourceError;

/// Multi-head self-attention with packed projections.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[3 * width, width]`: queries, keys, values.
    pub in_proj_weight: Weight,
    /// `[3 * width]`.
    pub in_proj_bias: Param<Tensor<1>>,
    /// Back to the residual stream.
    pub out_proj: Linear,
    #[module(skip)]
    heads: usize,
}

impl Attention {
    fn new(b: &mut Builder, name: &str, width: usize, heads: usize) -> Result<Self, SourceError> {
        Ok(Self {
            in_proj_weight: b.weight(&format!("{name}.in_proj_weight"), [3 * width, width])?,
            in_proj_bias: b.param(&format!("{name}.in_proj_bias"), [3 * width])?,
            out_proj: Linear::new(b, &format!("{name}.out_proj"), [width, width], true)?,
            heads,
        })
    }

    /// `[batch, tokens, width]` to the same shape.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let qkv = self
            .in_proj_weight
            .multiply(x, Some(self.in_proj_bias.val()));
        self.out_proj.forward(self_attention(qkv, self.heads))
    }
}

/// Feed-forward network with QuickGELU, `x * sigmoid(1.702 x)`, or a plain ViT's exact GELU.
#[derive(Module, Debug)]
pub struct Mlp {
    /// To four times the width.
    pub c_fc: Linear,
    /// Back.
    pub c_proj: Linear,
    #[module(skip)]
    exact: bool,
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let h = self.c_fc.forward(x);
        self.c_proj.forward(match self.exact {
            true => ops::gelu(h),
            false => quick_gelu(h),
        })
    }
}

/// Trainable bottleneck beside the feed-forward network: `scale * fc2(dropout(gelu(fc1 x)))`,
/// exact GELU, no biases.
#[derive(Module, Debug)]
pub struct Adapter {
    /// To the bottleneck.
    pub fc1: Linear,
    /// Back; starts at zero, so that an untrained adapter changes nothing.
    pub fc2: Linear,
    #[module(skip)]
    scale: f64,
}

impl Adapter {
    fn forward(&self, x: Tensor<3>, dropout: Option<&mut Dropout>) -> Tensor<3> {
        let h = ops::gelu(self.fc1.forward(x));
        let h = match dropout {
            Some(d) if d.probability > 0.0 => {
                let mask = dropout_mask(h.dims(), d, &h.device());
                ops::mul(h, mask)
            }
            _ => h,
        };
        ops::scale(self.fc2.forward(h), self.scale)
    }
}

/// A residual block: attention, then feed-forward network and adapter in parallel.
#[derive(Module, Debug)]
pub struct Block {
    /// Before the attention.
    pub ln_1: LayerNorm,
    /// Self-attention.
    pub attn: Attention,
    /// Before the feed-forward network.
    pub ln_2: LayerNorm,
    /// Feed-forward network.
    pub mlp: Mlp,
    /// Bottleneck adapter, where the config has one.
    pub adapter_mlp: Option<Adapter>,
}

impl Block {
    pub(super) fn new(
        b: &mut Builder,
        name: &str,
        config: &ModelConfig,
    ) -> Result<Self, SourceError> {
        let (c, a) = (&config.clip, &config.adem);
        let w = c.width;
        let path = |part: &str| format!("{name}.{part}");
        let adapter_mlp = match a.clip_adapter_dim {
            0 => None,
            dim => Some(Adapter {
                fc1: Linear::new(b, &path("adapter_mlp.fc1"), [w, dim], false)?,
                fc2: Linear::new(b, &path("adapter_mlp.fc2"), [dim, w], false)?,
                scale: a.clip_adapter_scale,
            }),
        };
        Ok(Self {
            ln_1: LayerNorm::new(b, &path("ln_1"), w, c.ln_eps)?,
            attn: Attention::new(b, &path("attn"), w, c.heads)?,
            ln_2: LayerNorm::new(b, &path("ln_2"), w, c.ln_eps)?,
            mlp: Mlp {
                c_fc: Linear::new(b, &path("mlp.c_fc"), [w, 4 * w], true)?,
                c_proj: Linear::new(b, &path("mlp.c_proj"), [4 * w, w], true)?,
                exact: !c.layout.is_clip(),
            },
            adapter_mlp,
        })
    }

    /// `[batch, tokens, width]` to the same shape; `dropout` acts inside the adapter.
    pub fn forward(&self, x: Tensor<3>, dropout: Option<&mut Dropout>) -> Tensor<3> {
        let x = ops::add(x.clone(), self.attn.forward(self.ln_1.forward(x)));
        let h = self.ln_2.forward(x.clone());
        let x = ops::add(x, self.mlp.forward(h.clone()));
        match &self.adapter_mlp {
            Some(adapter) => ops::add(x, adapter.forward(h, dropout)),
            None => x,
        }
    }
}
