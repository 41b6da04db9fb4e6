//! Checkpoints and metrics: what is on the disk whenever a run ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use adem_train::{Log, StagePlan, Validation};
use safetensors::SafeTensors;

use crate::events::{Scalar, scalars};
use crate::fit::{Fit, plan};
use crate::stages::{bits, finished, fit, run, run_and_log, tensors};

const CHILD: &str = "ADEM_TEST_FOLDER";

/// A stage whose checkpoint takes some milliseconds to write.
fn heavy() -> Fit {
    Fit {
        rows: 6,
        ballast: 150_000,
        ..Fit::default()
    }
}

/// 60 steps, each with a checkpoint and a report.
fn saved_often(folder: &Path) -> StagePlan {
    StagePlan {
        save_steps: Some(1),
        keep: 2,
        report_every: Duration::ZERO,
        ..plan(folder, 60)
    }
}

/// Runs `stage` to its end, or one step where it is told to `stop`, with `metrics.jsonl` in `folder`.
fn logged(stage: &Fit, plan: &StagePlan, folder: &Path, stop: bool) {
    let mut log = Log::new(folder, |_| ()).unwrap();
    run_and_log(stage, plan, &mut log, &AtomicBool::new(stop)).unwrap();
}

/// The lines of `metrics.jsonl`.
fn metrics(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let parse = |line| serde_json::from_str(line).unwrap();
    text.lines().map(parse).collect()
}

/// Step, and the bits of loss and learning rate, of each line of `metrics.jsonl`.
fn losses(folder: &Path) -> Vec<(u64, u32, u64)> {
    let bits = |line: &serde_json::Value| {
        let number = |key: &str| line[key].as_f64().unwrap();
        let loss = number("loss") as f32;
        (
            line["step"].as_u64().unwrap(),
            loss.to_bits(),
            number("lr").to_bits(),
        )
    };
    metrics(folder).iter().map(bits).collect()
}

/// Not a test of its own: the process that the next test kills.
#[test]
fn child_that_is_killed_while_it_saves() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    let folder = Path::new(&folder);
    logged(&heavy(), &saved_often(folder), folder, false);
}

#[test]
fn a_run_killed_in_the_middle_of_a_save_goes_on_to_the_same_bits() {
    let [whole, killed] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (whole, killed) = (whole.path(), killed.path());
    logged(&heavy(), &saved_often(whole), whole, false);
    let expected = losses(whole);
    assert!(expected.iter().map(|line| line.0).eq(1..=60));

    let part = killed.join("fit.safetensors.part");
    let good = killed.join("fit.safetensors");
    let reached = |step: u64| {
        let text = fs::read_to_string(killed.join("metrics.jsonl")).unwrap_or_default();
        text.contains(&format!("\"step\":{step},"))
    };
    let mut in_the_middle = 0;
    for step in [7, 22, 37] {
        let begun = fs::metadata(&good).and_then(|m| m.modified()).ok();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "saving::child_that_is_killed_while_it_saves"])
            .env(CHILD, killed)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        loop {
            let now = fs::metadata(&good).and_then(|m| m.modified()).ok();
            if reached(step) && part.exists() && now.is_some() && now != begun {
                break;
            }
            assert!(child.try_wait().unwrap().is_none(), "it came to its end");
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        in_the_middle += usize::from(part.exists());
    }
    // Rarely the file is whole again by the time the signal arrives; never all three times.
    assert!(in_the_middle > 0, "no save was cut short");
    // What a save cut short leaves behind is no checkpoint.
    fs::write(&part, b"half a checkpoint").unwrap();

    let done: usize = metadata(&good)["step"].parse().unwrap();
    assert!((36..60).contains(&done), "killed after step {done}");
    let before = losses(killed).len();
    logged(&heavy(), &saved_often(killed), killed, false);
    let all = losses(killed);
    assert_eq!(
        all[before..],
        expected[done..],
        "losses after the last kill"
    );
    // Steps that were done twice, and those of the killed processes.
    for line in &all {
        assert_eq!(line, &expected[line.0 as usize - 1]);
    }
    // Weights and both moments.
    let [expected, found] = [whole, killed].map(|folder| {
        let all = tensors(&folder.join("fit.safetensors"));
        all.into_iter()
            .map(|(name, values)| (name, bits(&values)))
            .collect::<BTreeMap<_, _>>()
    });
    let names = [
        "optimiser.first.weight",
        "optimiser.second.weight",
        "weight",
    ];
    assert!(expected.keys().eq(names), "{:?}", expected.keys());
    assert!(expected == found, "weights or moments differ");
}

#[test]
fn tensorboard_reads_what_metrics_jsonl_says_of_a_resumed_run() {
    let folder = tempfile::tempdir().unwrap();
    let plan = StagePlan {
        report_every: Duration::ZERO,
        validate_steps: Some(4),
        ..plan(folder.path(), 12)
    };
    for stop in [true, true, true, false] {
        logged(&fit(), &plan, folder.path(), stop);
    }
    let mut files: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("/events.out.tfevents."))
        .collect();
    // As TensorBoard does.
    files.sort();
    assert_eq!(files.len(), 4);
    let found = files.iter().flat_map(|f| scalars(&fs::read(f).unwrap()));
    let found: Vec<Scalar> = found.collect();
    let expected: Vec<Scalar> = metrics(folder.path())
        .iter()
        .flat_map(|line| {
            let of = |tag: &str, value: &serde_json::Value| {
                value.as_f64().map(|value| Scalar {
                    step: line["step"].as_u64().unwrap(),
                    tag: format!("fit/{tag}"),
                    value: value as f32,
                })
            };
            let look = &line["validation"];
            [
                of("loss", &line["loss"]),
                of("lr", &line["lr"]),
                of("samples_per_second", &line["samples_per_second"]),
                of("validation_loss", &look["loss"]),
                of("cider", &look["cider"]),
            ]
        })
        .flatten()
        .collect();
    assert_eq!(expected.len(), 12 * 3 + 3 * 2);
    assert_eq!(found, expected);
}

pub fn metadata(path: &Path) -> std::collections::HashMap<String, String> {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    header.metadata().clone().unwrap()
}

#[test]
fn the_newest_checkpoints_and_the_best_one_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let plan = StagePlan {
        save_steps: Some(3),
        keep: 2,
        validate_steps: Some(4),
        ..plan(folder.path(), 12)
    };
    finished(&fit(), &plan);
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [
        "fit-00000009.safetensors",
        "fit-00000012.safetensors",
        "fit-best-cider.safetensors",
        "fit-best.safetensors",
        "fit.safetensors",
    ];
    assert_eq!(names, expected);
    let newest = tensors(&plan.checkpoint);
    assert_eq!(newest, tensors(&folder.path().join(expected[1])));
    assert!(
        newest.keys().all(|name| name.ends_with("weight")),
        "{newest:?}"
    );
    // The toy's "captions" get worse while its loss falls: the first look is the best of one, the
    // last that of the other.
    let steps = |name| metadata(&folder.path().join(name))["step"].clone();
    assert_eq!(steps("fit-best-cider.safetensors"), "4");
    assert_eq!(steps("fit-best.safetensors"), "12");
    let validation = &metadata(&plan.checkpoint)["validation"];
    let validation: Validation = serde_json::from_str(validation).unwrap();
    assert_eq!(validation.best.loss, validation.last.loss);
    assert!(validation.best.cider > validation.last.cider);
}

/// A disk that is full: the temporary file is a link to a device that takes nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_the_file_and_leaves_the_last_checkpoint_whole() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), 20);
    let stop = AtomicBool::new(true);
    run(&fit(), &plan, &stop).unwrap();
    let before = fs::read(&plan.checkpoint).unwrap();
    let part = folder.path().join("fit.safetensors.part");
    std::os::unix::fs::symlink("/dev/full", &part).unwrap();
    let message = run(&fit(), &plan, &stop).unwrap_err().to_string();
    assert!(
        message.contains("fit.safetensors") && message.contains("space"),
        "{message}"
    );
    assert_eq!(before, fs::read(&plan.checkpoint).unwrap());
    fs::remove_file(&part).unwrap();
    run(&fit(), &plan, &stop).unwrap();
}

#[test]
fn a_checkpoint_of_another_model_is_refused_and_an_older_one_is_named_for_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let plan = StagePlan {
        save_steps: Some(2),
        keep: 3,
        ..plan(folder.path(), 8)
    };
    finished(&fit(), &plan);
    let other = StagePlan {
        settings: "another model".to_owned(),
        steps: 9,
        ..plan.clone()
    };
    let message = run(&fit(), &other, &AtomicBool::new(false))
        .unwrap_err()
        .to_string();
    assert!(message.contains("other settings"), "{message}");
    let bytes = fs::read(&plan.checkpoint).unwrap();
    // The numbered file is the same one under another name: damage a copy, not both.
    fs::remove_file(&plan.checkpoint).unwrap();
    fs::write(&plan.checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let message = run(&fit(), &plan, &AtomicBool::new(false))
        .unwrap_err()
        .to_string();
    assert!(message.contains("fit-00000008.safetensors"), "{message}");
}
