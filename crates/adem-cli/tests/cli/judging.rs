//! What the program measures of a model.

use std::fs;

use crate::place::{Place, assert_says};

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
