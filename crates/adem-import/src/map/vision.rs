//! CLIP's vision tower under Hugging Face's and OpenAI's names.

use serde_json::json;

use super::{Known, Mapping, Wanted};
use crate::config::{ClipConfig, VisionLayout};
use crate::error::ImportError;
use crate::json::Json;
use crate::limits;

/// Before the tower's names in a package.
pub(super) const PREFIX: &str = "backbone.visual";

/// The tensors of a tower under OpenAI's names, which begin with `prefix` (`visual.`): they are the
/// package's own.
pub(crate) fn openai(config: &ClipConfig, prefix: &str) -> Mapping {
    let wanted = shapes(config)
        .into_iter()
        .map(|(name, shape)| {
            Wanted::whole(format!("{PREFIX}.{name}"), format!("{prefix}{name}"), shape)
        })
        .collect();
    Mapping {
        wanted,
        known: vec![
            Known {
                is: |name| {
                    let text = ["transformer.", "ln_final.", "token_embedding."];
                    text.iter().any(|part| name.starts_with(part))
                        || matches!(name, "positional_embedding" | "text_projection")
                },
                reason: "CLIP's text tower",
            },
            Known {
                is: |name| matches!(name, "visual.proj" | "proj" | "logit_scale"),
                reason: "CLIP's contrastive head",
            },
            Known {
                is: |name| matches!(name, "input_resolution" | "context_length" | "vocab_size"),
                reason: "a size of CLIP's, not a tensor of its",
            },
        ],
    }
}

/// The tensors of a tower under Hugging Face's names, `CLIPVisionModel`'s or `CLIPModel`'s.
pub(crate) fn hugging_face_mapping(config: &ClipConfig) -> Mapping {
    let width = config.width;
    let wanted = shapes(config)
        .into_iter()
        .map(|(name, shape)| {
            let full = format!("{PREFIX}.{name}");
            match packed(&name) {
                None => Wanted::whole(full, hugging_face_name(&name), shape),
                Some((block, end)) => {
                    let part = |p| format!("{}.self_attn.{p}_proj.{end}", layer(block));
                    let mut of_one = shape.clone();
                    of_one[0] = width;
                    Wanted {
                        name: full,
                        shape,
                        parts: ["q", "k", "v"].map(|p| (part(p), of_one.clone())).to_vec(),
                        divided: None,
                    }
                }
            }
        })
        .collect();
    Mapping {
        wanted,
        known: vec![
            Known {
                is: |name| name.ends_with("embeddings.position_ids"),
                reason: "numbers from 0 on",
            },
            Known {
                is: |name| name.starts_with("text_model."),
                reason: "CLIP's text tower",
            },
            Known {
                is: |name| {
                    matches!(
                        name,
                        "text_projection.weight" | "visual_projection.weight" | "logit_scale"
                    )
                },
                reason: "CLIP's contrastive head",
            },
        ],
    }
}

/// Names, without their prefix, and shapes of a tower's tensors.
pub(super) fn shapes(config: &ClipConfig) -> Vec<(String, Vec<u64>)> {
    let (w, patch) = (config.width, config.patch);
    let mut all = vec![
        ("conv1.weight".to_owned(), vec![w, 3, patch, patch]),
        ("class_embedding".to_owned(), vec![w]),
        ("positional_embedding".to_owned(), vec![config.tokens(), w]),
    ];
    let mut add = |name: String, rows: u64, cols: Option<u64>| {
        all.push((name, std::iter::once(rows).chain(cols).collect()));
    };
    let norms: &[&str] = match config.layout {
        VisionLayout::Clip => &["ln_pre", "ln_post"],
        VisionLayout::Vit { classes } => {
            add("conv1.bias".to_owned(), w, None);
            if classes > 0 {
                add("head.weight".to_owned(), classes, Some(w));
                add("head.bias".to_owned(), classes, None);
            }
            &["ln_post"]
        }
    };
    for norm in norms {
        add(format!("{norm}.weight"), w, None);
        add(format!("{norm}.bias"), w, None);
    }
    for block in 0..config.layers {
        let path = |part: &str| format!("transformer.resblocks.{block}.{part}");
        for norm in ["ln_1", "ln_2"] {
            add(path(&format!("{norm}.weight")), w, None);
            add(path(&format!("{norm}.bias")), w, None);
        }
        for (part, join, rows, cols) in [
            ("attn.in_proj", '_', 3 * w, w),
            ("attn.out_proj", '.', w, w),
            ("mlp.c_fc", '.', 4 * w, w),
            ("mlp.c_proj", '.', w, 4 * w),
        ] {
            add(path(&format!("{part}{join}weight")), rows, Some(cols));
            add(path(&format!("{part}{join}bias")), rows, None);
        }
    }
    all
}

/// Block and ending (`weight` or `bias`) of the tensor that packs queries, keys and values.
pub(super) fn packed(name: &str) -> Option<(&str, &str)> {
    let (block, end) = name
        .strip_prefix("transformer.resblocks.")?
        .split_once(".attn.in_proj_")?;
    Some((block, end))
}

fn layer(block: &str) -> String {
    format!("vision_model.encoder.layers.{block}")
}

fn hugging_face_name(name: &str) -> String {
    let outside = match name {
        "conv1.weight" => Some("embeddings.patch_embedding.weight".to_owned()),
        "class_embedding" => Some("embeddings.class_embedding".to_owned()),
        "positional_embedding" => Some("embeddings.position_embedding.weight".to_owned()),
        // Their spelling.
        _ => name
            .strip_prefix("ln_pre.")
            .map(|end| format!("pre_layrnorm.{end}"))
            .or_else(|| {
                let end = name.strip_prefix("ln_post.")?;
                Some(format!("post_layernorm.{end}"))
            }),
    };
    if let Some(outside) = outside {
        return format!("vision_model.{outside}");
    }
    let inside = name
        .strip_prefix("transformer.resblocks.")
        .and_then(|rest| rest.split_once('.'));
    let Some((block, part)) = inside else {
        return name.to_owned();
    };
    let (part, end) = part.rsplit_once('.').unwrap_or((part, ""));
    let part = match part {
        "ln_1" => "layer_norm1",
        "ln_2" => "layer_norm2",
        "mlp.c_fc" => "mlp.fc1",
        "mlp.c_proj" => "mlp.fc2",
        "attn.out_proj" => "self_attn.out_proj",
        other => other,
    };
    format!("{}.{part}.{end}", layer(block))
}

/// The config of a Hugging Face folder, `CLIPVisionModel`'s or `CLIPModel`'s.
pub(crate) fn hugging_face(json: &Json) -> Result<ClipConfig, ImportError> {
    let of_both = json.object("vision_config");
    let json = of_both.as_ref().unwrap_or(json);
    let width = json.size("hidden_size")?;
    for (field, wanted, why) in [
        (
            "hidden_act",
            json!("quick_gelu"),
            "the encoder is OpenAI's CLIP",
        ),
        (
            "intermediate_size",
            json!(4 * width),
            "it is four widths in CLIP",
        ),
        ("num_channels", json!(3), "pictures are red, green and blue"),
    ] {
        json.must_be(field, &wanted, why)?;
    }
    let config = ClipConfig {
        image_size: json.size("image_size")?,
        patch: json.size("patch_size")?,
        width,
        layers: json.size("num_hidden_layers")?,
        heads: json.size("num_attention_heads")?,
        ln_eps: json.number_or_none("layer_norm_eps")?.unwrap_or(1e-5),
        run_layers: -1,
        layout: VisionLayout::Clip,
    };
    checked(config, |field, reason| json.fault(field, reason))
}

/// The config of a tower under OpenAI's names, from its shapes. Heads are 64 channels wide in all of
/// OpenAI's models; `heads` says otherwise.
pub(crate) fn openai_config(
    file: &str,
    shape: impl Fn(&str) -> Option<Vec<u64>>,
    heads: Option<u64>,
) -> Result<ClipConfig, ImportError> {
    let fault = |tensor: &str, reason: &str| ImportError::tensor(file, tensor, reason);
    let dims = |name: &str, rank: usize| {
        let found = shape(name).filter(|shape| shape.len() == rank);
        let found =
            found.filter(|shape| shape.iter().all(|dim| (1..=limits::LARGEST).contains(dim)));
        found.ok_or_else(|| fault(name, "is missing, or of a shape that is not CLIP's"))
    };
    let conv = dims("conv1.weight", 4)?;
    let tokens = dims("positional_embedding", 2)?[0];
    let grid = (tokens - 1).isqrt();
    let layers = (0..=limits::LAYERS)
        .find(|block| shape(&format!("transformer.resblocks.{block}.ln_1.weight")).is_none());
    let config = ClipConfig {
        image_size: grid * conv[2],
        patch: conv[2],
        width: conv[0],
        layers: layers.unwrap_or(limits::LAYERS + 1),
        heads: heads.unwrap_or((conv[0] / 64).max(1)),
        ln_eps: 1e-5,
        run_layers: -1,
        layout: VisionLayout::Clip,
    };
    if grid * grid + 1 != tokens {
        return Err(fault("positional_embedding", "is of no square of patches"));
    }
    checked(config, |field, reason| {
        ImportError::config(file, field, reason)
    })
}

/// Refuses sizes that are no tower's.
pub(crate) fn checked(
    config: ClipConfig,
    fault: impl Fn(&str, &str) -> ImportError,
) -> Result<ClipConfig, ImportError> {
    let sizes = [
        config.image_size,
        config.patch,
        config.width,
        config.layers,
        config.heads,
        match config.layout {
            VisionLayout::Vit { classes } => classes.max(1),
            VisionLayout::Clip => 1,
        },
    ];
    if sizes
        .iter()
        .any(|size| !(1..=limits::LARGEST).contains(size))
    {
        return Err(fault("sizes", "are none, or larger than any model's"));
    }
    if !config.image_size.is_multiple_of(config.patch) {
        return Err(fault("patch_size", "does not divide the picture"));
    }
    if !config.width.is_multiple_of(config.heads) {
        return Err(fault("heads", "do not divide the width"));
    }
    if config.layers > limits::LAYERS {
        return Err(fault("layers", "are more than any model has"));
    }
    Ok(config)
}
