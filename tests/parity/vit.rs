//! A plain ViT, imported from Hugging Face's names, against its definition written out, and with
//! real trained weights against what pictures show.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use adem_data::image::{Limits, Normalisation, decode, pixels};
use adem_import::{ImportOptions, import};
use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig, VisionLayout};
use adem_model::nn::Builder;
use adem_model::vision::ClipVision;
use adem_package::{Folder, Manifest, Package};
use adem_pipeline::PackageSource;
use adem_tests::golden::{self, Array};
use burn::tensor::{Device, Tensor, TensorData};
use pollster::block_on;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use serde_json::json;

use crate::backend::Backend;
use crate::compare::{Report, download, say};
use crate::imported::tokenizer;

const WIDTH: usize = 32;
const HEADS: usize = 2;
const LAYERS: usize = 3;
const PATCH: usize = 4;
const SIDE: usize = 12;
const TOKENS: usize = 1 + (SIDE / PATCH) * (SIDE / PATCH);
const CLASSES: usize = 7;

/// The encoder of a file or folder, through a package.
fn imported(source: &Path, device: &Device) -> (ClipVision, Manifest) {
    let place = tempfile::tempdir().unwrap();
    let json = place.path().join("tokenizer.json");
    fs::write(&json, tokenizer()).unwrap();
    let options = ImportOptions {
        tokenizer: Some(json),
        ..ImportOptions::default()
    };
    let out = place.path().join("package");
    let never = AtomicBool::new(false);
    import(&[source.to_owned()], &out, &options, |_| {}, &never).unwrap();
    let package = block_on(Package::open(Folder::new(&out))).unwrap();
    let manifest = package.manifest().clone();
    let config = ModelConfig {
        clip: serde_json::from_value::<ClipConfig>(manifest.model["clip"].clone()).unwrap(),
        adem: AdemConfig {
            clip_adapter_dim: 0,
            ..AdemConfig::default()
        },
        ..ModelConfig::default()
    };
    let mut tensors = PackageSource::new(block_on(package.load_weights(|_| {})).unwrap());
    let builder = &mut Builder::new(&mut tensors, device);
    let encoder = ClipVision::new(builder, "backbone.visual", &config).unwrap();
    tensors.finish().unwrap();
    (encoder, manifest)
}

/// Random weights under Hugging Face's names.
struct Weights(HashMap<String, (Vec<usize>, Vec<f32>)>);

impl Weights {
    fn random() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let mut all = HashMap::new();
        let mut add = |name: String, shape: &[usize], centre: f32| {
            let count = shape.iter().product();
            let value = || centre + 0.5 * (rng.random::<f32>() - 0.5);
            let values = std::iter::repeat_with(value).take(count).collect();
            all.insert(name, (shape.to_vec(), values));
        };
        add("vit.embeddings.cls_token".into(), &[1, 1, WIDTH], 0.0);
        add(
            "vit.embeddings.position_embeddings".into(),
            &[1, TOKENS, WIDTH],
            0.0,
        );
        let patches = "vit.embeddings.patch_embeddings.projection";
        add(format!("{patches}.weight"), &[WIDTH, 3, PATCH, PATCH], 0.0);
        add(format!("{patches}.bias"), &[WIDTH], 0.0);
        let mut norms = vec!["vit.layernorm".to_owned()];
        let mut layers = vec![("classifier".to_owned(), CLASSES, WIDTH)];
        for block in 0..LAYERS {
            let path = format!("vit.encoder.layer.{block}");
            norms.extend(["before", "after"].map(|it| format!("{path}.layernorm_{it}")));
            let attention = [
                "attention.query",
                "attention.key",
                "attention.value",
                "output.dense",
            ];
            layers.extend(attention.map(|it| (format!("{path}.attention.{it}"), WIDTH, WIDTH)));
            layers.push((format!("{path}.intermediate.dense"), 4 * WIDTH, WIDTH));
            layers.push((format!("{path}.output.dense"), WIDTH, 4 * WIDTH));
        }
        for norm in norms {
            add(format!("{norm}.weight"), &[WIDTH], 1.0);
            add(format!("{norm}.bias"), &[WIDTH], 0.0);
        }
        for (layer, rows, cols) in layers {
            add(format!("{layer}.weight"), &[rows, cols], 0.0);
            add(format!("{layer}.bias"), &[rows], 0.0);
        }
        Self(all)
    }

    fn write(&self, path: &Path) {
        let bytes: HashMap<_, Vec<u8>> = self
            .0
            .iter()
            .map(|(name, (_, values))| {
                (name, values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let views = self.0.iter().map(|(name, (shape, _))| {
            let view = TensorView::new(safetensors::Dtype::F32, shape.clone(), &bytes[name]);
            (name.as_str(), view.unwrap())
        });
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn get(&self, name: &str) -> Vec<f64> {
        self.0[name].1.iter().copied().map(f64::from).collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.get(&format!("{name}.weight"));
        let bias = self.get(&format!("{name}.bias"));
        let rows = weight.chunks(x.len()).zip(bias);
        rows.map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias)
            .collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let deviation = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n + 1e-12).sqrt();
        let (weight, bias) = (
            self.get(&format!("{name}.weight")),
            self.get(&format!("{name}.bias")),
        );
        (0..x.len())
            .map(|i| (x[i] - mean) / deviation * weight[i] + bias[i])
            .collect()
    }

    /// Scores of the classes for one picture `[3, SIDE, SIDE]`, by the definition.
    fn classify(&self, picture: &[f32]) -> Vec<f64> {
        let grid = SIDE / PATCH;
        let mut tokens = vec![self.get("vit.embeddings.cls_token")];
        for patch in 0..grid * grid {
            let mut cells = Vec::new();
            for at in 0..3 * PATCH * PATCH {
                let (channel, y, x) = (at / (PATCH * PATCH), at / PATCH % PATCH, at % PATCH);
                let (y, x) = (patch / grid * PATCH + y, patch % grid * PATCH + x);
                cells.push(f64::from(picture[channel * SIDE * SIDE + y * SIDE + x]));
            }
            tokens.push(self.linear("vit.embeddings.patch_embeddings.projection", &cells));
        }
        let positions = self.get("vit.embeddings.position_embeddings");
        for (token, position) in tokens.iter_mut().zip(positions.chunks(WIDTH)) {
            add(token, position);
        }
        for block in 0..LAYERS {
            let path = format!("vit.encoder.layer.{block}");
            let before: Vec<_> = tokens
                .iter()
                .map(|x| self.norm(&format!("{path}.layernorm_before"), x))
                .collect();
            let [queries, keys, values] = ["query", "key", "value"].map(|it| {
                let name = format!("{path}.attention.attention.{it}");
                before
                    .iter()
                    .map(|x| self.linear(&name, x))
                    .collect::<Vec<_>>()
            });
            for (token, query) in tokens.iter_mut().zip(&queries) {
                let mut mixed = Vec::new();
                for head in 0..HEADS {
                    let own = head * WIDTH / HEADS..(head + 1) * WIDTH / HEADS;
                    let score = |key: &Vec<f64>| {
                        let pairs = query[own.clone()].iter().zip(&key[own.clone()]);
                        let dot: f64 = pairs.map(|(q, k)| q * k).sum();
                        (dot / ((WIDTH / HEADS) as f64).sqrt()).exp()
                    };
                    let scores: Vec<f64> = keys.iter().map(score).collect();
                    let sum: f64 = scores.iter().sum();
                    mixed.extend(own.map(|i| {
                        let parts = scores.iter().zip(&values);
                        parts
                            .map(|(score, value)| score / sum * value[i])
                            .sum::<f64>()
                    }));
                }
                add(
                    token,
                    &self.linear(&format!("{path}.attention.output.dense"), &mixed),
                );
            }
            for token in &mut tokens {
                let x = self.norm(&format!("{path}.layernorm_after"), token);
                let mut x = self.linear(&format!("{path}.intermediate.dense"), &x);
                x.iter_mut()
                    .for_each(|x| *x *= 0.5 * (1.0 + erf(*x / 2f64.sqrt())));
                add(token, &self.linear(&format!("{path}.output.dense"), &x));
            }
        }
        self.linear("classifier", &self.norm("vit.layernorm", &tokens[0]))
    }
}

fn add(to: &mut [f64], what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(to, what)| *to += what);
}

/// The error function by its series.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

fn a_plain_vit_is_its_definition(backend: &Backend) {
    let place = tempfile::tempdir().unwrap();
    let weights = Weights::random();
    weights.write(&place.path().join("model.safetensors"));
    let config = json!({
        "model_type": "vit", "hidden_act": "gelu", "hidden_size": WIDTH, "image_size": SIDE,
        "intermediate_size": 4 * WIDTH, "layer_norm_eps": 1e-12, "num_attention_heads": HEADS,
        "num_channels": 3, "num_hidden_layers": LAYERS, "patch_size": PATCH, "qkv_bias": true,
    });
    fs::write(place.path().join("config.json"), config.to_string()).unwrap();
    let (encoder, manifest) = imported(place.path(), &backend.device);
    assert_eq!(
        manifest.model["clip"]["layout"],
        json!({"vit": {"classes": CLASSES}})
    );
    assert_eq!(
        (manifest.image.mean, manifest.image.std),
        ([0.5; 3], [0.5; 3])
    );
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let value = || 4.0 * (rng.random::<f32>() - 0.5);
    let pictures: Vec<f32> = std::iter::repeat_with(value)
        .take(2 * 3 * SIDE * SIDE)
        .collect();
    let wanted = pictures
        .chunks(3 * SIDE * SIDE)
        .flat_map(|it| weights.classify(it));
    let wanted = Array {
        shape: vec![2, CLASSES],
        values: wanted.map(|score| score as f32).collect(),
    };
    let data = TensorData::new(pictures, [2, 3, SIDE, SIDE]);
    let got = encoder
        .classify(Tensor::from_data(data, &backend.device))
        .unwrap();
    let mut report = Report::new("a plain ViT", backend.name);
    report.case();
    report.absolute(
        "scores",
        "random",
        &download(got),
        &wanted,
        backend.tolerances.logits,
    );
    report.finish();
}

crate::on_every_backend!(a_plain_vit_is_its_definition);

/// Files of a tar archive, by name.
fn untarred(path: &Path) -> HashMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (mut at, mut files) = (0, HashMap::new());
    while bytes.get(at).is_some_and(|byte| *byte != 0) {
        let text = |from: usize, length: usize| {
            let field = &bytes[at + from..at + from + length];
            let field = field.split(|byte| *byte == 0).next().unwrap();
            std::str::from_utf8(field).unwrap().trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124, 12), 8).unwrap();
        files.insert(text(0, 100), bytes[at + 512..at + 512 + size].to_vec());
        at += 512 + size.next_multiple_of(512);
    }
    files
}

/// Tiny ImageNet's classes in the order of their WordNet numbers: its six dogs.
const DOGS: std::ops::RangeInclusive<usize> = 24..=29;

/// Pictures that all of whose captions are about `word`, and others, of Flickr8k's development set.
fn pictures(folder: &Path, word: &str) -> [Vec<Vec<u8>>; 2] {
    let files = untarred(&folder.join("dev-0000.tar"));
    let mut names: Vec<_> = files
        .keys()
        .filter(|name| name.ends_with(".json"))
        .collect();
    names.sort();
    let mut sorted = [Vec::new(), Vec::new()];
    for name in names {
        let text = std::str::from_utf8(&files[name]).unwrap();
        let captions: serde_json::Value = serde_json::from_str(text).unwrap();
        let captions = captions["captions"].as_array().unwrap();
        let about = captions
            .iter()
            .filter(|it| it.as_str().unwrap().contains(word))
            .count();
        let which = match about {
            0 => 1,
            all if all == captions.len() => 0,
            _ => continue,
        };
        sorted[which].push(files[&name.replace(".json", ".jpg")].clone());
    }
    sorted
}

/// ViT-Tiny, trained on Tiny ImageNet, finds its breeds of dogs in small photographs of dogs and
/// nowhere else.
#[test]
fn a_trained_vit_tells_what_pictures_show() {
    let paths: [PathBuf; 2] = ["vit_tiny", "flickr8k"].map(|it| golden::data().join(it));
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        say(&format!("SKIPPED: no {} (ADEM_DATA)", missing.display()));
        return;
    }
    let device = Backend::cpu().unwrap().device;
    let (encoder, manifest) = imported(&paths[0], &device);
    let config: ClipConfig = serde_json::from_value(manifest.model["clip"].clone()).unwrap();
    assert_eq!(
        (config.width, config.layers, config.heads, config.patch),
        (192, 12, 3, 16)
    );
    assert_eq!(config.layout, VisionLayout::Vit { classes: 200 });
    let by = Normalisation {
        mean: manifest.image.mean,
        std: manifest.image.std,
    };
    let side = manifest.image.size;
    let found = pictures(&paths[1], "dog").map(|pictures| {
        let all: Vec<bool> = pictures
            .iter()
            .take(40)
            .map(|bytes| {
                let picture = decode(bytes, &Limits::default()).unwrap();
                let data = TensorData::new(
                    pixels(&picture, side, &by),
                    [1, 3, side as usize, side as usize],
                );
                let scores = encoder.classify(Tensor::from_data(data, &device)).unwrap();
                let scores = download(scores).values;
                let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
                DOGS.contains(&best.unwrap())
            })
            .collect();
        (all.iter().filter(|it| **it).count(), all.len())
    });
    say(&format!(
        "vit_tiny: dogs {:?}, others taken for dogs {:?}",
        found[0], found[1]
    ));
    let [(dogs, of), (wrong, others)] = found;
    assert_eq!((of, others), (40, 40));
    // Six breeds among 200 classes: by chance one picture in 33.
    assert!(dogs >= 10 && wrong <= 1, "{found:?}");
}
