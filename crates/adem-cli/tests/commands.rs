//! What the program prints and how it ends, on a tiny package with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../tests/faults/packages.rs"]
mod packages;
#[path = "../../../tests/faults/pictures.rs"]
#[allow(dead_code)]
mod pictures;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use adem_pipeline::testing::write_tiny_package;
use safetensors::SafeTensors;
use serde_json::Value;

/// A folder with a tiny package in `package` and an ordinary picture.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        write_tiny_package(&place.path("package"), 5).unwrap();
        place.put("picture.png", &pictures::ordinary());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    /// Four pictures with a caption each, `captions.jsonl`.
    fn put_data_set(&self) {
        fs::create_dir(self.path("images")).unwrap();
        let mut rows = String::new();
        for i in 0..4 {
            let copy = self.path("images").join(format!("{i}.png"));
            fs::copy(self.path("picture.png"), copy).unwrap();
            rows += &format!("{{\"image\": \"{i}.png\", \"caption\": \"picture number {i}\"}}\n");
        }
        self.put("captions.jsonl", rows.as_bytes());
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adem"));
        command
            .args(args)
            .current_dir(self.0.path())
            .env("ADEM_PACKAGE", self.path("package"));
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.command(args).stdin(Stdio::null()).output().unwrap())
    }
}

#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            status: output.status.code().expect("the program ended by itself"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn a_caption_is_one_line_and_the_same_in_json() {
    let place = Place::new();
    let plain = place.run(&["caption", "picture.png"]);
    assert_eq!((plain.status, plain.err.as_str()), (0, ""));
    assert_eq!(plain.out.lines().count(), 1);

    let json = place.run(&["caption", "picture.png", "--json"]);
    let object = &json.objects()[0];
    assert_eq!(object["file"], "picture.png");
    assert_eq!(object["caption"], plain.out.trim_end());
    assert!(object["tokens"].as_u64().unwrap() > 0);
    for stage in ["picture", "vision", "prefill", "decode"] {
        assert!(object["ms"][stage].as_f64().unwrap() >= 0.0, "{stage}");
    }
}

#[test]
fn a_picture_comes_from_standard_input_too() {
    let place = Place::new();
    let named = place.run(&["caption", "picture.png"]);
    let mut child = place
        .command(&["caption", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&pictures::ordinary())
        .unwrap();
    let piped = Ran::of(child.wait_with_output().unwrap());
    assert_eq!((piped.status, piped.out), (0, named.out));
}

#[test]
fn an_answer_names_its_question() {
    let place = Place::new();
    let ran = place.run(&[
        "ask",
        "picture.png",
        "how many circles are there?",
        "--json",
    ]);
    let object = &ran.objects()[0];
    assert_eq!(ran.status, 0);
    assert_eq!(object["question"], "how many circles are there?");
    assert!(object["answer"].is_string() && object["caption"].is_null());
}

#[test]
fn several_pictures_are_told_apart_and_a_broken_one_stops_no_other() {
    let place = Place::new();
    let mut args = vec!["caption", "picture.png"];
    let broken = pictures::broken();
    for picture in &broken {
        place.put(picture.file, &picture.bytes);
        args.push(picture.file);
    }
    args.extend(["nowhere.png", "package"]);
    place.put("last.png", &pictures::ordinary());
    args.push("last.png");

    let plain = place.run(&args);
    assert_eq!(plain.status, 1);
    assert_eq!(plain.out.lines().count(), 2, "{plain:?}");
    assert!(plain.out.starts_with("picture.png: ") && plain.out.contains("\nlast.png: "));
    assert_eq!(plain.err.lines().count(), broken.len() + 2, "{plain:?}");
    for picture in &broken {
        let line = plain
            .err
            .lines()
            .find(|line| line.contains(picture.file))
            .unwrap();
        assert_says(line, picture.says);
    }

    args.push("--json");
    let json = place.run(&args);
    assert_eq!((json.status, json.err.as_str()), (1, ""));
    let objects = json.objects();
    assert_eq!(objects.len(), broken.len() + 4);
    for picture in &broken {
        let object = objects
            .iter()
            .find(|object| object["file"] == picture.file)
            .unwrap();
        assert_says(object["error"].as_str().unwrap(), picture.says);
    }
    assert_eq!(objects[0]["caption"], objects[objects.len() - 1]["caption"]);
}

#[test]
fn odd_pictures_are_captioned_as_the_plain_ones_they_show() {
    let place = Place::new();
    for odd in pictures::odd() {
        place.put(odd.file, &odd.bytes);
        place.put("plain.png", &odd.plain);
        let ran = place.run(&["caption", odd.file, "plain.png", "--json"]);
        assert_eq!(ran.status, 0, "{ran:?}");
        let objects = ran.objects();
        assert_eq!(objects[0]["caption"], objects[1]["caption"], "{}", odd.file);
    }
    place.put("pixel.png", &pictures::one_pixel());
    assert_eq!(place.run(&["caption", "pixel.png"]).status, 0);
}

#[test]
fn questions_that_cannot_be_asked_are_refused() {
    let place = Place::new();
    let words = "word ".repeat(10_000);
    for (question, says) in [("", "question is empty"), (words.as_str(), "10000 words")] {
        let ran = place.run(&["ask", "picture.png", question]);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""));
        assert_says(&ran.err, &[says]);
        let ran = place.run(&["ask", "picture.png", question, "--json"]);
        assert_eq!(ran.status, 1);
        assert_says(ran.objects()[0]["error"].as_str().unwrap(), &[says]);
    }
}

#[test]
fn damaged_packages_are_refused() {
    for damage in packages::damages() {
        let place = Place::new();
        (damage.harm)(&place.path("package"));
        let ran = place.run(&["caption", "picture.png"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{}", damage.name);
        assert_says(&ran.err, damage.says);
        let ran = place.run(&["caption", "picture.png", "--json"]);
        assert_eq!(ran.status, 1, "{}", damage.name);
        assert_says(ran.objects()[0]["error"].as_str().unwrap(), damage.says);
    }
}

#[test]
fn a_package_is_named_on_the_command_line_before_the_environment() {
    let place = Place::new();
    let here = place.path("package");
    let ran = |package: &Path, variable: &Path| {
        let package = package.to_str().unwrap();
        let mut command = place.command(&["caption", "picture.png", "--package", package]);
        Ran::of(command.env("ADEM_PACKAGE", variable).output().unwrap())
    };
    let nowhere = place.path("nowhere");
    assert_eq!(ran(&here, &nowhere).status, 0);
    let refused = ran(&nowhere, &here);
    assert_eq!(refused.status, 1);
    assert_says(&refused.err, &["nowhere", "adem.json"]);
}

#[test]
fn command_lines_that_make_no_sense_end_with_two() {
    let place = Place::new();
    for args in [
        &["caption"][..],
        &["caption", "picture.png", "--device", "abacus"],
        &["caption", "picture.png", "--temperature", "0"],
        &["caption", "picture.png", "--top-p", "1.5"],
        &["caption", "picture.png", "--max-tokens", "0"],
        &["ask", "picture.png"],
        &["eval", "scenes", "--count", "0"],
        &["bench", "--runs", "1"],
        &["quantize", "package", "--scheme", "q4"],
        &["quantize", "package", "-o", "out"],
        &["quantize", "package", "-o", "out", "--scheme", "q5"],
        &["import", "package"],
        &["import", "-o", "out"],
        &["import", "package", "-o", "out", "--scheme", "q5"],
        &["inspect"],
        &["verify"],
        &[],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}");
        assert!(!ran.err.is_empty(), "{args:?}");
    }
}

#[test]
fn a_device_that_is_not_there_is_refused_in_words() {
    let place = Place::new();
    let ran = place.run(&["caption", "picture.png", "--device", "cuda"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_says(&ran.err, &["--device cuda", "use --device"]);
    // No driver at all: what a machine without a graphics card looks like.
    let mut command = place.command(&["caption", "picture.png", "--device", "wgpu"]);
    command
        .env("VK_ICD_FILENAMES", "/nowhere")
        .env("VK_DRIVER_FILES", "/nowhere");
    let ran = Ran::of(
        command
            .env("LIBGL_DRIVERS_PATH", "/nowhere")
            .output()
            .unwrap(),
    );
    if ran.status != 0 {
        assert_says(&ran.err, &["--device wgpu", "use --device cpu"]);
    }
}

#[test]
fn a_quantised_package_is_reported_and_captions() {
    let place = Place::new();
    for scheme in ["q4", "q8"] {
        let ran = place.run(&[
            "quantize", "package", "-o", scheme, "--scheme", scheme, "--json",
        ]);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        let report = &ran.objects()[0];
        assert_eq!(report["scheme"], scheme);
        let (before, after) = (&report["bytes_before"], &report["bytes_after"]);
        assert!(after.as_u64().unwrap() < before.as_u64().unwrap());
        let head = report["tensors"]
            .as_array()
            .unwrap()
            .iter()
            .find(|tensor| tensor["name"] == "output.weight")
            .unwrap();
        assert_eq!(head["kind"], scheme);
        assert!(head["relative_error"].as_f64().unwrap() > 0.0);
        let caption = place.run(&["caption", "picture.png", "--package", scheme]);
        assert_eq!((caption.status, caption.err.as_str()), (0, ""));

        let again = place.run(&["quantize", scheme, "-o", "twice", "--scheme", "q4"]);
        assert_eq!((again.status, again.out.as_str()), (1, ""));
        assert_says(&again.err, &[scheme, "the package is quantised"]);
    }
    let keep = ["--keep-float", "layers.*", "--keep-float", "backbone.*"];
    let mut args = vec![
        "quantize", "package", "-o", "kept", "--scheme", "q4", "--scale", "rtn",
    ];
    args.extend(keep);
    let ran = place.run(&args);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert_says(
        &ran.out,
        &[
            "output.weight",
            "layers.0.attention.wq.weight",
            "wrote the package kept",
        ],
    );
    args.extend(["--keep-float", "layer.*"]);
    let ran = place.run(&args);
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert_says(&ran.err, &["`layer.*`"]);
}

#[test]
fn agreement_and_doctor_and_shapes_are_reported() {
    let place = Place::new();
    let one = |args: &[&str]| {
        let ran = place.run(args);
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        ran.objects().remove(0)
    };
    let agreement = ["eval", "agreement", "--against", "package", "--count", "2"];
    let report = one(&[&agreement[..], &["--json"]].concat());
    assert_eq!(report["captions"]["of"], 2);
    assert_eq!(report["positions"]["right"], report["positions"]["of"]);
    assert_eq!(place.run(&[&agreement[..5], &["0"]].concat()).status, 2);

    let doctor = one(&["doctor", "--device", "cpu", "--json"]);
    assert_eq!(doctor["device"], "cpu");
    assert!(!doctor["target"].as_str().unwrap().is_empty());

    let shape = ["--shape", "s", "--weights", "q4", "--tokens", "2", "--json"];
    let row = one(&[&["bench", "shapes"], &shape[..]].concat());
    assert_eq!(
        (&row["shape"], &row["weights"]),
        (&"S".into(), &"q4".into())
    );
    assert!(row["tokens_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_package_is_verified_inspected_and_imported_again() {
    let place = Place::new();
    let ran = place.run(&["verify", "package", "--json"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let sound = &ran.objects()[0];
    assert_eq!(sound["sound"], true);
    let seen = place.run(&["inspect", "package", "--json"]);
    assert_eq!((seen.status, seen.err.as_str()), (0, ""));
    let seen = &seen.objects()[0];
    assert_eq!(seen["kind"], "package");
    assert_eq!(seen["manifest"]["tensors"], sound["tensors"]);
    assert_eq!(seen["config"]["llama"]["dim"], 16);
    let table = place.run(&["inspect", "package"]);
    assert_says(
        &table.out,
        &["norm.weight", "F32", "random model", "[16, 16]"],
    );

    let ran = place.run(&["import", "package", "-o", "again", "--json"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let report = &ran.objects()[0];
    let tensors = report["tensors"].as_array().unwrap();
    assert!(tensors.iter().all(|tensor| tensor["exact"] == true));
    let caption = |package: &str| place.run(&["caption", "picture.png", "--package", package]);
    assert_eq!(caption("again").out, caption("package").out);
    let ran = place.run(&["import", "package", "-o", "small", "--scheme", "q8"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert_says(
        &ran.out,
        &["package: package", "shards", "wrote the package small"],
    );
    assert_eq!(caption("small").status, 0);

    fs::write(
        place.path("again/weights-00001-of-00001.safetensors"),
        "cut",
    )
    .unwrap();
    let ran = place.run(&["verify", "again"]);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_says(
        &ran.err,
        &["again", "weights-00001-of-00001.safetensors", "3 bytes"],
    );
    for args in [
        &["inspect", "picture.png"][..],
        &["inspect", "nowhere"],
        &["import", "picture.png", "-o", "out"],
        &["import", "package", "package", "-o", "out"],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args:?}");
        assert!(!place.path("out").exists(), "{args:?}");
    }
}

/// A model of the hub that Hugging Face's library has fetched before is imported without a network.
#[test]
fn a_model_of_the_hub_is_imported_from_the_cache() {
    let place = Place::new();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let model = place.path("hf/hub/models--someone--scenes");
    let snapshot = model.join("snapshots").join(commit);
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(model.join("refs/main"), commit).unwrap();
    for entry in fs::read_dir(place.path("package")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, snapshot.join(path.file_name().unwrap())).unwrap();
    }
    let import = |name: &str, out: &str| {
        let mut command = place.command(&["import", name, "-o", out, "--offline"]);
        command.env("HF_HOME", place.path("hf"));
        command.env_remove("HF_HUB_CACHE");
        Ran::of(command.stdin(Stdio::null()).output().unwrap())
    };
    let ran = import("hf:someone/scenes", "got");
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let caption = |package: &str| place.run(&["caption", "picture.png", "--package", package]);
    assert_eq!(caption("got").out, caption("package").out);
    for (name, status, word) in [
        ("hf:someone/else", 1, "models--someone--else"),
        ("hf:someone/scenes@v2", 1, "revision `v2`"),
        ("hf:someone", 2, "hf:OWNER/NAME"),
    ] {
        let ran = import(name, "none");
        assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{name}");
        assert_says(&ran.err, &[word]);
        assert!(!place.path("none").exists(), "{name}");
    }
}

#[test]
fn seeds_decide_what_is_drawn() {
    let place = Place::new();
    let text = |seed| {
        place
            .run(&[
                "caption",
                "picture.png",
                "--temperature",
                "5",
                "--seed",
                seed,
            ])
            .out
    };
    assert_eq!(text("1"), text("1"));
    assert_ne!(text("1"), text("2"));
}

#[test]
fn scenes_are_judged_in_every_setting() {
    let place = Place::new();
    let ran = place.run(&["eval", "scenes", "--count", "3", "--seed", "4", "--json"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let report = &ran.objects()[0];
    let settings = report["settings"].as_array().unwrap();
    let names: Vec<_> = settings
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    let expected = [
        "as trained",
        "alpha = 0",
        "gamma = 0",
        "no [cls]",
        "4x4 alone",
        "2x2 alone",
        "alpha = 0, no [cls]",
    ];
    assert_eq!(names, expected);
    for setting in settings {
        assert_eq!(setting["captions"]["of"], 3);
        assert!(setting["questions"]["of"].as_u64().unwrap() >= 18);
    }
    let table = place.run(&[
        "eval",
        "scenes",
        "--count",
        "3",
        "--seed",
        "4",
        "--failures",
        "2",
    ]);
    assert_eq!(table.status, 0);
    assert_says(
        &table.out,
        &[
            "captions true",
            "questions right",
            "alpha = 0, no [cls]",
            "said:",
        ],
    );
}

#[test]
fn a_bench_measures_every_stage() {
    let place = Place::new();
    let ran = place.run(&["bench", "--runs", "5", "--json"]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    let report = &ran.objects()[0];
    for stage in ["load_ms", "picture_ms", "vision_ms", "prefill_ms"] {
        assert!(
            report[stage]["median"].as_f64().unwrap() > 0.0,
            "{stage}: {report}"
        );
    }
    let table = place.run(&["bench", "--runs", "5"]);
    assert_says(&table.out, &["vision, ms", "median of 5 runs"]);
}

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
fn captions_are_judged_by_those_of_people() {
    let place = Place::new();
    let rows = "\
        {\"image\": \"picture.png\", \"captions\": [\"a plain picture\", \"nothing much\"]}\n\
        {\"image\": \"missing.png\", \"caption\": \"no picture\"}\n";
    place.put("captions.jsonl", rows.as_bytes());
    let json = place.run(&[
        "eval",
        "caption",
        "--data",
        "captions.jsonl",
        "--captions",
        "1",
        "--json",
    ]);
    assert_eq!(json.status, 0, "{}", json.err);
    assert_says(&json.err, &["captions.jsonl, line 2", "skipped"]);
    let report = &json.objects()[0];
    assert_eq!(report["pictures"], 1);
    assert_eq!(report["metrics"]["bleu"].as_array().unwrap().len(), 4);
    assert_eq!(report["captions"][0]["references"][1], "nothing much");

    let table = place.run(&[
        "eval",
        "caption",
        "--data",
        "captions.jsonl",
        "--report",
        "r.html",
    ]);
    assert_eq!(table.status, 0, "{}", table.err);
    assert_says(
        &table.out,
        &["| BLEU-4", "| ROUGE-L", "| CIDEr-D", "| distinct captions"],
    );
    let page = fs::read_to_string(place.path("r.html")).unwrap();
    assert_says(&page, &["a plain picture", "src=\"data:image/jpeg;base64,"]);

    for (args, words) in [
        (["--data", "none.tar"], ["none.tar", "none.tar"]),
        (["--data", "run.txt"], ["run.txt", "run.txt"]),
    ] {
        let refused = place.run(&[&["eval", "caption"], &args[..]].concat());
        assert_eq!(refused.status, 1, "{args:?}");
        assert_says(&refused.err, &words);
    }
    let mixed = place.run(&["eval", "caption", "--data", "captions.jsonl", "b.tar"]);
    assert_eq!(mixed.status, 2);
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
const TINY_RUN: &str = r#"
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
