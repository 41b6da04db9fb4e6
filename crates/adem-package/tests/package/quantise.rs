//! A float package becomes a quantised one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use adem_package::quant::{
    Activations, Importance, Kept, Method, QuantReport, QuantizeOptions, Recipe, ScaleType, Scheme,
    encode, quantize,
};
use adem_package::{
    Dtype, Folder, MANIFEST_FILE, Manifest, NewTensor, Package, PackageError, Storage,
    WriteOptions, limits, verify, write,
};
use pollster::block_on;

use crate::craft::{TOKENIZER, draft, files, load, memory, names, tensor};

/// Weights of every kind: quantised, padded, of a convolution, and kept.
pub fn weights() -> Vec<NewTensor> {
    vec![
        tensor("layers.0.wq.weight", &[8, 64], 1),
        tensor("layers.0.w2.weight", &[8, 40], 2),
        tensor("norm.weight", &[64], 3),
        tensor("visual.conv1.weight", &[4, 3, 8, 8], 4),
        tensor("visual.odd.weight", &[4, 3, 3, 3], 5),
        tensor("adapter_emb1", &[1, 3, 64], 6),
        tensor("tok_embeddings.weight", &[7, 64], 7),
    ]
}

pub fn float_package(folder: &Path, tensors: Vec<NewTensor>, dtype: Dtype, shard_bytes: u64) {
    let options = WriteOptions { dtype, shard_bytes };
    write(folder, draft(), TOKENIZER, tensors, &options).unwrap();
}

pub fn run(from: &Path, to: &Path, options: &QuantizeOptions) -> Result<QuantReport, PackageError> {
    let go_on = AtomicBool::new(false);
    block_on(async {
        let package = Package::open(Folder::new(from)).await?;
        quantize(&package, to, options, |_| {}, &go_on).await
    })
}

pub fn options(scheme: Scheme) -> QuantizeOptions {
    QuantizeOptions::new(scheme)
}

#[test]
fn weights_are_blocks_and_the_rest_is_as_it_was() {
    for scheme in [Scheme::Q4, Scheme::Q8] {
        for scale_type in [ScaleType::F16, ScaleType::F32] {
            for (dtype, shard_bytes) in [
                (Dtype::F32, 1 << 20),
                (Dtype::F16, 1700),
                (Dtype::BF16, 2500),
            ] {
                let folder = tempfile::tempdir().unwrap();
                let (from, to) = (folder.path().join("from"), folder.path().join("to"));
                float_package(&from, weights(), dtype, shard_bytes);
                let options = QuantizeOptions {
                    scale_type,
                    shard_bytes: 1500,
                    ..options(scheme)
                };
                let report = run(&from, &to, &options).unwrap();

                let manifest = block_on(verify(Folder::new(&to), |_| {})).unwrap();
                assert!(manifest.shards.len() > 1);
                let quantisation = manifest.quantisation.as_ref().unwrap();
                let listed: Vec<_> = quantisation
                    .tensors
                    .iter()
                    .map(|t| (t.name.as_str(), t.in_padded))
                    .collect();
                assert_eq!(
                    listed,
                    [
                        ("layers.0.w2.weight", 64),
                        ("layers.0.wq.weight", 64),
                        ("tok_embeddings.weight", 64),
                        ("visual.conv1.weight", 192),
                    ]
                );
                let mut loaded = load(memory(&files(&to))).unwrap();
                assert_eq!(loaded.len(), weights().len());
                for NewTensor { name, shape, data } in weights() {
                    let view = loaded.get(&name).unwrap();
                    assert_eq!(view.shape, shape);
                    let told = report.tensors.iter().find(|t| t.name == name).unwrap();
                    let blocks = match view.storage {
                        Storage::Quantised(blocks) => blocks,
                        Storage::Float { dtype: found, .. } => {
                            assert_eq!((found, told.kind), (dtype, dtype.name()));
                            assert!(told.kept.is_some() && told.max_abs_error == 0.0);
                            assert_eq!(loaded.take(&name, &shape).unwrap(), data);
                            continue;
                        }
                    };
                    assert_eq!((told.kind, told.kept), (scheme.name(), None));
                    let recipe = Recipe {
                        scheme,
                        scale: scale_type,
                        method: Method::Search,
                        importance: None,
                    };
                    let cols = data.len() / shape[0];
                    let expected = encode(&data, cols, &recipe).unwrap();
                    assert_eq!(blocks.words(), expected.words);
                    assert_eq!(blocks.scales(), expected.scales);
                    assert_eq!(told.max_abs_error, expected.errors.max_abs);
                    assert_eq!(
                        told.rms_error,
                        (expected.errors.squares / data.len() as f64).sqrt()
                    );
                    let bytes = (blocks.word_bytes().len(), blocks.scale_bytes().len());
                    assert_eq!(
                        told.bits_per_weight,
                        8.0 * (bytes.0 + bytes.1) as f64 / data.len() as f64
                    );
                    let words: Vec<u8> = blocks
                        .scale_words()
                        .iter()
                        .flat_map(|w| w.to_le_bytes())
                        .collect();
                    assert_eq!(words[..bytes.1], *blocks.scale_bytes());
                    assert_eq!(words.len(), bytes.1.next_multiple_of(4));
                    let found = loaded.take(&name, &shape).unwrap();
                    let worst = data
                        .iter()
                        .zip(&found)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f32::max);
                    assert!(f64::from(worst) <= told.max_abs_error * 1.0001, "{name}");
                }
                assert!(loaded.is_empty());
                let size = |path: &Path| -> u64 {
                    files(path)
                        .iter()
                        .filter(|(name, _)| name.starts_with("weights"))
                        .map(|(_, bytes)| bytes.len() as u64)
                        .sum()
                };
                assert_eq!(
                    (report.bytes_before, report.bytes_after),
                    (size(&from), size(&to))
                );
            }
        }
    }
}

#[test]
fn a_small_package_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let mut data = vec![0.0; 64];
    (data[0], data[1], data[16], data[33], data[63]) = (3.5, -0.5, 1.0, -1.75, 0.25);
    let one = NewTensor {
        name: "a.weight".into(),
        shape: vec![2, 32],
        data,
    };
    float_package(&from, vec![one, tensor("b", &[1], 0)], Dtype::F16, 1 << 20);
    let options = QuantizeOptions {
        method: Method::Rtn,
        ..options(Scheme::Q4)
    };
    run(&from, &to, &options).unwrap();
    let shard = &files(&to)["weights-00001-of-00001.safetensors"];
    let header = br#"{"a.weight.q":{"data_offsets":[0,32],"dtype":"U32","shape":[2,4]},"a.weight.scale":{"data_offsets":[32,36],"dtype":"F16","shape":[2,1]},"b":{"data_offsets":[36,38],"dtype":"F16","shape":[1]}}"#;
    let length = header.len().next_multiple_of(8);
    assert_eq!(shard[..8], (length as u64).to_le_bytes());
    assert_eq!(&shard[8..8 + header.len()], header);
    let values = &shard[8 + length..];
    // Row 0: scale 0.5, codes 7, -1 and 2 in column 16. Row 1: scale 0.25, -7 and 1.
    let codes = [
        0x27, 0x0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0x10,
    ];
    assert_eq!(values[..32], codes);
    assert_eq!(values[32..36], [0x00, 0x38, 0x00, 0x34]);
    let manifest: serde_json::Value = serde_json::from_slice(&files(&to)[MANIFEST_FILE]).unwrap();
    let source = Manifest::parse(&files(&from)[MANIFEST_FILE])
        .unwrap()
        .to_bytes()
        .unwrap();
    assert_eq!(manifest["format"], 1);
    assert_eq!(
        manifest["quantisation"],
        serde_json::json!({
            "block": 32, "method": "rtn", "importance": false, "keep_float": [],
            "source": adem_package::Digest::of(&source).to_string(),
            "tensors": [{"name": "a.weight", "scheme": "q4", "scale": "f16", "shape": [2, 32], "in_padded": 32}],
        })
    );
}

#[test]
fn a_weight_longer_than_one_part_is_quantised_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let cols = 1000;
    let rows = (limits::PART_BYTES as usize * 5 / 2) / (4 * cols);
    let big = tensor("big.weight", &[rows, cols], 9);
    let bias = tensor("big.bias", &[limits::PART_BYTES as usize / 4 + 10], 9);
    float_package(
        &from,
        vec![big.clone(), bias.clone()],
        Dtype::F32,
        limits::SHARD_BYTES,
    );
    let options = QuantizeOptions {
        method: Method::Rtn,
        ..options(Scheme::Q8)
    };
    run(&from, &to, &options).unwrap();
    let mut loaded = load(memory(&files(&to))).unwrap();
    assert!(loaded.take("big.bias", &bias.shape).unwrap() == bias.data);
    let recipe = Recipe {
        scheme: Scheme::Q8,
        scale: ScaleType::F16,
        method: Method::Rtn,
        importance: None,
    };
    let expected = encode(&big.data, cols, &recipe).unwrap();
    match loaded.get("big.weight").unwrap().storage {
        Storage::Quantised(blocks) => assert!(blocks.words() == expected.words),
        Storage::Float { .. } => panic!("not quantised"),
    }
}

#[test]
fn shards_load_one_by_one_and_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    float_package(&from, weights(), Dtype::F16, 1 << 20);
    let options = QuantizeOptions {
        shard_bytes: 1500,
        ..options(Scheme::Q8)
    };
    run(&from, &to, &options).unwrap();
    let package = block_on(Package::open(Folder::new(&to))).unwrap();
    let mut all = block_on(package.load_weights(|_| {})).unwrap();
    let shards = package.manifest().shards.len();
    assert!(shards > 2);
    for index in 0..shards {
        let mut bytes = 0;
        let shard = block_on(package.load_shard(index, |part| bytes += part)).unwrap();
        let mut shard = shard.unwrap();
        assert_eq!(bytes, package.manifest().shards[index].bytes);
        let here: Vec<_> = shard.unused().map(|view| view.name.to_owned()).collect();
        assert!(!here.is_empty());
        for name in here {
            assert_eq!(shard.get(&name).unwrap(), all.get(&name).unwrap());
            shard.release(&name).unwrap();
            all.release(&name).unwrap();
            assert!(matches!(shard.get(&name), Err(PackageError::Taken { .. })));
            assert!(matches!(
                shard.release(&name),
                Err(PackageError::Taken { .. })
            ));
        }
        assert!(shard.is_empty());
    }
    assert!(all.is_empty());
    assert!(
        block_on(package.load_shard(shards, |_| {}))
            .unwrap()
            .is_none()
    );
}

#[test]
fn patterns_keep_weights_float_and_are_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    float_package(&from, weights(), Dtype::F16, 1 << 20);
    let keep_float = vec!["layers.?.w2.*".to_owned(), "visual*".to_owned()];
    let with = |keep_float: &[String]| QuantizeOptions {
        keep_float: keep_float.to_vec(),
        ..options(Scheme::Q4)
    };
    let report = run(&from, &to, &with(&keep_float)).unwrap();
    let asked: Vec<_> = report
        .tensors
        .iter()
        .filter(|t| t.kept == Some(Kept::Asked))
        .map(|t| t.name.as_str())
        .collect();
    assert_eq!(asked, ["layers.0.w2.weight", "visual.conv1.weight"]);
    assert_eq!(report.quantised(), 2);
    let manifest = block_on(verify(Folder::new(&to), |_| {})).unwrap();
    assert_eq!(manifest.quantisation.unwrap().keep_float, keep_float);

    let error = run(&from, &to, &with(&["norm.weight".to_owned()])).unwrap_err();
    assert!(matches!(error, PackageError::Pattern { .. }), "{error}");
    names(&error, &["`norm.weight`"]);
    let error = run(&from, &to, &with(&["*".to_owned()])).unwrap_err();
    assert!(matches!(error, PackageError::NothingToQuantise), "{error}");
}

#[test]
fn importances_are_used_and_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let data: Vec<f32> = (0..640).map(|i| (i as f32 * 1.7).sin()).collect();
    let one = NewTensor {
        name: "a.weight".into(),
        shape: vec![10, 64],
        data: data.clone(),
    };
    float_package(&from, vec![one], Dtype::F32, 1 << 20);
    let with = |name: &str, each: Vec<f32>| QuantizeOptions {
        activations: BTreeMap::from([(name.to_owned(), Activations::Squares(each))]),
        ..options(Scheme::Q4)
    };
    let importance: Vec<f32> = (0..64)
        .map(|i| if i % 9 == 0 { 50.0 } else { 0.1 })
        .collect();
    run(&from, &to, &with("a.weight", importance.clone())).unwrap();
    let recipe = Recipe {
        scheme: Scheme::Q4,
        scale: ScaleType::F16,
        method: Method::Search,
        importance: Some(Importance::Columns(&importance)),
    };
    let expected = encode(&data, 64, &recipe).unwrap();
    let loaded = load(memory(&files(&to))).unwrap();
    match loaded.get("a.weight").unwrap().storage {
        Storage::Quantised(blocks) => assert_eq!(blocks.words(), expected.words),
        Storage::Float { .. } => panic!("not quantised"),
    }
    assert!(
        block_on(verify(Folder::new(&to), |_| {}))
            .unwrap()
            .quantisation
            .unwrap()
            .importance
    );
    for (name, each, says) in [
        ("b.weight", vec![1.0; 64], "no weight has that name"),
        (
            "a.weight",
            vec![1.0; 63],
            "63 numbers for 64 columns, not 64",
        ),
        ("a.weight", vec![-1.0; 64], "-1 for column 0"),
        ("a.weight", vec![f32::NAN; 64], "NaN for column 0"),
    ] {
        let error = run(&from, &to, &with(name, each)).unwrap_err();
        names(&error, &[&format!("`{name}`"), says]);
    }
}

#[test]
fn the_shipped_model_becomes_much_smaller() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/scenes");
    for (scheme, most_bytes, most_error) in [(Scheme::Q4, 0.35, 0.12), (Scheme::Q8, 0.60, 0.01)] {
        let folder = tempfile::tempdir().unwrap();
        let report = run(&shipped, folder.path(), &options(scheme)).unwrap();
        block_on(verify(Folder::new(folder.path()), |_| {})).unwrap();
        println!(
            "{} {} -> {}",
            scheme.name(),
            report.bytes_before,
            report.bytes_after
        );
        assert!(report.bytes_after as f64 <= most_bytes * report.bytes_before as f64);
        for name in [
            "output.weight",
            "tok_embeddings.weight",
            "layers.3.feed_forward.w2.weight",
            "backbone.visual.conv1.weight",
            "backbone.visual.transformer.resblocks.0.attn.in_proj_weight",
        ] {
            let told = report.tensors.iter().find(|t| t.name == name).unwrap();
            assert_eq!(told.kind, scheme.name());
            assert!(
                told.relative_error <= most_error,
                "{name}: {}",
                told.relative_error
            );
        }
    }
}
