//! The sizes of a decoder in a GGUF file (ggml-org/ggml, docs/gguf.md, "LLM").

use super::{checked, llama3_scaling};
use crate::config::{LlamaConfig, RopeScaling, RopeStyle};
use crate::error::ImportError;
use crate::gguf::{Metadata, Value};
use crate::limits;

/// The config of a GGUF file; `factors` are its `rope_freqs.weight`, where it has one.
pub(crate) fn gguf(
    file: &str,
    metadata: &Metadata,
    has_output: bool,
    vocab_size: Option<u64>,
    factors: Option<&[f32]>,
) -> Result<LlamaConfig, ImportError> {
    let fault = |field: &str, reason: String| ImportError::config(file, field, reason);
    let get = |field: &str| metadata.get(&format!("llama.{field}"));
    let architecture = metadata
        .get("general.architecture")
        .and_then(Value::as_str)
        .unwrap_or("missing");
    if architecture != "llama" {
        let reason = format!("is {architecture}; `llama` is read");
        return Err(fault("general.architecture", reason));
    }
    let size_or_none = |field: &str| match get(field) {
        None => Ok(None),
        Some(value) => value
            .as_u64()
            .filter(|size| (1..=limits::LARGEST).contains(size))
            .map(Some)
            .ok_or_else(|| {
                let reason = format!("must be a number in 1..={}", limits::LARGEST);
                fault(&format!("llama.{field}"), reason)
            }),
    };
    let size = |field: &str| {
        size_or_none(field)?.ok_or_else(|| fault(&format!("llama.{field}"), "is missing".into()))
    };
    let heads = size("attention.head_count")?;
    let kv_heads = size_or_none("attention.head_count_kv")?.unwrap_or(heads);
    let vocab_size = vocab_size.map_or_else(|| size("vocab_size"), Ok)?;
    let epsilon = get("attention.layer_norm_rms_epsilon").and_then(Value::as_f64);
    let field = "llama.attention.layer_norm_rms_epsilon";
    let epsilon = epsilon.ok_or_else(|| fault(field, "is missing".into()))?;
    if let Some(kind) = get("rope.scaling.type").and_then(Value::as_str)
        && kind != "none"
    {
        let reason = format!("is {kind}; only Llama 3's scaling is known, as `rope_freqs.weight`");
        return Err(fault("llama.rope.scaling.type", reason));
    }
    let theta = get("rope.freq_base").and_then(Value::as_f64);
    let mut config = LlamaConfig {
        dim: size("embedding_length")?,
        n_layers: size("block_count")?,
        n_heads: heads,
        n_kv_heads: Some(kv_heads),
        vocab_size,
        ffn_hidden: size("feed_forward_length")?,
        // Single precision in the file: the number meant has few digits.
        norm_eps: short(epsilon),
        rope_theta: theta.unwrap_or(10_000.0),
        rope_scaling: None,
        rope_style: RopeStyle::Interleaved,
        tie_embeddings: !has_output,
        max_seq_len: size("context_length")?,
    };
    config = checked(config, |field, reason| fault(field, reason.into()))?;
    let rotated = size_or_none("rope.dimension_count")?;
    if rotated.is_some_and(|rotated| rotated != config.head_dim()) {
        let reason = format!("must be the width of a head, {}", config.head_dim());
        return Err(fault("llama.rope.dimension_count", reason));
    }
    if let Some(factors) = factors {
        config.rope_scaling = Some(scaling_of(&config, factors).ok_or_else(|| {
            ImportError::tensor(
                file,
                "rope_freqs.weight",
                "is not Llama 3's scaling of RoPE",
            )
        })?);
    }
    Ok(config)
}

/// The shortest decimal number that is `value` in single precision.
fn short(value: f64) -> f64 {
    format!("{}", value as f32).parse().unwrap_or(value)
}

/// Llama 3's scaling whose divisors of the frequencies are `factors`; its other numbers are those of
/// every release.
fn scaling_of(config: &LlamaConfig, factors: &[f32]) -> Option<RopeScaling> {
    let half = config.head_dim() / 2;
    let factor = factors.iter().copied().fold(1.0, f32::max);
    let scaling = llama3_scaling(f64::from(factor));
    let original = scaling.original_max_position_embeddings as f64;
    let fits = (0..half).zip(factors).all(|(index, found)| {
        let exponent = (2 * index) as f64 / config.head_dim() as f64;
        let wavelength = std::f64::consts::TAU * config.rope_theta.powf(exponent);
        let wanted = if wavelength < original / scaling.high_freq_factor {
            1.0
        } else if wavelength > original / scaling.low_freq_factor {
            scaling.factor
        } else {
            let smooth = (original / wavelength - scaling.low_freq_factor)
                / (scaling.high_freq_factor - scaling.low_freq_factor);
            1.0 / ((1.0 - smooth) / scaling.factor + smooth)
        };
        (f64::from(*found) / wanted - 1.0).abs() < 1e-4
    });
    (fits && factors.len() as u64 == half).then_some(scaling)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_of_single_precision_get_their_digits_back() {
        for wanted in [1e-5, 1e-6, 500_000.0] {
            assert_eq!(short(f64::from(wanted as f32)), wanted);
        }
    }
}
