//! Large models: their weights pass through the engine's memory, they do not stay there.

use super::peers::{quantised, shape, tokenizer};
use super::{PATIENCE, caption, copy, driver::Browser, is_possible, root, samples, serve};
use adem_data::tokenizer::Tokenizer;
use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig};
use adem_package::quant::Scheme;
use adem_package::{Dtype, WriteOptions};
use adem_pipeline::testing::RandomPackage;
use std::{fs, path::Path, time::Duration};

/// Bytes of the longest shard.
const SHARD: u64 = 2 << 20;

/// Writes a package of many shards to `folder`; gives its bytes.
fn large_package(folder: &Path) -> u64 {
    let tokenizer = fs::read(root().join("dist/package/tokenizer.json")).unwrap();
    let vocab_size = Tokenizer::from_bytes(&tokenizer).unwrap().vocab_size();
    let config = ModelConfig {
        llama: LlamaConfig {
            dim: 32,
            n_layers: 2,
            n_heads: 2,
            ffn_hidden: 64,
            vocab_size,
            max_seq_len: 128,
            ..LlamaConfig::default()
        },
        clip: ClipConfig {
            image_size: 32,
            patch: 8,
            width: 384,
            layers: 8,
            heads: 6,
            ..ClipConfig::default()
        },
        adem: AdemConfig {
            down_sample: vec![16, 4],
            hidden_proj: 16,
            ..AdemConfig::default()
        },
    };
    let random = RandomPackage {
        config,
        tokenizer,
        max_new_tokens: 4,
        options: WriteOptions {
            dtype: Dtype::F16,
            shard_bytes: SHARD,
        },
        seed: 7,
    };
    random.write(folder).unwrap().weight_bytes()
}

/// SmolLM-135M's decoder and CLIP's ViT-B/32, in four bits.
fn real_sizes(folder: &Path) {
    let decoder = shape("M").llama;
    let random = RandomPackage {
        tokenizer: tokenizer(decoder.vocab_size),
        config: ModelConfig {
            llama: decoder,
            clip: ClipConfig {
                image_size: 224,
                patch: 32,
                width: 768,
                layers: 12,
                heads: 12,
                ..ClipConfig::default()
            },
            adem: AdemConfig {
                down_sample: vec![49],
                ..AdemConfig::default()
            },
        },
        max_new_tokens: 4,
        options: WriteOptions {
            dtype: Dtype::F16,
            ..WriteOptions::default()
        },
        seed: 3,
    };
    let float = folder.with_extension("float");
    random.write(&float).unwrap();
    quantised(&float, folder, Scheme::Q4);
    fs::remove_dir_all(float).unwrap();
}

#[test]
#[ignore = "a model of real size: minutes on a software GPU, and a gigabyte of disk"]
fn a_model_of_real_size_takes_less_than_256_mb_of_webassembly_memory() {
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), folder.path(), "real");
    let package = folder.path().join("package");
    fs::remove_dir_all(&package).unwrap();
    real_sizes(&package);
    let files = fs::read_dir(&package).unwrap();
    let bytes: u64 = files.map(|it| it.unwrap().metadata().unwrap().len()).sum();
    let url = serve(folder.path());
    let browser = Browser::start(true);
    browser.open(&format!("{url}?engine=gpu"));
    let patience = Duration::from_secs(900);
    browser.wait("#engine", "data-model", &["ready", "unusable"], patience);
    let engine = browser.attribute("#engine", "data-kind");
    assert_eq!(
        engine.as_deref(),
        Some("gpu"),
        "{}",
        browser.text("#engine")
    );
    caption(&browser, &samples()[0]);
    let memory = browser.text("#timings div:last-child dd");
    let timings = browser.text("#timings").replace('\n', " ");
    println!("a package of {bytes} bytes: {timings}");
    let memory: f64 = memory.strip_suffix(" MB").unwrap().parse().unwrap();
    assert!(memory < 256.0, "{memory} MB");
}

#[test]
fn weights_go_to_the_graphics_card_shard_by_shard() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), folder.path(), "weights");
    let package = folder.path().join("package");
    fs::remove_dir_all(&package).unwrap();
    let bytes = large_package(&package);
    let url = serve(folder.path());
    let browser = Browser::start(true);
    browser.open(&format!("{url}?engine=gpu"));
    browser.wait("#engine", "data-model", &["ready", "unusable"], PATIENCE);
    assert_eq!(
        browser.attribute("#engine", "data-kind").as_deref(),
        Some("gpu"),
        "{}",
        browser.text("#engine")
    );
    caption(&browser, &samples()[0]);
    let memory = browser.text("#timings div:last-child dd");
    let memory: f64 = memory.strip_suffix(" MB").unwrap().parse().unwrap();
    println!("a package of {bytes} bytes took {memory} MB of WebAssembly memory");
    assert!(
        memory * 1e6 < bytes as f64 / 2.0,
        "{memory} MB of {bytes} bytes"
    );
}
