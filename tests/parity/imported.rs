//! Decoders and whole models imported from their public files compute what the fixtures say.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use adem_import::{FusionNumbers, ImportOptions, import};
use adem_model::config::LlamaConfig;
use adem_model::language::Llama;
use adem_model::nn::Builder;
use adem_model::{AdemVl, ModelConfig};
use adem_package::{Folder, Package};
use adem_pipeline::PackageSource;
use adem_tests::golden::{self, Array, Tensors};
use burn::tensor::Device;
use pollster::block_on;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::backend::Backend;
use crate::compare::Report;
use crate::llama::compare;
use crate::whole::Fixture;

/// A tokenizer of fewer tokens than the fixtures have.
pub fn tokenizer() -> String {
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "special": true});
    json!({
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
        ]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "merges": [],
            "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, "\u{2581}": 3},
        },
    })
    .to_string()
}

/// The decoder of `folder`, through a package.
fn imported(folder: &Path, device: &Device) -> Llama {
    let place = tempfile::tempdir().unwrap();
    let json = place.path().join("tokenizer.json");
    std::fs::write(&json, tokenizer()).unwrap();
    let options = ImportOptions {
        tokenizer: Some(json),
        ..ImportOptions::default()
    };
    let out = place.path().join("package");
    let never = AtomicBool::new(false);
    import(&[folder.to_owned()], &out, &options, |_| {}, &never).unwrap();
    let package = block_on(Package::open(Folder::new(&out))).unwrap();
    let model = &package.manifest().model;
    let config: LlamaConfig = serde_json::from_value(model["llama"].clone()).unwrap();
    let mut source = PackageSource::new(block_on(package.load_weights(|_| {})).unwrap());
    let llama = Llama::new(&mut Builder::new(&mut source, device), &config).unwrap();
    source.finish().unwrap();
    llama
}

fn hugging_face_folders(backend: &Backend) {
    let mut report = Report::new("llama, imported from Hugging Face's folders", backend.name);
    for folder in golden::entries("llama", |p| p.join("model.safetensors").exists()) {
        let llama = imported(&folder, &backend.device);
        let expected = Tensors::open(&folder.join("expected.safetensors"));
        compare(
            &llama,
            &golden::name(&folder),
            &expected,
            backend,
            &mut report,
        );
    }
    report.finish();
}

crate::on_every_backend!(hugging_face_folders);

/// A whole model in its public files: Meta's decoder, OpenAI's tower, and what the authors' training
/// program saves; imported, and laid out for inference.
pub fn whole(fixture: &Fixture, device: &Device) -> AdemVl {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let (llama, clip) = (&fixture.config.llama, &fixture.config.clip);
    std::fs::create_dir(at("llama")).unwrap();
    let params = json!({
        "dim": llama.dim, "n_layers": llama.n_layers, "n_heads": llama.n_heads,
        "n_kv_heads": llama.n_kv_heads, "norm_eps": llama.norm_eps,
        "rope_theta": llama.rope_theta, "vocab_size": -1, "max_seq_len": llama.max_seq_len,
    });
    std::fs::write(at("llama/params.json"), params.to_string()).unwrap();
    std::fs::write(at("llama/tokenizer.json"), tokenizer()).unwrap();
    let weights = || {
        fixture
            .model
            .float_names()
            .filter_map(|it| it.strip_prefix("w."))
    };
    let write = |file: &str, before: &str, cut: &str, wanted: &dyn Fn(&str) -> bool| {
        let all: Vec<_> = weights()
            .filter(|name| wanted(name))
            .map(|name| {
                let Array { shape, values } = fixture.model.f32(&format!("w.{name}"));
                let name = format!("{before}{}", name.strip_prefix(cut).unwrap_or(name));
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, shape.clone(), bytes)
            })
            .collect();
        let views = all.iter().map(|(name, shape, bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        std::fs::write(at(file), safetensors::serialize(views, None).unwrap()).unwrap();
    };
    let adapter = |name: &str| name.contains("adapter");
    let tower = |name: &str| name.starts_with("backbone.") && !adapter(name);
    write("llama/consolidated.safetensors", "", "", &|it| {
        !adapter(it) && !tower(it)
    });
    write("clip.safetensors", "", "backbone.", &tower);
    write("checkpoint.safetensors", "model.", "", &adapter);
    let adem = &fixture.config.adem;
    let options = ImportOptions {
        vision_heads: Some(clip.heads as u64),
        fusion: FusionNumbers {
            alpha: Some(adem.alpha),
            beta: Some(adem.beta),
            gamma: Some(adem.drop_ratio),
        },
        ..ImportOptions::default()
    };
    let never = AtomicBool::new(false);
    let sources = ["llama", "clip.safetensors", "checkpoint.safetensors"].map(at);
    import(&sources, &at("package"), &options, |_| {}, &never).unwrap();
    let package = block_on(Package::open(Folder::new(at("package")))).unwrap();
    let config: ModelConfig = serde_json::from_value(package.manifest().model.clone()).unwrap();
    let mut source = PackageSource::new(block_on(package.load_weights(|_| {})).unwrap());
    let mut builder = Builder::new(&mut source, device).for_inference();
    let model = AdemVl::build(&config, &mut builder).unwrap();
    source.finish().unwrap();
    model
}

/// What an import writes into a manifest is a config of the model.
#[test]
fn the_config_of_an_import_is_the_models() {
    let ours = adem_import::config::ModelConfig::default();
    let model: ModelConfig = serde_json::from_value(json!({
        "llama": {}, "clip": {}, "adem": serde_json::to_value(&ours.adem).unwrap(),
    }))
    .unwrap();
    assert_eq!(model, ModelConfig::default());
    let written = serde_json::to_value(&model).unwrap();
    let back: adem_import::config::ModelConfig = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&back).unwrap(), written);
}
