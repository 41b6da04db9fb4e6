//! The encoder alone, from Hugging Face's and from OpenAI's layout.

use std::path::Path;

use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig};
use adem_model::nn::Builder;
use adem_model::vision::ClipVision;
use adem_tests::golden::{self, Tensors};
use burn::tensor::Device;

use crate::backend::Backend;
use crate::compare::{Report, download, upload};
use crate::source::{Named, Stored};

/// Prefix of the encoder's tensors in the model.
const PREFIX: &str = "backbone.visual.";

fn encoder(
    folder: &Path,
    file: &str,
    stored: impl Fn(&str) -> Stored,
    device: &Device,
) -> ClipVision {
    let json = golden::json(&folder.join("config.json"));
    let size = |key: &str| json[key].as_u64().unwrap() as usize;
    let config = ModelConfig {
        clip: ClipConfig {
            image_size: size("image_size"),
            patch: size("patch_size"),
            width: size("hidden_size"),
            layers: size("num_hidden_layers"),
            heads: size("num_attention_heads"),
            ln_eps: json["layer_norm_eps"].as_f64().unwrap(),
            run_layers: -1,
            ..ClipConfig::default()
        },
        adem: AdemConfig {
            clip_adapter_dim: 0,
            ..AdemConfig::default()
        },
        ..ModelConfig::default()
    };
    let tensors = Tensors::open(&folder.join(file));
    let mut source = Named {
        tensors: &tensors,
        stored,
    };
    let builder = &mut Builder::new(&mut source, device);
    ClipVision::new(builder, PREFIX.trim_end_matches('.'), &config).unwrap()
}

/// Hugging Face keeps queries, keys and values apart; OpenAI packs them.
fn hf_stored(name: &str) -> Stored {
    let name = name.strip_prefix(PREFIX).unwrap();
    let whole = |rest: &str| Stored::Whole(format!("vision_model.{rest}"));
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["class_embedding"] => whole("embeddings.class_embedding"),
        ["conv1", "weight"] => whole("embeddings.patch_embedding.weight"),
        ["positional_embedding"] => whole("embeddings.position_embedding.weight"),
        ["ln_pre", end] => whole(&format!("pre_layrnorm.{end}")),
        ["ln_post", end] => whole(&format!("post_layernorm.{end}")),
        ["transformer", "resblocks", i, rest @ ..] => {
            let layer = format!("encoder.layers.{i}");
            match rest {
                ["ln_1", end] => whole(&format!("{layer}.layer_norm1.{end}")),
                ["ln_2", end] => whole(&format!("{layer}.layer_norm2.{end}")),
                ["mlp", "c_fc", end] => whole(&format!("{layer}.mlp.fc1.{end}")),
                ["mlp", "c_proj", end] => whole(&format!("{layer}.mlp.fc2.{end}")),
                ["attn", "out_proj", end] => whole(&format!("{layer}.self_attn.out_proj.{end}")),
                ["attn", packed] => {
                    let end = packed.strip_prefix("in_proj_").unwrap();
                    let part = |p| format!("vision_model.{layer}.self_attn.{p}_proj.{end}");
                    Stored::Stacked(["q", "k", "v"].map(part).to_vec())
                }
                _ => panic!("unknown tensor {name}"),
            }
        }
        _ => panic!("unknown tensor {name}"),
    }
}

fn openai_stored(name: &str) -> Stored {
    Stored::Whole(name.strip_prefix("backbone.").unwrap().to_owned())
}

fn compare(test: &str, file: &str, stored: fn(&str) -> Stored, backend: &Backend) {
    let tolerance = backend.tolerances.logits;
    let mut report = Report::new(test, backend.name);
    for folder in golden::entries("clip", |p| p.join(file).exists()) {
        let what = golden::name(&folder);
        let clip = encoder(&folder, file, stored, &backend.device);
        let expected = Tensors::open(&folder.join("expected.safetensors"));
        let pixels = upload::<4>(expected.f32("pixels"), &backend.device);
        let want = expected.f32("hidden_states");
        let states = clip.hidden_states(pixels.clone());
        assert_eq!(want.shape[0], states.len(), "{what}: states");
        for (i, state) in states.into_iter().enumerate() {
            let what = format!("{what}, state {i}");
            report.absolute(
                "hidden states",
                &what,
                &download(state),
                &want.row(i),
                tolerance,
            );
        }
        let features = download(clip.forward(pixels, None));
        let want = expected.f32("penultimate_post_ln");
        report.absolute("features", &what, &features, want, tolerance);
        report.case();
    }
    report.finish();
}

fn hugging_face_layout(backend: &Backend) {
    compare(
        "clip, Hugging Face layout",
        "model.safetensors",
        hf_stored,
        backend,
    );
}

fn openai_layout(backend: &Backend) {
    compare(
        "clip, OpenAI layout",
        "openai.safetensors",
        openai_stored,
        backend,
    );
}

crate::on_every_backend!(hugging_face_layout, openai_layout);
