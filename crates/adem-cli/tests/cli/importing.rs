//! Packages that are quantised, verified, inspected and imported.

use std::fs;
use std::process::Stdio;

use crate::place::{Place, Ran, assert_says};

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
