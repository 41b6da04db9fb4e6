//! Rotary position embedding (arXiv 2104.09864) and Llama 3's frequency scaling.

use adem_kernels::{host, ops};
use burn::tensor::{Device, Tensor};

use super::Positions;
use crate::config::{LlamaConfig, RopeStyle};

/// Rotary position embedding of one decoder.
#[derive(Debug, Clone)]
pub struct Rope {
    frequencies: Vec<f32>,
    style: RopeStyle,
}

/// Cosines and sines for the tokens of one forward pass, `[batch or 1, 1, tokens, head_dim / 2]`.
#[derive(Debug, Clone)]
pub struct Turn {
    cos: Tensor<4>,
    sin: Tensor<4>,
    style: RopeStyle,
}

impl Rope {
    /// The embedding a decoder's config asks for.
    pub fn new(config: &LlamaConfig) -> Self {
        let head = config.head_dim();
        let frequencies = (0..head / 2)
            .map(|i| {
                // In f32 as the checkpoints' own code does: positions multiply the rounding.
                let exponent = (2 * i) as f32 / head as f32;
                let f = 1.0 / (config.rope_theta as f32).powf(exponent);
                scaled(f, config)
            })
            .collect();
        Self {
            frequencies,
            style: config.rope_style,
        }
    }

    /// Cosines and sines at `positions`.
    pub fn at(&self, positions: &Positions, device: &Device) -> Turn {
        let rows = positions.rows();
        let [batch, tokens] = [rows.len(), positions.tokens()];
        let half = self.frequencies.len();
        let angles: Vec<f32> = rows
            .iter()
            .flat_map(|first| (0..tokens).map(move |t| (first + t as i64).max(0) as f32))
            .flat_map(|position| self.frequencies.iter().map(move |f| position * f))
            .collect();
        let table = |values| host::tensor(values, [batch, 1, tokens, half], device);
        Turn {
            cos: table(angles.iter().map(|a| a.cos()).collect()),
            sin: table(angles.iter().map(|a| a.sin()).collect()),
            style: self.style,
        }
    }

    /// Cosines and sines of one row's `positions`, `[tokens, head_dim / 2]`.
    pub(super) fn tables(&self, positions: &Positions, device: &Device) -> [Tensor<2>; 2] {
        let shape = [positions.tokens(), self.frequencies.len()];
        let Turn { cos, sin, .. } = self.at(positions, device);
        [cos.reshape(shape), sin.reshape(shape)]
    }
}

/// Slows low frequencies by `factor`, keeps high ones and blends between.
fn scaled(frequency: f32, config: &LlamaConfig) -> f32 {
    let Some(s) = &config.rope_scaling else {
        return frequency;
    };
    let old = s.original_max_position_embeddings as f32;
    let (low, high) = (s.low_freq_factor as f32, s.high_freq_factor as f32);
    let factor = s.factor as f32;
    let wavelength = 2.0 * std::f32::consts::PI / frequency;
    if wavelength > old / low {
        frequency / factor
    } else if wavelength < old / high {
        frequency
    } else {
        let mix = (old / wavelength - low) / (high - low);
        (1.0 - mix) * frequency / factor + mix * frequency
    }
}

impl Turn {
    /// Turns queries or keys `[batch, heads, tokens, head_dim]`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let style = match self.style {
            RopeStyle::Half => adem_kernels::RopeStyle::Half,
            RopeStyle::Interleaved => adem_kernels::RopeStyle::Interleaved,
        };
        ops::turn(x, &self.cos, &self.sin, style)
    }
}
