//! The page's engines beside transformers.js in one browser: `cargo xtask bench peers`.

use super::{driver::Browser, root, serve};
use adem_data::tokenizer::Tokenizer;
use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig};
use adem_package::quant::{QuantizeOptions, Scheme, quantize};
use adem_package::{Dtype, Folder, Package, WriteOptions};
use adem_pipeline::testing::RandomPackage;
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// A decoder of 135 M parameters on a software GPU.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Tokens decoded where a token takes milliseconds, and where it may take ten seconds.
const STEPS: [u32; 2] = [48, 6];
/// Our schemes, and what the peer calls its own.
const SCHEMES: [(&str, &str); 3] = [("float", "fp32"), ("q8", "q8"), ("q4", "q4")];
/// Our engine, the peer's device, whether the browser has WebGPU.
const DEVICES: [(&str, &str, bool); 2] = [("cpu", "wasm", false), ("gpu", "webgpu", true)];

/// What is compared: a decoder's tokens a second, or an encoder's milliseconds a picture.
/// `onnx_models.py` holds the same sizes.
pub(super) fn shape(name: &str) -> ModelConfig {
    let decoder = LlamaConfig {
        dim: 256,
        n_layers: 6,
        n_heads: 8,
        ffn_hidden: 688,
        vocab_size: 4096,
        max_seq_len: 256,
        ..LlamaConfig::default()
    };
    let encoder = ClipConfig {
        image_size: 64,
        patch: 8,
        width: 128,
        layers: 2,
        heads: 2,
        ..ClipConfig::default()
    };
    let adem = AdemConfig {
        down_sample: vec![64, 16],
        hidden_proj: 64,
        ..AdemConfig::default()
    };
    match name {
        "S" => ModelConfig {
            llama: decoder,
            clip: encoder,
            adem,
        },
        "M" => ModelConfig {
            llama: LlamaConfig {
                dim: 576,
                n_layers: 30,
                n_heads: 9,
                n_kv_heads: Some(3),
                ffn_hidden: 1536,
                vocab_size: 49152,
                tie_embeddings: true,
                ..decoder
            },
            clip: encoder,
            adem,
        },
        "V" => ModelConfig {
            llama: LlamaConfig {
                n_layers: 1,
                ..decoder
            },
            clip: ClipConfig {
                image_size: 224,
                patch: 16,
                width: 384,
                layers: 12,
                heads: 6,
                ..encoder
            },
            adem: AdemConfig {
                down_sample: vec![196, 49],
                ..adem
            },
        },
        other => panic!("no shape `{other}`: S, M and V"),
    }
}

/// The shipped tokeniser with tokens of no meaning up to `size`: random weights say any of them.
pub(super) fn tokenizer(size: usize) -> Vec<u8> {
    let text = fs::read(root().join("web/scenes/tokenizer.json")).unwrap();
    let known = Tokenizer::from_bytes(&text).unwrap().vocab_size();
    let mut json: Value = serde_json::from_slice(&text).unwrap();
    let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
    for id in known..size {
        vocabulary.insert(format!("\u{2581}{id}"), id.into());
    }
    serde_json::to_vec(&json).unwrap()
}

/// Writes the shape's packages, `SHAPE-SCHEME` each, to `folder`.
fn packages(folder: &Path, name: &str, steps: u32) {
    let config = shape(name);
    let float = folder.join(format!("{name}-float"));
    let random = RandomPackage {
        tokenizer: tokenizer(config.llama.vocab_size),
        config,
        max_new_tokens: steps,
        options: WriteOptions {
            dtype: Dtype::F16,
            ..WriteOptions::default()
        },
        seed: 1,
    };
    random.write(&float).unwrap();
    for scheme in [Scheme::Q8, Scheme::Q4] {
        let to = folder.join(format!("{name}-{}", scheme.name()));
        quantised(&float, &to, scheme);
    }
}

/// Writes the package in `from` quantised to `to`.
pub(super) fn quantised(from: &Path, to: &Path, scheme: Scheme) {
    let package = pollster::block_on(Package::open(Folder::new(from))).unwrap();
    let options = QuantizeOptions::new(scheme);
    let stop = AtomicBool::new(false);
    pollster::block_on(quantize(&package, to, &options, |_| (), &stop)).unwrap();
}

#[test]
#[ignore = "measures; `cargo xtask bench peers` runs it"]
fn print_a_row_for_each_shape() {
    let peers = PathBuf::from(env::var_os("ADEM_PEERS").expect("ADEM_PEERS: the peers' folder"));
    let shapes = env::var("ADEM_SHAPES").unwrap_or_else(|_| "S,V,M".to_owned());
    let devices = env::var("ADEM_DEVICES").unwrap_or_else(|_| "wasm,webgpu".to_owned());
    let as_json = env::var_os("ADEM_JSON").is_some();
    let pages = root().join("tests/peers");
    for name in ["theirs.html", "theirs.js"] {
        fs::copy(pages.join(name), peers.join(name)).unwrap();
    }
    let theirs = serve(&peers);
    let site = tempfile::tempdir().unwrap();
    copy(&root().join("dist"), site.path());
    for name in ["ours.html", "ours.js"] {
        fs::copy(pages.join(name), site.path().join(name)).unwrap();
    }
    let picture = super::samples().remove(0);
    fs::copy(picture, site.path().join("picture.jpg")).unwrap();
    let ours = serve(site.path());
    if !as_json {
        println!("shape scheme device       ours     theirs      ratio            first text, ms");
    }
    for name in shapes.split(',') {
        for (engine, device, webgpu) in DEVICES {
            if !devices.split(',').any(|wanted| wanted == device) {
                continue;
            }
            let steps = STEPS[usize::from(webgpu)];
            packages(site.path(), name, steps);
            for (scheme, dtype) in SCHEMES {
                let (attribute, unit) = match name {
                    "V" => ("data-vision", "ms"),
                    _ => ("data-tokens", "tokens/s"),
                };
                let query = format!(
                    "ours.html?package={name}-{scheme}/&engine={engine}&picture=picture.jpg"
                );
                let [own, own_first] = figures(&format!("{ours}{query}"), webgpu, attribute);
                let query =
                    format!("theirs.html?shape={name}&dtype={dtype}&device={device}&steps={steps}");
                let [peer, peer_first] =
                    figures(&format!("{theirs}{query}"), webgpu, "data-figure");
                let ratio = match name {
                    "V" => peer / own,
                    _ => own / peer,
                };
                let row = json!({
                    "shape": name, "scheme": scheme, "device": device, "unit": unit,
                    "ours": own, "theirs": peer, "ratio": ratio,
                    "first_ms": {"ours": own_first, "theirs": peer_first},
                });
                match as_json {
                    true => println!("{row}"),
                    false => println!(
                        "{name:5} {scheme:6} {device:6} {own:10.2} {peer:10.2} {ratio:9.2}x  {unit:8} {own_first:9.0} {peer_first:9.0}"
                    ),
                }
            }
        }
    }
}

/// What a page measures, and milliseconds from navigation to its first text; not numbers where it
/// failed, with its words on the standard error, or has none.
fn figures(url: &str, webgpu: bool, attribute: &str) -> [f64; 2] {
    let browser = Browser::start(webgpu);
    browser.open(url);
    let end = browser.wait("body", "data-state", &["done", "failed"], PATIENCE);
    if end == "failed" {
        eprintln!("{url}: {}", browser.text("body"));
        return [f64::NAN; 2];
    }
    [attribute, "data-first"].map(|name| {
        let figure = browser.attribute("body", name);
        figure
            .and_then(|text| text.parse().ok())
            .unwrap_or(f64::NAN)
    })
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}
