//! The recipe `scenes` at toy size: resuming, freezing, refusing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig, RopeStyle};
use adem_train::scenes::{ScenesConfig, StageConfig, Stopped, train};
use adem_train::{Log, Rule, TrainError};
use burn::tensor::Device;
use safetensors::SafeTensors;

/// A run of a few steps that takes about a second.
fn toy() -> ScenesConfig {
    let stage = |batch| StageConfig {
        steps: 3,
        batch,
        lr: 1e-3,
        warmup: 1,
        rule: Rule::Muon,
    };
    ScenesConfig {
        seed: 7,
        model: ModelConfig {
            llama: LlamaConfig {
                dim: 16,
                n_layers: 2,
                n_heads: 2,
                n_kv_heads: None,
                ffn_hidden: 24,
                rope_style: RopeStyle::Half,
                max_seq_len: 128,
                ..LlamaConfig::default()
            },
            clip: ClipConfig {
                image_size: 32,
                patch: 8,
                width: 16,
                layers: 2,
                heads: 2,
                ..ClipConfig::default()
            },
            adem: AdemConfig {
                hidden_proj: 8,
                clip_adapter_dim: 2,
                down_sample: vec![16, 4],
                ..AdemConfig::default()
            },
        },
        see: stage(2),
        read: stage(2),
        tune: stage(1),
        texts_per_picture: 2,
        adapter_dropout: 0.1,
        ..ScenesConfig::default()
    }
}

fn run(config: &ScenesConfig, folder: &Path, stop: bool) -> Result<Stopped, TrainError> {
    train(
        config,
        folder,
        &[Device::flex()],
        &mut Log::silent(),
        &AtomicBool::new(stop),
    )
}

/// Every file of a finished run that must not depend on how often it was stopped.
fn results(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let package = folder.join("package");
    fs::read_dir(package)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (
                path.file_name().unwrap().display().to_string(),
                fs::read(path).unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_run_stopped_after_every_step_makes_the_same_package_to_the_byte() {
    let [whole, pieces] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    assert_eq!(run(&toy(), whole.path(), false).unwrap(), Stopped::No);
    let mut calls = 0;
    while run(&toy(), pieces.path(), true).unwrap() == Stopped::Yes {
        calls += 1;
        assert!(calls < 20, "the run does not come to its end");
    }
    assert!(calls >= 6, "stopped only {calls} times");
    assert_eq!(results(whole.path()), results(pieces.path()));
}

#[test]
fn tuning_leaves_encoder_and_decoder_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    run(&toy(), folder.path(), false).unwrap();
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let [see, language, tune] =
        ["see", "read", "tune"].map(|stage| read(&format!("{stage}.safetensors")));
    let [see, language, tune] =
        [&see, &language, &tune].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let (mut frozen, mut moved) = (0, 0);
    for (name, view) in tune.tensors() {
        if name.starts_with("optimiser.") {
            assert!(
                name.contains("adapter"),
                "{name}: a frozen tensor has optimiser state"
            );
        } else if let Ok(before) = see.tensor(&name).or_else(|_| language.tensor(&name)) {
            if name.contains("adapter") {
                moved += usize::from(before.data() != view.data());
            } else {
                assert_eq!(before.data(), view.data(), "{name} has moved");
                frozen += 1;
            }
        }
    }
    assert!(frozen > 20 && moved > 0, "{frozen} frozen, {moved} moved");
}

#[test]
fn checkpoints_of_other_settings_and_damaged_ones_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    run(&toy(), folder.path(), true).unwrap();
    let path = folder.path().join("see.safetensors");
    let good = fs::read(&path).unwrap();

    let other = ScenesConfig { seed: 8, ..toy() };
    let message = run(&other, folder.path(), true).unwrap_err().to_string();
    assert!(
        message.contains("see.safetensors") && message.contains("other settings"),
        "{message}"
    );

    for length in [0, 7, 100, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        let message = run(&toy(), folder.path(), true).unwrap_err().to_string();
        assert!(
            message.contains("see.safetensors"),
            "{length} bytes: {message}"
        );
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(run(&toy(), folder.path(), true).unwrap(), Stopped::Yes);
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut wild = toy();
    wild.see = StageConfig {
        steps: 40,
        batch: 2,
        lr: 1e30,
        warmup: 1,
        rule: Rule::AdamW,
    };
    run(&wild, folder.path(), true).unwrap();
    let path = folder.path().join("see.safetensors");
    let before = fs::read(&path).unwrap();
    match run(&wild, folder.path(), false) {
        Err(TrainError::LossNotFinite {
            stage: "see", step, ..
        }) => assert!(step >= 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn impossible_settings_are_named_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let refused = |change: fn(&mut ScenesConfig)| {
        let mut config = toy();
        change(&mut config);
        run(&config, &out, false).unwrap_err().to_string()
    };
    assert!(refused(|c| c.tune.batch = 0).contains("tune"));
    assert!(refused(|c| c.see.warmup = 3).contains("see"));
    assert!(refused(|c| c.read.lr = f64::NAN).contains("read"));
    assert!(refused(|c| c.texts_per_picture = 0).contains("texts_per_picture"));
    assert!(refused(|c| c.adapter_dropout = 1.0).contains("adapter_dropout"));
    assert!(!out.exists());
    assert!(refused(|c| c.model.llama.n_heads = 3).contains("llama.n_heads"));
}
