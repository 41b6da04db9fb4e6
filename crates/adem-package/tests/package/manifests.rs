//! What is refused before any weight is read.

use adem_package::{MANIFEST_FILE, Manifest, PackageError, SourceError, WeightSource, limits};
use serde_json::{Value, json};

use crate::craft::{Crafted, names};

/// The refusal of a manifest with the value at `pointer` replaced.
fn refused_with(pointer: &str, value: Value) -> PackageError {
    let mut package = Crafted::sound();
    *package.manifest.pointer_mut(pointer).expect(pointer) = value;
    Manifest::parse(&package.manifest_bytes()).expect_err(pointer)
}

#[test]
fn a_manifest_survives_its_bytes() {
    let manifest = Manifest::parse(&Crafted::sound().manifest_bytes()).unwrap();
    let bytes = manifest.to_bytes().unwrap();
    assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
    assert_eq!(manifest.provenance.more["note"], "for tests");
}

#[test]
fn something_else_than_json_is_no_manifest() {
    for bytes in [
        &b""[..],
        b"<!doctype html><title>Not found</title>",
        b"\x80PNG",
        b"[1]",
        b"{}",
    ] {
        let error = Manifest::parse(bytes).unwrap_err();
        assert!(
            matches!(error, PackageError::NotAManifest { .. }),
            "{error}"
        );
        names(&error, &[MANIFEST_FILE]);
    }
}

#[test]
fn another_format_version_is_refused_whatever_else_it_holds() {
    for (format, found) in [(json!(2), "2"), (json!(0), "0"), (json!("1"), "\"1\"")] {
        let bytes = serde_json::to_vec(&json!({"format": format, "blocks": []})).unwrap();
        let error = Manifest::parse(&bytes).unwrap_err();
        assert!(matches!(error, PackageError::Version { .. }), "{error}");
        names(&error, &[&format!("version {found}"), "reads version 1"]);
    }
}

#[test]
fn another_kind_of_quantisation_is_refused_by_that_field() {
    let error = refused_with("/quantisation", json!({"bits": 4}));
    assert!(matches!(error, PackageError::Field { .. }), "{error}");
    names(&error, &["quantisation", "bits"]);
}

#[test]
fn unknown_fields_are_refused_by_name() {
    for (parent, path) in [
        ("", "colour"),
        ("/image", "image"),
        ("/shards/0", "shards[0]"),
    ] {
        let mut package = Crafted::sound();
        package.manifest.pointer_mut(parent).unwrap()["colour"] = json!(1);
        let error = Manifest::parse(&package.manifest_bytes()).unwrap_err();
        names(&error, &[path, "unknown field `colour`"]);
    }
}

#[test]
fn a_field_given_twice_is_refused_by_name() {
    let text = String::from_utf8(Crafted::sound().manifest_bytes()).unwrap();
    let twice = text.replacen('{', "{\"max_new_tokens\":1,", 1);
    let error = Manifest::parse(twice.as_bytes()).unwrap_err();
    names(&error, &["duplicate field `max_new_tokens`"]);
}

#[test]
fn a_missing_field_is_named_with_its_place() {
    for (parent, field, path) in [
        ("", "prompts", "missing field `prompts`"),
        ("/tokenizer", "eos", "tokenizer"),
        ("/shards/0", "sha256", "shards[0]"),
    ] {
        let mut package = Crafted::sound();
        let parent = package.manifest.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(field).unwrap();
        let error = Manifest::parse(&package.manifest_bytes()).unwrap_err();
        names(&error, &[path, field]);
    }
}

#[test]
fn a_field_with_a_value_it_cannot_have_is_named_by_its_path() {
    let long = "x".repeat(5000);
    let shard = Crafted::sound().manifest["shards"][0].clone();
    for (pointer, value, field) in [
        ("/name", json!(""), "`name`"),
        ("/name", json!("two\nlines"), "`name`"),
        ("/model", json!([]), "`model`"),
        ("/image/size", json!(0), "`image.size`"),
        ("/image/size", json!(-1), "`image.size`"),
        ("/image/size", json!(1_000_000), "`image.size`"),
        ("/image/mean", json!([0.0, 0.0]), "`image.mean`"),
        ("/image/mean/1", json!(1e300), "`image.mean`"),
        ("/image/std/2", json!(0.0), "`image.std`"),
        ("/image/std/0", json!(-0.5), "`image.std`"),
        ("/prompts/question", json!("What?"), "`prompts.question`"),
        ("/prompts/caption", json!(long), "`prompts.caption`"),
        ("/tasks", json!([]), "`tasks`"),
        ("/tasks", json!(["caption", "caption"]), "`tasks`"),
        ("/tasks/1", json!("sing"), "`tasks[1]`"),
        ("/max_new_tokens", json!(0), "`max_new_tokens`"),
        ("/max_new_tokens", json!(4097), "`max_new_tokens`"),
        ("/provenance/licence", json!(3), "`provenance"),
        ("/tokenizer/bytes", json!(0), "`tokenizer.bytes`"),
        (
            "/tokenizer/bytes",
            json!(limits::TOKENIZER_BYTES + 1),
            "`tokenizer.bytes`",
        ),
        ("/tokenizer/sha256", json!("abc"), "`tokenizer.sha256`"),
        ("/tokenizer/file", json!("adem.json"), "`tokenizer.file`"),
        ("/tokenizer/pad", json!(1u64 << 32), "`tokenizer.pad`"),
        ("/shards", json!([]), "`shards`"),
        (
            "/shards/0/bytes",
            json!(limits::SHARD_BYTES + 1),
            "`shards[0].bytes`",
        ),
        ("/shards/0/bytes", json!(u64::MAX), "`shards[0].bytes`"),
        ("/shards/0/tensors", json!([]), "`shards[0].tensors`"),
        ("/shards/0/tensors/1", json!(""), "`shards[0].tensors[1]`"),
        (
            "/shards/0/tensors/0",
            json!("x".repeat(257)),
            "`shards[0].tensors[0]`",
        ),
        (
            "/shards/0/file",
            json!("Tokenizer.JSON"),
            "`shards[0].file`",
        ),
        ("/shards", json!([shard, shard]), "`shards[1].file`"),
        ("/tensors", json!(5), "`tensors`"),
    ] {
        let error = refused_with(pointer, value.clone());
        assert!(
            matches!(error, PackageError::Field { .. }),
            "{pointer} {value}: {error}"
        );
        names(&error, &[field]);
    }
}

#[test]
fn file_names_that_lead_out_of_the_package_are_refused() {
    for name in [
        "../secret",
        "/etc/passwd",
        "a/b",
        "..",
        "C:\\x",
        "%2e%2e",
        "x?y",
        "",
        ".git",
    ] {
        for (pointer, field) in [
            ("/tokenizer/file", "`tokenizer.file`"),
            ("/shards/0/file", "`shards[0].file`"),
        ] {
            names(
                &refused_with(pointer, json!(name)),
                &[field, "plain file name"],
            );
        }
        // A source refuses them too, whoever asks.
        let source = Crafted::sound().source();
        let read = pollster::block_on(source.read(name, 0..1)).unwrap_err();
        assert!(matches!(read, SourceError::Name { .. }), "{read}");
    }
}

#[test]
fn a_tensor_listed_in_two_shards_is_named() {
    let mut package = Crafted::sound();
    let mut again = package.manifest["shards"][0].clone();
    again["file"] = json!("again.safetensors");
    package.manifest["shards"]
        .as_array_mut()
        .unwrap()
        .push(again);
    let error = package.refusal();
    assert!(matches!(error, PackageError::Duplicate { .. }), "{error}");
    names(&error, &["adapter_emb1", "again.safetensors"]);
}

#[test]
fn a_manifest_beyond_the_limit_is_not_even_read() {
    let mut source = Crafted::sound().source();
    source.insert(
        MANIFEST_FILE,
        vec![b' '; limits::MANIFEST_BYTES as usize + 1],
    );
    let error = crate::craft::load(source).unwrap_err();
    assert!(matches!(error, PackageError::TooLarge { .. }), "{error}");
    names(&error, &[MANIFEST_FILE]);
}

#[test]
fn every_prefix_of_a_manifest_is_refused() {
    let bytes = Crafted::sound().manifest_bytes();
    for end in 0..bytes.len() {
        assert!(Manifest::parse(&bytes[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn a_manifest_nested_without_end_is_refused() {
    let nested = format!("{{\"format\":1,\"model\":{}", "[".repeat(1 << 20));
    assert!(Manifest::parse(nested.as_bytes()).is_err());
}

#[test]
fn a_tokenizer_that_is_missing_short_or_altered_is_named() {
    let mut package = Crafted::sound();
    let whole = package.files["tokenizer.json"].clone();
    let mut fault = |bytes: Option<Vec<u8>>| {
        package.files.remove("tokenizer.json");
        package
            .files
            .extend(bytes.map(|bytes| ("tokenizer.json".to_owned(), bytes)));
        package.refusal()
    };
    let missing = fault(None);
    assert!(
        matches!(missing, PackageError::Source(SourceError::NotFound { .. })),
        "{missing}"
    );
    let short = fault(Some(whole[1..].to_vec()));
    assert!(matches!(short, PackageError::Length { .. }), "{short}");
    let altered = fault(Some(whole.iter().map(|byte| byte ^ 1).collect()));
    assert!(matches!(altered, PackageError::Altered { .. }), "{altered}");
    for error in [missing, short, altered] {
        names(&error, &["tokenizer.json"]);
    }
}

#[test]
fn an_empty_place_misses_its_manifest() {
    let error = crate::craft::load(adem_package::Memory::new()).unwrap_err();
    names(&error, &[MANIFEST_FILE, "missing"]);
}
