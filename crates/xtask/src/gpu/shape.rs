//! Sizes of the models that are timed.

use serde_json::{Value, json};

/// Sizes and the settings that make the recipe's those.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) tokens: usize,
    pub(super) precision: &'static str,
    pub(super) model: Value,
}

impl Shape {
    /// LLaMA-7B and ViT-L/14, as the recipe `coco-caption` has them.
    pub(super) fn paper() -> Self {
        Self {
            name: "LLaMA-7B, ViT-L/14, bf16",
            tokens: 512,
            precision: "bf16",
            model: json!({
                "llama": {"dim": 4096, "n_layers": 32, "n_heads": 32, "ffn_hidden": 11008,
                          "vocab_size": 32000},
                "clip": {"image_size": 224, "patch": 14, "width": 1024, "layers": 24, "heads": 16},
                "adem": {"hidden_proj": 128, "clip_adapter_dim": 12, "down_sample": [256, 64]},
            }),
        }
    }

    /// Sizes that show in seconds that everything runs; the times mean nothing.
    pub(super) fn tiny() -> Self {
        Self {
            name: "tiny sizes, f32",
            tokens: 32,
            precision: "f32",
            model: json!({
                "llama": {"dim": 64, "n_layers": 2, "n_heads": 4, "ffn_hidden": 128,
                          "vocab_size": 96},
                "clip": {"image_size": 32, "patch": 8, "width": 32, "layers": 3, "heads": 4},
                "adem": {"hidden_proj": 16, "clip_adapter_dim": 4, "down_sample": [16, 4]},
            }),
        }
    }

    /// The sizes as `--set` takes them.
    pub(super) fn settings(&self) -> Vec<String> {
        let parts = self.model.as_object().into_iter().flatten();
        parts
            .flat_map(|(part, sizes)| {
                let sizes = sizes.as_object().into_iter().flatten();
                sizes.map(move |(key, value)| format!("model.{part}.{key}={value}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_become_settings() {
        let settings = Shape::tiny().settings();
        assert!(settings.contains(&"model.adem.down_sample=[16,4]".to_owned()));
        assert!(settings.contains(&"model.llama.dim=64".to_owned()));
    }
}
