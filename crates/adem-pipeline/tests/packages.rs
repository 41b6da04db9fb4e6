//! Packages whose parts do not belong together are refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use adem_package::{Folder, MANIFEST_FILE};
use adem_pipeline::Captioner;
use adem_pipeline::testing::write_tiny_package;
use burn::tensor::Device;
use serde_json::{Value, json};

/// The refusal of a tiny package whose manifest was changed.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_package(folder.path(), 1).unwrap();
    let path = folder.path().join(MANIFEST_FILE);
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    load(folder.path()).unwrap_err()
}

fn load(folder: &Path) -> Result<Captioner, String> {
    let device = Device::flex();
    pollster::block_on(Captioner::load(Folder::new(folder), |_| {}, &device))
        .map_err(|error| error.to_string())
}

#[test]
fn an_unchanged_package_loads_and_reports_progress() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write_tiny_package(folder.path(), 1).unwrap();
    let mut seen = Vec::new();
    let device = Device::flex();
    let loading = Captioner::load(Folder::new(folder.path()), |p| seen.push(p.bytes), &device);
    pollster::block_on(loading).unwrap();
    assert!(seen.is_sorted());
    assert_eq!(seen.last(), Some(&manifest.weight_bytes()));
}

#[test]
fn parts_that_contradict_each_other_are_named() {
    for (pointer, value, named) in [
        ("/image/size", json!(32), "`image.size`: is 32"),
        (
            "/model/llama/vocab_size",
            json!(40),
            "`model.llama.vocab_size`: is 40",
        ),
        ("/model/llama/dim", json!("wide"), "`model.llama.dim`"),
        ("/model/clip/patch", json!(5), "`clip.patch`"),
        (
            "/tokenizer/eos",
            json!(100_000),
            "`tokenizer.eos`: is 100000",
        ),
        ("/max_new_tokens", json!(96), "context of 96 positions"),
        (
            "/model/llama/ffn_hidden",
            json!(32),
            "tensor `layers.0.feed_forward.",
        ),
        ("/model/llama/n_layers", json!(3), "tensor `layers.2."),
        ("/model/llama/n_layers", json!(1), "the first is `layers.1."),
    ] {
        let message = refusal(|manifest| *manifest.pointer_mut(pointer).unwrap() = value);
        assert!(message.contains(named), "{pointer}: {message}");
    }
}

#[test]
fn a_task_the_model_was_not_trained_for_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    write_tiny_package(folder.path(), 1).unwrap();
    let path = folder.path().join(MANIFEST_FILE);
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["tasks"] = json!(["caption"]);
    fs::write(&path, manifest.to_string()).unwrap();
    let captioner = load(folder.path()).unwrap();
    let request = adem_pipeline::Request::question(Vec::new(), "why?");
    let message = captioner.start(request).unwrap_err().to_string();
    assert!(
        message.contains("not trained to answer questions"),
        "{message}"
    );
}
