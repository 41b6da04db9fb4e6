//! What the program leaves as it was, and what it refuses before it begins.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};

use crate::place::{Place, assert_says};

const EVAL: [&str; 5] = ["eval", "caption", "--data", "captions.jsonl", "--report"];

#[test]
fn a_report_replaces_an_earlier_one_and_nothing_else() {
    let place = Place::new();
    place.put_data_set();
    let report = |path: &str| place.run(&[&EVAL[..], &[path, "--images", "images"]].concat());

    fs::create_dir(place.path("folder")).unwrap();
    for (path, says) in [
        ("captions.jsonl", "no page of captions"),
        ("picture.png", "no page of captions"),
        ("package/adem.json", "no page of captions"),
        ("folder", "no ordinary file"),
        ("none/r.html", "no folder `none`"),
        #[cfg(unix)]
        ("/dev/null", "no ordinary file"),
    ] {
        let before = fs::read(place.path(path));
        let ran = report(path);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{path}");
        assert_says(&ran.err, &[path, says]);
        assert_eq!(fs::read(place.path(path)).ok(), before.ok(), "{path}");
    }

    assert_eq!(report("r.html").status, 0);
    let first = fs::read(place.path("r.html")).unwrap();
    place.put("r.html.part", b"somebody's");
    #[cfg(unix)]
    std::os::unix::fs::symlink("../r.html", place.path("folder/link.html")).unwrap();
    #[cfg(unix)]
    assert_eq!(report("folder/link.html").status, 0);
    assert_eq!(report("r.html").status, 0);
    let again = fs::read_to_string(place.path("r.html")).unwrap();
    assert!(!first.is_empty() && again.starts_with("<!doctype html>"));
    assert_eq!(fs::read(place.path("r.html.part")).unwrap(), b"somebody's");
    #[cfg(unix)]
    assert!(place.path("folder/link.html").is_symlink());
    let left = fs::read_dir(place.path(".")).unwrap();
    let hidden = |name: &str| name.starts_with(".adem-");
    assert!(
        left.flatten()
            .all(|it| !hidden(&it.file_name().to_string_lossy()))
    );
}

#[test]
fn a_package_is_written_to_a_folder_of_its_own() {
    let place = Place::new();
    place.put_data_set();
    let own = br#"{"this": "is somebody else's"}"#;
    fs::create_dir(place.path("app")).unwrap();
    fs::write(place.path("app/adem.json"), own).unwrap();
    fs::create_dir(place.path("notes")).unwrap();
    fs::write(place.path("notes/text.txt"), own).unwrap();
    for (folder, found) in [("app", "adem.json"), ("notes", "text.txt"), (".", "`")] {
        for args in [
            &["quantize", "package", "--scheme", "q4"][..],
            &["import", "package"],
            &["average", "package", "package"],
        ] {
            let ran = place.run(&[args, &["-o", folder]].concat());
            assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args:?} {folder}");
            assert_says(&ran.err, &["is no package's folder", found]);
        }
    }
    assert_eq!(fs::read(place.path("app/adem.json")).unwrap(), own);
    assert_eq!(fs::read_dir(place.path("app")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(place.path("notes")).unwrap().count(), 1);
    assert!(!place.path("adem.json").exists());

    // An empty folder and an earlier package are written to.
    fs::create_dir(place.path("new")).unwrap();
    for scheme in ["q4", "q8"] {
        let ran = place.run(&["quantize", "package", "-o", "new", "--scheme", scheme]);
        assert_eq!(ran.status, 0, "{}", ran.err);
    }
    assert_eq!(place.run(&["verify", "new"]).status, 0);
}

#[test]
fn what_a_kill_left_behind_goes_with_the_next_package() {
    let place = Place::new();
    let write = || place.run(&["average", "package", "-o", "new"]).status;
    assert_eq!(write(), 0);
    let old = place.path("new/.adem-old.part");
    let young = place.path("new/.adem-young.part");
    fs::write(&young, "half").unwrap();
    fs::write(&old, "half").unwrap();
    let days = std::time::Duration::from_secs(3 * 24 * 3600);
    let file = File::options().write(true).open(&old).unwrap();
    file.set_modified(std::time::SystemTime::now() - days)
        .unwrap();
    assert_eq!(write(), 0);
    assert!(!old.exists() && young.exists());
}

fn change(manifest: &Path, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    change(&mut value);
    fs::write(manifest, value.to_string()).unwrap();
}

#[test]
fn a_package_that_cannot_run_is_not_sound() {
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 5] = [
        (|it| it["model"]["llama"]["ffn_hidden"] = json!(40), "w1"),
        (
            |it| it["model"]["llama"]["n_layers"] = json!(3),
            "layers.2.",
        ),
        (
            |it| it["model"]["llama"]["n_layers"] = json!(1),
            "layers.1.",
        ),
        (|it| it["image"]["size"] = json!(64), "image.size"),
        (
            |it| it["tokenizer"]["eos"] = json!(1 << 20),
            "tokenizer.eos",
        ),
    ];
    for (harm, says) in changes {
        let place = Place::new();
        change(&place.path("package/adem.json"), harm);
        let ran = place.run(&["verify", "package"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{says}");
        assert_says(&ran.err, &[says]);
        let loaded = place.run(&["caption", "picture.png"]);
        assert_eq!(loaded.status, 1, "{says}");
    }
}

#[test]
fn an_altered_package_is_not_imported() {
    let place = Place::new();
    let shards = fs::read_dir(place.path("package")).unwrap();
    let mut shards: Vec<_> = shards.map(|it| it.unwrap().path()).collect();
    shards.sort();
    let shard = shards
        .iter()
        .rfind(|it| it.extension().is_some_and(|end| end == "safetensors"))
        .unwrap();
    let tokenizer = place.path("package/tokenizer.json");
    for (file, says) in [(shard, "was altered"), (&tokenizer, "tokenizer.json")] {
        let bytes = fs::read(file).unwrap();
        let mut altered = bytes.clone();
        let at = altered.len() - 3;
        altered[at] ^= 1;
        fs::write(file, &altered).unwrap();
        let ran = place.run(&["import", "package", "-o", "new"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""));
        assert_says(&ran.err, &[says]);
        assert!(!place.path("new").exists());
        fs::write(file, bytes).unwrap();
    }
    let ignored = ["import", "package", "-o", "new", "--ignore", "zzz*"];
    let ran = place.run(&ignored);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_says(&ran.err, &["`zzz*`", "fits no tensor"]);
    assert!(!place.path("new").exists());
    assert_eq!(place.run(&["import", "package", "-o", "new"]).status, 0);
}

#[test]
fn numbers_beyond_reason_are_refused_and_not_computed_with() {
    let place = Place::new();
    place.put_data_set();
    let huge = u64::MAX.to_string();
    for args in [
        &[
            "eval",
            "caption",
            "--data",
            "captions.jsonl",
            "--batch",
            &huge,
        ][..],
        &["eval", "scenes", "--batch", "999999999"],
        &[
            "eval",
            "caption",
            "--data",
            "captions.jsonl",
            "--limit",
            "0",
        ],
        &["draw", "out", "--count", "0"],
        &["draw", "out", "--seed", "1099511627776"],
        &["draw", "out", "--seed", &huge],
        &[
            "quantize", "package", "-o", "out", "--scheme", "q8", "--q8", "*",
        ],
        &["train", "--recipe", "scenes", "--out", "package"],
    ] {
        let ran = place.run(args);
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{args:?}");
        assert_says(&ran.err, &[]);
        assert!(!place.path("out").exists());
    }
    for (recipe, setting, says) in [
        ("photo", "tune.micro_batch=0", "tune.micro_batch"),
        ("photo", "tune.epochs=1e30", "tune.epochs"),
        ("photo", "tune.blr=nan", "tune.blr"),
        ("photo", "tune.batch=9223372036854775807", "tune.batch"),
        ("photo", "model.llama.n_heads=7", "n_heads"),
        ("photo", "model.llama.norm_eps=-1", "norm_eps"),
        ("scenes", "see.batch=9223372036854775807", "batch"),
        ("scenes", "tune.steps=9223372036854775807", "steps"),
        ("scenes", "tune.lr=nan", "lr"),
        ("scenes", "model.llama.n_heads=7", "n_heads"),
    ] {
        for dry in [&["--dry-run"][..], &["--out", "out"]] {
            let args = ["train", "--recipe", recipe, "--set", setting];
            let ran = place.run(&[&args[..], dry].concat());
            assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{setting} {dry:?}");
            assert_says(&ran.err, &[says]);
            assert!(!place.path("out").exists(), "{setting} {dry:?}");
        }
    }
}

#[test]
fn two_runs_are_kept_apart_and_a_refused_one_leaves_nothing() {
    let place = Place::new();
    fs::create_dir(place.path("out")).unwrap();
    place.put("out/metrics.jsonl", b"{}\n");
    let held = File::options()
        .append(true)
        .open(place.path("out/metrics.jsonl"))
        .unwrap();
    held.lock().unwrap();
    let train = ["train", "--recipe", "scenes", "--out", "out"];
    let ran = place.run(&train);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_says(&ran.err, &["out", "another run is at work here"]);
    assert_eq!(fs::read_dir(place.path("out")).unwrap().count(), 1);

    let lost = [
        "train",
        "--recipe",
        "photo",
        "--out",
        "new",
        "--set",
        "data.source.shards=[\"none.tar\"]",
    ];
    let ran = place.run(&lost);
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_says(&ran.err, &["none.tar"]);
    assert!(!place.path("new/metrics.jsonl").exists());
}

#[test]
fn models_that_cannot_be_compared_are_not() {
    let place = Place::new();
    place.put_data_set();
    let imported = place.run(&["import", "package", "-o", "other"]);
    assert_eq!(imported.status, 0, "{}", imported.err);
    let text = fs::read_to_string(place.path("other/tokenizer.json")).unwrap();
    let text = text + " ";
    fs::write(place.path("other/tokenizer.json"), &text).unwrap();
    change(&place.path("other/adem.json"), |manifest| {
        let digest = adem_package::Digest::of(text.as_bytes());
        manifest["tokenizer"]["sha256"] = json!(digest.to_string());
        manifest["tokenizer"]["bytes"] = json!(text.len());
        manifest["tasks"] = json!(["caption"]);
    });
    let compare = ["eval", "agreement", "--against", "other", "--data"];
    let ran = place.run(&[&compare[..], &["captions.jsonl", "--images", "images"]].concat());
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_says(&ran.err, &["different tokenizers"]);
    let captions_only = ["eval", "agreement", "--against", "package", "--package"];
    let ran = place.run(&[&captions_only[..], &["other"]].concat());
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    assert_says(&ran.err, &["--data"]);
}

/// Ctrl-C in a measurement: what was found is printed, and the status says that it is not all.
#[cfg(target_os = "linux")]
#[test]
fn a_measurement_that_is_stopped_says_so() {
    use std::process::{Command, Stdio};

    let place = Place::new();
    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let mut command = place.command(&["eval", "scenes", "--count", "1000000", "--json"]);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let listens = || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let mask = status.lines().find_map(|it| it.strip_prefix("SigCgt:"));
            let mask = u64::from_str_radix(mask.unwrap().trim(), 16).unwrap();
            mask & 1 << (number - 1) != 0
        };
        while !listens() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // SIGTERM is caught by two handlers, one a moment after the other.
        std::thread::sleep(std::time::Duration::from_millis(50));
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
        let ran = crate::place::Ran::of(child.wait_with_output().unwrap());
        assert_eq!(ran.status, 130, "{}", ran.err);
        assert!(ran.objects()[0]["scenes"].as_u64().unwrap() < 1_000_000);
        assert_says(&ran.err, &["stopped"]);
    }
}
