//! Runs on a data set at toy size: resuming, devices, precision, recomputation, cached features.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use adem_data::image::Augment;
use adem_train::scenes::Stopped;
use adem_train::task::{JointConfig, Reporter, SelfCriticalConfig, TaskConfig, train};
use adem_train::{Log, Precision, TrainError, export};
use burn::tensor::Device;

use crate::data::{config, validated};
use crate::stages::tensors;

fn run_on(
    config: &TaskConfig,
    out: &Path,
    devices: usize,
    stop: bool,
) -> Result<Stopped, TrainError> {
    let report: Reporter = Arc::new(|_| ());
    train(
        config,
        out,
        &vec![Device::flex(); devices],
        &mut Log::silent(),
        &report,
        &AtomicBool::new(stop),
    )
}

fn run(config: &TaskConfig, out: &Path) -> BTreeMap<String, Vec<f32>> {
    assert_eq!(run_on(config, out, 1, false).unwrap(), Stopped::No);
    tensors(&out.join("tune.safetensors"))
}

/// The largest difference, and the largest value, of first moments: of gradients.
fn moments_apart(
    a: &BTreeMap<String, Vec<f32>>,
    b: &BTreeMap<String, Vec<f32>>,
) -> BTreeMap<String, (f32, f32)> {
    let largest = |v: &[f32]| v.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    a.iter()
        .filter(|(name, _)| name.starts_with("optimiser.first."))
        .map(|(name, a)| {
            let b = &b[name];
            let apart: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            (name.clone(), (largest(&apart), largest(a)))
        })
        .collect()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn root(&self) -> &Path {
        self.0.path()
    }
}

#[test]
fn a_run_stopped_after_every_step_is_the_run_that_never_stopped() {
    let place = Place::new();
    let config = validated(place.root());
    let whole = run(&config, &place.path("whole"));
    let mut stops = 0;
    while run_on(&config, &place.path("pieces"), 1, true).unwrap() == Stopped::Yes {
        stops += 1;
        assert!(stops < 60, "the run does not come to its end");
    }
    assert!(stops >= 12, "stopped only {stops} times");
    assert_eq!(whole, tensors(&place.path("pieces/tune.safetensors")));

    // Adapters alone, and state for nothing else.
    assert!(whole.keys().all(|name| name.contains("adapter")));
    assert!(
        whole
            .keys()
            .any(|name| name.starts_with("optimiser.second."))
    );
    for best in ["tune-best.safetensors", "tune-best-cider.safetensors"] {
        assert!(place.path("whole").join(best).exists(), "{best}");
    }
    for file in [
        "adem.json",
        "tokenizer.json",
        "weights-00001-of-00001.safetensors",
    ] {
        let [a, b] = ["whole", "pieces"].map(|run| place.path(run).join("package").join(file));
        assert_eq!(fs::read(a).unwrap(), fs::read(b).unwrap(), "{file}");
    }
}

#[test]
fn blocks_that_are_run_again_give_the_same_gradients() {
    let place = Place::new();
    // Dropout on: the second run of a block must draw what the first one drew.
    let mut kept = config(place.root());
    kept.tune.epochs = 0.3;
    kept.tune.warmup_epochs = 0.1;
    let mut again = kept.clone();
    again.tune.recompute = true;
    let [kept, again] =
        [("kept", kept), ("again", again)].map(|(name, config)| run(&config, &place.path(name)));
    let apart = moments_apart(&kept, &again);
    assert!(apart.len() >= 10, "{apart:?}");
    for (name, (difference, largest)) in apart {
        assert!(
            difference <= 1e-5 * largest.max(1e-6),
            "{name}: {difference} of {largest}"
        );
    }
}

#[test]
fn two_devices_tune_as_one_does() {
    let place = Place::new();
    let mut config = config(place.root());
    config.tune.adapter_dropout = 0.0;
    config.tune.epochs = 0.6;
    config.tune.warmup_epochs = 0.3;
    let one = run(&config, &place.path("one"));
    // The pre-trained parts of the same run, so that only the tuning differs.
    fs::create_dir_all(place.path("two")).unwrap();
    for file in ["tokenizer.json", "see.safetensors", "read.safetensors"] {
        fs::copy(place.path("one").join(file), place.path("two").join(file)).unwrap();
    }
    run_on(&config, &place.path("two"), 2, false).unwrap();
    let two = tensors(&place.path("two/tune.safetensors"));
    for (name, (difference, largest)) in moments_apart(&one, &two) {
        assert!(
            difference <= 1e-4 * largest.max(1e-6),
            "{name}: {difference} of {largest}"
        );
    }
    // All stages run on several devices, the one that compares pictures with one another, too.
    run_on(&config, &place.path("all"), 2, false).unwrap();
    let see = |run: &str| tensors(&place.path(run).join("see.safetensors"));
    let (one, all) = (see("one"), see("all"));
    for (name, one) in one
        .iter()
        .filter(|(name, _)| !name.starts_with("optimiser"))
    {
        for (a, b) in one.iter().zip(&all[name]) {
            assert!((a - b).abs() < 2e-3, "{name}: {a} and {b}");
        }
    }
}

#[test]
fn frozen_matrices_in_half_precision_learn_nearly_the_same() {
    let place = Place::new();
    let mut config = config(place.root());
    config.tune.adapter_dropout = 0.0;
    config.tune.epochs = 0.3;
    config.tune.warmup_epochs = 0.1;
    let full = run(&config, &place.path("f32"));
    for precision in [Precision::Bf16, Precision::F16] {
        config.weights.precision = precision;
        let out = place.path(&format!("{precision:?}"));
        let half = run(&config, &out);
        let mut differs = false;
        for (name, (difference, largest)) in moments_apart(&full, &half) {
            assert!(
                difference <= 0.25 * largest + 1e-6,
                "{precision:?}, {name}: {difference} of {largest}"
            );
            differs |= difference > 0.0;
        }
        assert!(differs, "{precision:?} changed nothing");
        // What is trained stays single precision: the package of a run is finite and complete.
        assert!(out.join("package/adem.json").exists());
    }
}

#[test]
fn features_from_the_cache_train_as_fresh_ones_do() {
    let place = Place::new();
    let mut config = config(place.root());
    config.model.adem.clip_adapter_dim = 0;
    config.tune.epochs = 0.6;
    config.tune.warmup_epochs = 0.3;
    let plain = run(&config, &place.path("plain"));
    config.tune.cache_features = true;
    let cached = run(&config, &place.path("cached"));
    // Pictures are encoded in other batches there, which may change a last digit.
    for (name, (difference, largest)) in moments_apart(&plain, &cached) {
        assert!(
            difference <= 1e-3 * largest.max(1e-6),
            "{name}: {difference} of {largest}"
        );
    }
    let again = run(&config, &place.path("cached-again"));
    assert_eq!(cached, again);
    let is_cache = |e: &fs::DirEntry| e.file_name().to_string_lossy().starts_with("features-");
    let caches = fs::read_dir(place.path("cached")).unwrap().flatten();
    let bytes: u64 = caches
        .filter(is_cache)
        .map(|e| e.metadata().unwrap().len())
        .sum();
    // 12 pictures of 17 tokens of 16 values, and two marks each.
    assert_eq!(bytes, 12 * (17 * 16 * 4 + 16));
}

#[test]
fn pictures_may_change_in_another_way_while_captions_are_learned() {
    let place = Place::new();
    let mut config = config(place.root());
    config.tune.epochs = 0.6;
    config.tune.warmup_epochs = 0.3;
    let plain = run(&config, &place.path("plain"));
    config.tune.augment = Some(Augment::default());
    let changed = run(&config, &place.path("changed"));
    let see = |run: &str| tensors(&place.path(run).join("see.safetensors"));
    assert_eq!(see("plain"), see("changed"));
    assert_ne!(plain, changed);

    config.tune.augment = Some(Augment {
        flip: 2.0,
        ..Augment::default()
    });
    let error = run_on(&config, &place.path("wrong"), 1, false).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("tune.augment") && error.contains("flip"),
        "{error}"
    );
}

#[test]
fn everything_learns_together_last() {
    let place = Place::new();
    let mut config = validated(place.root());
    config.tune.epochs = 1.0;
    config.tune.warmup_epochs = 0.2;
    config.joint = Some(JointConfig {
        epochs: 1.0,
        warmup_epochs: 0.2,
        ..JointConfig::default()
    });
    let whole = place.path("whole");
    run(&config, &whole);
    let pieces = place.path("pieces");
    fs::create_dir_all(&pieces).unwrap();
    for stage in ["tokenizer.json", "see", "read", "tune"] {
        let file = match stage {
            "tokenizer.json" => stage.to_owned(),
            stage => format!("{stage}.safetensors"),
        };
        fs::copy(whole.join(&file), pieces.join(&file)).unwrap();
    }
    let mut stops = 0;
    while run_on(&config, &pieces, 1, true).unwrap() == Stopped::Yes {
        stops += 1;
        assert!(stops < 20, "the run does not come to its end");
    }
    assert_eq!(stops, 3, "4 steps");
    let joint = tensors(&whole.join("joint.safetensors"));
    assert_eq!(joint, tensors(&pieces.join("joint.safetensors")));

    // Every part is another one than before, but for the encoder's last block, which is never run.
    let before: BTreeMap<_, _> = ["see", "read", "tune"]
        .iter()
        .flat_map(|stage| tensors(&whole.join(format!("{stage}.safetensors"))))
        .collect();
    let mut parts = [0; 3];
    for (name, values) in joint.iter().filter(|(n, _)| !n.starts_with("optimiser")) {
        let unused = name.contains("resblocks.2.");
        assert_eq!(&before[name] == values, unused, "{name}");
        parts[match name {
            name if name.contains("adapter") => 0,
            name if name.starts_with("backbone.") => 1,
            _ => 2,
        }] += usize::from(!unused);
    }
    assert!(parts.iter().all(|count| *count > 3), "{parts:?}");

    // The package is that of the last stage and needs nothing else; the one before can be had, too.
    for stage in ["see", "read"] {
        fs::rename(
            whole.join(format!("{stage}.safetensors")),
            place.path(stage),
        )
        .unwrap();
    }
    let done = export(&whole, None, &place.path("newest")).unwrap();
    assert_eq!(done.checkpoint, whole.join("joint.safetensors"));
    let manifest = |folder: &Path| fs::read_to_string(folder.join("adem.json")).unwrap();
    let newest = manifest(&place.path("newest"));
    assert_eq!(newest, manifest(&whole.join("package")));
    assert!(
        newest.contains("1 epochs of tuning, 4 steps of everything together"),
        "{newest}"
    );
    for stage in ["see", "read"] {
        fs::rename(
            place.path(stage),
            whole.join(format!("{stage}.safetensors")),
        )
        .unwrap();
    }
    let tuned = place.path("tuned");
    export(&whole, Some("tune.safetensors"), &tuned).unwrap();
    assert!(manifest(&tuned).contains("4 steps of ADEM-VL tuning"));

    let mut wrong = config.clone();
    wrong.joint = Some(JointConfig {
        lr: -1.0,
        ..JointConfig::default()
    });
    let error = run_on(&wrong, &whole, 1, false).unwrap_err().to_string();
    assert!(error.contains("joint.lr"), "{error}");
}

#[test]
fn a_run_is_exported_from_any_of_its_checkpoints() {
    let place = Place::new();
    let mut config = validated(place.root());
    config.save.package = false;
    config.tune.epochs = 1.0;
    config.tune.warmup_epochs = 0.2;
    let out = place.path("run");
    run_on(&config, &out, 1, false).unwrap();
    assert!(!out.join("package").exists());
    // Neither data nor config are needed any more.
    fs::remove_dir_all(place.path("images")).unwrap();
    fs::remove_file(place.path("captions.jsonl")).unwrap();
    let done = export(&out, None, &place.path("newest")).unwrap();
    assert_eq!(done.checkpoint, out.join("tune.safetensors"));
    assert!(done.step >= 2, "{done:?}");
    let best = Some("tune-best.safetensors");
    export(&out, best, &place.path("best")).unwrap();
    let manifest = fs::read_to_string(place.path("best/adem.json")).unwrap();
    assert!(manifest.contains("steps of ADEM-VL tuning"), "{manifest}");

    let refused = |checkpoint, word: &str| {
        let error = export(&out, Some(checkpoint), &place.path("none")).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains(checkpoint) && message.contains(word),
            "{message}"
        );
        assert!(!place.path("none").exists());
    };
    refused("tune-77.safetensors", "is not there");
    refused("see.safetensors", "holds no whole model");
    fs::write(out.join("broken.safetensors"), b"no checkpoint").unwrap();
    refused("broken.safetensors", "broken");
    fs::remove_file(out.join("read.safetensors")).unwrap();
    let error = export(&out, None, &place.path("none")).unwrap_err();
    assert!(error.to_string().contains("read.safetensors"), "{error}");
}

#[test]
fn everything_learns_by_the_scores_of_its_own_captions_and_goes_on_where_it_stopped() {
    let place = Place::new();
    let mut config = validated(place.root());
    config.tune.epochs = 1.0;
    config.tune.warmup_epochs = 0.2;
    config.self_critical = Some(SelfCriticalConfig {
        epochs: 2.0,
        warmup_epochs: 0.2,
        lr: 1e-3,
        samples: 3,
        contrast: 0.5,
        ..SelfCriticalConfig::default()
    });
    let whole = place.path("whole");
    run(&config, &whole);
    let pieces = place.path("pieces");
    fs::create_dir_all(&pieces).unwrap();
    for file in [
        "tokenizer.json",
        "see.safetensors",
        "read.safetensors",
        "tune.safetensors",
    ] {
        fs::copy(whole.join(file), pieces.join(file)).unwrap();
    }
    let mut stops = 0;
    while run_on(&config, &pieces, 1, true).unwrap() == Stopped::Yes {
        stops += 1;
        assert!(stops < 20, "the run does not come to its end");
    }
    assert_eq!(stops, 3, "4 steps, each picture once an epoch");
    let critical = tensors(&whole.join("self_critical.safetensors"));
    let again = tensors(&pieces.join("self_critical.safetensors"));
    assert_eq!(critical, again);
    let before = tensors(&whole.join("read.safetensors"));
    assert_ne!(critical["output.weight"], before["output.weight"]);
    let manifest = fs::read_to_string(whole.join("package/adem.json")).unwrap();
    let told = "1 epochs of tuning, 4 steps of self-critical training";
    assert!(manifest.contains(told), "{manifest}");

    let wrong = |samples, contrast| SelfCriticalConfig {
        samples,
        contrast,
        ..SelfCriticalConfig::default()
    };
    for (field, wrong) in [
        ("self_critical.samples", wrong(1, 0.0)),
        ("self_critical.contrast", wrong(5, -0.1)),
        ("self_critical.contrast", wrong(5, f64::NAN)),
    ] {
        config.self_critical = Some(wrong);
        let error = run_on(&config, &whole, 1, false).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
