//! What the program prints and how it ends, on a tiny package with random weights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../tests/faults/packages.rs"]
mod packages;
#[allow(dead_code)]
mod place;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use place::{Place, Ran, assert_says, pictures};

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
        &["package: package", "1 shard", "wrote the package small"],
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
    assert_says(&page, &["a plain picture", "url(data:image/jpeg;base64,"]);

    let compared = [
        "eval",
        "agreement",
        "--against",
        "package",
        "--data",
        "captions.jsonl",
    ];
    let compared = place.run(&[&compared[..], &["--images", ".", "--json"]].concat());
    assert_eq!(compared.status, 0, "{}", compared.err);
    let compared = &compared.objects()[0];
    assert_eq!(compared["captions"]["right"], compared["captions"]["of"]);
    assert_eq!(compared["data"], "captions.jsonl");
    place.put("broken.png", b"no picture at all");
    let rows = "{\"image\": \"broken.png\", \"caption\": \"x\"}\n";
    place.put("broken.jsonl", rows.as_bytes());
    let none = ["eval", "agreement", "--against", "package", "--data"];
    let none = place.run(&[&none[..], &["broken.jsonl"]].concat());
    assert_eq!((none.status, none.out.as_str()), (1, ""));
    assert_says(&none.err, &["broken.jsonl", "holds no picture"]);

    for (data, status, word) in [
        ("none.tar", 1, "none.tar"),
        ("run.txt", 2, "files of captions in .csv"),
    ] {
        let refused = place.run(&["eval", "caption", "--data", data]);
        assert_eq!(refused.status, status, "{data}");
        assert_says(&refused.err, &[data, word]);
    }
    let mixed = place.run(&["eval", "caption", "--data", "captions.jsonl", "b.tar"]);
    assert_eq!(mixed.status, 2);
}
