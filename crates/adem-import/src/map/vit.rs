//! Plain ViTs under Hugging Face's names, `ViTModel`'s and `ViTForImageClassification`'s.

use serde_json::json;

use super::vision::{PREFIX, checked, packed, shapes};
use super::{Known, Mapping, Wanted};
use crate::config::{ClipConfig, VisionLayout};
use crate::error::ImportError;
use crate::json::Json;
use crate::limits;

/// Before the names in a file, where there is a classifier beside the encoder.
const WITH_HEAD: &str = "vit.";

/// What stands before the encoder's names in a file of a ViT's; `None` where it is none.
pub(crate) fn prefix(has: impl Fn(&str) -> bool) -> Option<&'static str> {
    let token = |prefix: &&str| has(&format!("{prefix}embeddings.cls_token"));
    [WITH_HEAD, ""].into_iter().find(token)
}

/// The config from the tensors' shapes, and from `json` what they do not tell. Without it heads are
/// 64 channels wide, as in the published models, unless `heads` says otherwise.
pub(crate) fn config(
    file: &str,
    prefix: &str,
    shape: impl Fn(&str) -> Option<Vec<u64>>,
    json: Option<&Json>,
    heads: Option<u64>,
) -> Result<ClipConfig, ImportError> {
    let fault = |tensor: &str, reason: &str| ImportError::tensor(file, tensor, reason);
    let dims = |name: String, rank: usize| {
        let found = shape(&name).filter(|shape| shape.len() == rank);
        let found =
            found.filter(|shape| shape.iter().all(|dim| (1..=limits::LARGEST).contains(dim)));
        found.ok_or_else(|| fault(&name, "is missing, or of a shape that is not a ViT's"))
    };
    let patches = dims(
        format!("{prefix}embeddings.patch_embeddings.projection.weight"),
        4,
    )?;
    let positions = format!("{prefix}embeddings.position_embeddings");
    let tokens = dims(positions.clone(), 3)?[1];
    let grid = (tokens - 1).isqrt();
    if grid * grid + 1 != tokens {
        return Err(fault(&positions, "is of no square of patches"));
    }
    let layers = (0..=limits::LAYERS).find(|block| {
        let norm = format!("{prefix}encoder.layer.{block}.layernorm_before.weight");
        shape(&norm).is_none()
    });
    let width = patches[0];
    let classes = shape("classifier.weight").and_then(|shape| shape.first().copied());
    let mut config = ClipConfig {
        image_size: grid * patches[2],
        patch: patches[2],
        width,
        layers: layers.unwrap_or(limits::LAYERS + 1),
        heads: heads.unwrap_or((width / 64).max(1)),
        ln_eps: 1e-12,
        run_layers: -1,
        layout: VisionLayout::Vit {
            classes: classes.unwrap_or(0),
        },
    };
    if let Some(json) = json {
        for (field, wanted, why) in [
            ("hidden_act", json!("gelu"), "a plain ViT has exact GELU"),
            ("qkv_bias", json!(true), "a plain ViT's have a bias"),
            ("hidden_size", json!(width), "the tensors have this width"),
            (
                "intermediate_size",
                json!(4 * width),
                "it is four widths in a plain ViT",
            ),
            ("num_channels", json!(3), "pictures are red, green and blue"),
            (
                "image_size",
                json!(config.image_size),
                "the tensors are for these pictures",
            ),
        ] {
            json.must_be(field, &wanted, why)?;
        }
        config.heads = json.size("num_attention_heads")?;
        config.ln_eps = json.number_or_none("layer_norm_eps")?.unwrap_or(1e-12);
    }
    checked(config, |field, reason| {
        ImportError::config(file, field, reason)
    })
}

/// The tensors, the encoder's with `prefix` before their names.
pub(crate) fn mapping(config: &ClipConfig, prefix: &str) -> Mapping {
    let wanted = shapes(config).into_iter().map(|(name, shape)| {
        let full = format!("{PREFIX}.{name}");
        let part = |part: &str, shape: Vec<u64>| (format!("{prefix}{part}"), shape);
        let parts = match (packed(&name), name.as_str()) {
            (Some((block, end)), _) => {
                let mut of_one = shape.clone();
                of_one[0] = config.width;
                let inside = format!("encoder.layer.{block}.attention.attention");
                ["query", "key", "value"]
                    .map(|p| part(&format!("{inside}.{p}.{end}"), of_one.clone()))
                    .to_vec()
            }
            // Theirs has a dimension for the batch.
            (None, "class_embedding") => {
                vec![part("embeddings.cls_token", vec![1, 1, config.width])]
            }
            (None, "positional_embedding") => vec![part(
                "embeddings.position_embeddings",
                vec![1, config.tokens(), config.width],
            )],
            (None, name) => match name.strip_prefix("head.") {
                Some(end) => vec![(format!("classifier.{end}"), shape.clone())],
                None => vec![part(&hugging_face_name(name), shape.clone())],
            },
        };
        Wanted {
            name: full,
            shape,
            parts,
            divided: None,
        }
    });
    Mapping {
        wanted: wanted.collect(),
        known: vec![Known {
            is: |name| {
                name.strip_prefix(WITH_HEAD)
                    .unwrap_or(name)
                    .starts_with("pooler.")
            },
            reason: "a layer that no classifier uses",
        }],
    }
}

fn hugging_face_name(name: &str) -> String {
    let Some((block, part)) = name
        .strip_prefix("transformer.resblocks.")
        .and_then(|rest| rest.split_once('.'))
    else {
        return name
            .replace("conv1.", "embeddings.patch_embeddings.projection.")
            .replace("ln_post.", "layernorm.");
    };
    let (part, end) = part.rsplit_once('.').unwrap_or((part, ""));
    let part = match part {
        "ln_1" => "layernorm_before",
        "ln_2" => "layernorm_after",
        "mlp.c_fc" => "intermediate.dense",
        "mlp.c_proj" => "output.dense",
        "attn.out_proj" => "attention.output.dense",
        other => other,
    };
    format!("encoder.layer.{block}.{part}.{end}")
}
