//! Captions and answers: what is printed and how it ends, on a tiny package with random weights.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::packages;
use crate::place::{Place, Ran, assert_says, pictures};

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
