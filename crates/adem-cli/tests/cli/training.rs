//! `adem train`, from a plan to a package.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::place::{Place, Ran, assert_says};

#[test]
fn a_training_is_planned_without_weights_and_refused_before_anything_is_written() {
    let place = Place::new();
    let plan = place.run(&["train", "--recipe", "coco-caption", "--dry-run"]);
    assert_eq!((plan.status, plan.err.as_str()), (0, ""));
    assert_says(&plan.out, &["4,530,432", "GiB", "TFLOP", "first samples"]);

    place.put(
        "run.toml",
        b"recipe = \"coco-caption\"\n[tune]\nepocs = 3\n",
    );
    let unknown = place.run(&["train", "run.toml"]);
    assert_eq!(unknown.status, 2);
    assert_says(&unknown.err, &["run.toml", "epocs"]);

    let no_weights = place.run(&["train", "--recipe", "scienceqa"]);
    assert_eq!(no_weights.status, 2);
    assert_says(&no_weights.err, &["weights.tokenizer"]);

    let mut several = place.command(&["train", "--recipe", "scenes"]);
    let several = Ran::of(several.env("WORLD_SIZE", "4").output().unwrap());
    assert_eq!(several.status, 1);
    assert_says(&several.err, &["WORLD_SIZE=4", "--devices"]);
    assert!(!place.path("runs/scenes/see.safetensors").exists());
    assert!(!place.path("runs/run/tokenizer.json").exists());
}

#[test]
fn a_training_on_two_devices_writes_a_package_that_captions() {
    let place = Place::new();
    place.put_data_set();
    place.put("run.toml", TINY_RUN.as_bytes());
    let trained = place.run(&["train", "run.toml", "--devices", "2", "--out", "out"]);
    assert_eq!(trained.status, 0, "{}", trained.err);
    assert_says(&trained.out, &["out/package"]);
    assert_says(
        &trained.err,
        &["validation loss", "CIDEr-D", "out/loss.svg"],
    );
    let captions = fs::read_to_string(place.path("out/captions.jsonl")).unwrap();
    assert_says(&captions, &["picture number 0", "picture number 1"]);
    let lines: Vec<Value> = captions
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    let first = format!(
        "{}: {}",
        lines[0]["picture"].as_str().unwrap(),
        lines[0]["caption"].as_str().unwrap()
    );
    assert_says(&trained.err, &["out/captions.jsonl", &first]);
    let metrics = fs::read_to_string(place.path("out/metrics.jsonl")).unwrap();
    assert_says(&metrics, &["\"validation\":{\"loss\":", "\"cider\":"]);
    assert_says(
        &fs::read_to_string(place.path("out/loss.svg")).unwrap(),
        &["<svg", "see", "read", "tune", "validation loss"],
    );
    let caption = place.run(&["caption", "picture.png", "--package", "out/package"]);
    assert_eq!(caption.status, 0, "{}", caption.err);
    let exported = place.run(&["export", "out", "-o", "again"]);
    assert_eq!(exported.status, 0, "{}", exported.err);
    assert_says(&exported.out, &["again", "out/tune.safetensors", "step 2"]);
    let other = place.run(&["caption", "picture.png", "--package", "again"]);
    assert_eq!(
        (other.status, &other.out),
        (0, &caption.out),
        "{}",
        other.err
    );
    let none = place.run(&["export", "images", "-o", "none"]);
    assert_eq!(none.status, 1);
    assert_says(&none.err, &["images/tune.safetensors", "is not there"]);
    // Nothing is left to do.
    let again = place.run(&["train", "run.toml", "--devices", "2", "--out", "out"]);
    assert_eq!(again.status, 0, "{}", again.err);
}

/// All tensors of a checkpoint, weights and moments, as bytes, and the step it was made after.
fn checkpoint(path: &Path) -> (String, BTreeMap<String, Vec<u8>>) {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let step = header.metadata().as_ref().unwrap()["step"].clone();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter();
    let tensors = tensors.map(|(name, view)| (name, view.data().to_vec()));
    (step, tensors.collect())
}

/// Step, and the bits of loss and learning rate, of each line of the tuning in `metrics.jsonl`.
fn losses(folder: &Path) -> Vec<(u64, u32, u64)> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let (loss, lr) = (line["loss"].as_f64()?, line["lr"].as_f64()?);
        let step = line["step"].as_u64()?;
        let bits = ((loss as f32).to_bits(), lr.to_bits());
        (line["stage"] == "tune").then_some((step, bits.0, bits.1))
    });
    lines.flatten().collect()
}

#[test]
fn a_run_killed_at_step_37_goes_on_to_the_same_bits_and_two_runs_agree() {
    let place = Place::new();
    place.put_data_set();
    let settings = "[save]\nevery_steps = 1\nkeep = 60\nreport_seconds = 0\n";
    let run = TINY_RUN.replace("[tune]\nepochs = 1", "[tune]\nepochs = 30") + settings;
    place.put("run.toml", run.as_bytes());
    let whole = |out: &str| {
        let ran = place.run(&["train", "run.toml", "--out", out]);
        assert_eq!(ran.status, 0, "{}", ran.err);
        checkpoint(&place.path(out).join("tune.safetensors"))
    };
    let expected = whole("whole");
    assert_eq!(expected.0, "60");
    assert_eq!(expected, whole("again"), "two runs differ");
    let told = losses(&place.path("whole"));
    assert!(told.iter().map(|line| line.0).eq(1..=60), "{told:?}");
    assert_eq!(told, losses(&place.path("again")), "two runs differ");

    let mut child = place
        .command(&["train", "run.toml", "--out", "killed"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The run saves after every step: whenever it is killed, it is at a save or right beside one.
    let out = place.path("killed");
    while !out.join("tune-00000037.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it came to its end");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (step, _) = checkpoint(&out.join("tune.safetensors"));
    let done: usize = step.parse().unwrap();
    assert!((37..60).contains(&done), "killed at {step}");
    let before = losses(&out).len();
    assert_eq!(expected, whole("killed"));
    let all = losses(&out);
    assert_eq!(all[before..], told[done..], "losses after the kill");
    // Those of the killed process, and one of a step that it did in vain.
    for line in &all[..before] {
        assert_eq!(line, &told[line.0 as usize - 1]);
    }
}

#[test]
fn a_step_is_timed_without_data_or_weights() {
    let place = Place::new();
    place.put("run.toml", TINY_RUN.as_bytes());
    let args = [
        "train",
        "run.toml",
        "--bench",
        "2",
        "--set",
        "tune.max_tokens=12",
    ];
    for recompute in ["tune.recompute=false", "tune.recompute=true"] {
        let timed = place.run(&[&args[..], &["--set", recompute]].concat());
        assert_eq!(timed.status, 0, "{}", timed.err);
        let object = &timed.objects()[0];
        assert_eq!(
            (&object["rows"], &object["tokens"]),
            (&2.into(), &12.into())
        );
        assert!(object["seconds"].as_f64().unwrap() > 0.0);
        assert!(object["flops"].as_u64().unwrap() > 0);
    }
    assert!(!place.path("runs").exists());
    let short = place.run(&[
        "train",
        "run.toml",
        "--bench",
        "2",
        "--set",
        "tune.max_tokens=3",
    ]);
    assert_eq!(short.status, 2);
    assert_says(&short.err, &["tune.max_tokens"]);
    let scenes = place.run(&["train", "--recipe", "scenes", "--bench", "2"]);
    assert_eq!(scenes.status, 2);
}

/// A run of a few steps.
pub const TINY_RUN: &str = r#"
recipe = "flickr8k"
[model.llama]
dim = 16
n_layers = 1
n_heads = 2
ffn_hidden = 16
[model.clip]
image_size = 16
patch = 4
width = 16
layers = 2
heads = 2
[model.adem]
hidden_proj = 8
down_sample = [16, 4]
[weights]
train_tokenizer = 300
[data.source]
kind = "captions"
file = "captions.jsonl"
images = "images"
[validation]
captions = 2
[validation.data.source]
kind = "captions"
file = "captions.jsonl"
images = "images"
[see]
epochs = 1
warmup_epochs = 0
batch = 2
[read]
epochs = 1
warmup_epochs = 0
batch = 2
[tune]
epochs = 1
warmup_epochs = 0
batch = 2
micro_batch = 2
"#;
