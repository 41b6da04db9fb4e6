//! What becomes of a model's weights on the command line.

use crate::place::{Place, assert_says};

#[test]
fn a_calibrated_model_is_nearer_to_its_floats() {
    let place = Place::new();
    let mut rows = String::new();
    for side in 4..12 {
        let name = format!("{side}.png");
        let drawn = place.run(&["draw", "drawn", "--seed", &side.to_string(), "--side", "64"]);
        assert_eq!(drawn.status, 0, "{}", drawn.err);
        let from = place.path(&format!("drawn/scene-{side}.png"));
        std::fs::rename(from, place.path(&name)).unwrap();
        rows += &format!("{{\"image\": \"{name}\", \"caption\": \"a scene\"}}\n");
    }
    place.put("captions.jsonl", rows.as_bytes());
    let quantised = |more: &[&str]| {
        let args = [
            "quantize", "package", "-o", "q4", "--scheme", "q4", "--json",
        ];
        let ran = place.run(&[&args[..], more].concat());
        assert_eq!((ran.status, ran.err.as_str()), (0, ""));
        ran.objects().remove(0)
    };
    let [plain, calibrated] = [
        quantised(&[]),
        quantised(&["--calibrate", "captions.jsonl", "--count", "8"]),
    ];
    let of = |report: &serde_json::Value, name: &str| {
        let tensors = report["tensors"].as_array().unwrap();
        tensors
            .iter()
            .find(|it| it["name"] == name)
            .unwrap()
            .clone()
    };
    for name in [
        "output.weight",
        "layers.0.feed_forward.w2.weight",
        "adapter_proj.fc1.weight",
    ] {
        assert!(of(&plain, name)["product_error"].is_null(), "{name}");
        let tensor = of(&calibrated, name);
        let error = tensor["product_error"].as_f64().unwrap();
        assert!(
            error > 0.0 && error < tensor["relative_error"].as_f64().unwrap(),
            "{tensor}"
        );
    }
    // Embeddings are looked up, not multiplied.
    assert!(of(&calibrated, "tok_embeddings.weight")["product_error"].is_null());
    assert_eq!(place.run(&["verify", "q4"]).status, 0);

    let mixed = ["--q8", "layers.*", "--calibrate", "captions.jsonl"];
    let mixed = quantised(&[&mixed[..], &["--name", "mixed"]].concat());
    let manifest = std::fs::read_to_string(place.path("q4/adem.json")).unwrap();
    assert_says(&manifest, &["\"name\": \"mixed\""]);
    assert_eq!(of(&mixed, "layers.0.feed_forward.w2.weight")["kind"], "q8");
    assert_eq!(of(&mixed, "output.weight")["kind"], "q4");
    let caption = place.run(&["caption", "4.png", "--package", "q4"]);
    assert_eq!((caption.status, caption.err.as_str()), (0, ""));

    for (args, status, says) in [
        (&["--calibrate", "none.tar"][..], 1, "none.tar"),
        (
            &["--calibrate", "captions.jsonl", "--count", "0"],
            2,
            "count",
        ),
        (&["--count", "3"], 2, "--calibrate"),
        (&["--q8", "layer.*"], 2, "`layer.*`"),
        // What takes a moment to see is said before what takes long.
        (
            &["--q8", "layer.*", "--calibrate", "none.tar"],
            2,
            "`layer.*`",
        ),
        (&["--name", "two\nlines"], 1, "name"),
    ] {
        let base = ["quantize", "package", "-o", "none", "--scheme", "q4"];
        let ran = place.run(&[&base[..], args].concat());
        assert_eq!(
            (ran.status, ran.out.as_str()),
            (status, ""),
            "{args:?}: {}",
            ran.err
        );
        assert_says(&ran.err, &[says]);
        assert!(!place.path("none").exists());
    }
    let again = [
        "quantize",
        "q4",
        "-o",
        "none",
        "--scheme",
        "q4",
        "--calibrate",
        "captions.jsonl",
    ];
    let again = place.run(&again);
    assert_eq!(again.status, 1);
    assert_says(&again.err, &["q4", "the package is quantised"]);
}

#[test]
fn the_mean_of_a_model_and_its_rounded_form_is_a_model() {
    let place = Place::new();
    let quantised = place.run(&["quantize", "package", "-o", "q4", "--scheme", "q4"]);
    assert_eq!(quantised.status, 0);
    let ran = place.run(&[
        "average", "package", "q4", "--shares", "0.6,0.4", "-o", "mean",
    ]);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert_says(&ran.out, &["wrote the package mean", "the mean of 2"]);
    let caption = place.run(&["caption", "picture.png", "--package", "mean"]);
    assert_eq!((caption.status, caption.err.as_str()), (0, ""));
    for (args, says) in [
        (
            &["average", "package", "nowhere", "-o", "none"][..],
            "nowhere",
        ),
        (
            &["average", "package", "q4", "--shares", "1", "-o", "none"],
            "each needs one",
        ),
        (
            &["average", "package", "--shares", "0", "-o", "none"],
            "above 0",
        ),
    ] {
        let ran = place.run(args);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args:?}");
        assert_says(&ran.err, &[says]);
        assert!(!place.path("none").exists());
    }
}
