//! Decoders imported from their public files compute what the fixtures say.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use adem_import::{ImportOptions, import};
use adem_model::ModelConfig;
use adem_model::config::LlamaConfig;
use adem_model::language::Llama;
use adem_model::nn::Builder;
use adem_package::{Folder, Package};
use adem_pipeline::PackageSource;
use adem_tests::golden::{self, Tensors};
use burn::tensor::Device;
use pollster::block_on;
use serde_json::json;

use crate::backend::Backend;
use crate::compare::Report;
use crate::llama::compare;

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
