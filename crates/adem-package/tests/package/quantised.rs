//! What is refused of quantised weights.

use std::collections::BTreeMap;

use adem_package::quant::{QuantizeOptions, ScaleType, Scheme};
use adem_package::{Digest, Dtype, MANIFEST_FILE, Manifest, PackageError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::craft::{Crafted, files, load, names, safetensors, tensor};
use crate::quantise::{float_package, run};

const SHARD: &str = "weights-00001-of-00001.safetensors";

/// One weight, `a.weight` `[2, 40]` in q4 with scales in half precision, and a vector `b`.
fn sound() -> Crafted {
    crafted(ScaleType::F16)
}

fn crafted(scale_type: ScaleType) -> Crafted {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let tensors = vec![tensor("a.weight", &[2, 40], 1), tensor("b", &[3], 2)];
    float_package(&from, tensors, Dtype::F16, 1 << 20);
    let options = QuantizeOptions {
        scale_type,
        ..QuantizeOptions::new(Scheme::Q4)
    };
    run(&from, &to, &options).unwrap();
    let mut files = files(&to);
    let manifest = serde_json::from_slice(&files.remove(MANIFEST_FILE).unwrap()).unwrap();
    Crafted { files, manifest }
}

/// A sound package whose shard was changed, length and digest in the manifest made right.
fn changed(mut package: Crafted, change: impl FnOnce(&mut Value, &mut Vec<u8>)) -> Crafted {
    let shard = &package.files[SHARD];
    let length = u64::from_le_bytes(shard[..8].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&shard[8..8 + length]).unwrap();
    let mut data = shard[8 + length..].to_vec();
    change(&mut header, &mut data);
    let mut text = header.to_string();
    while text.len() % 8 != 0 {
        text.push(' ');
    }
    let bytes = safetensors(&text, &data);
    let entry = &mut package.manifest["shards"][0];
    entry["bytes"] = json!(bytes.len());
    entry["sha256"] = json!(Digest::of(&bytes).to_string());
    package.files.insert(SHARD.to_owned(), bytes);
    package
}

#[test]
fn a_sound_package_stays_sound_through_the_changes_below() {
    let mut weights = load(changed(sound(), |_, _| {}).source()).unwrap();
    assert_eq!(weights.take("a.weight", &[2, 40]).unwrap().len(), 80);
    let shape = weights.take("b", &[2]).unwrap_err();
    assert!(matches!(shape, PackageError::Shape { .. }), "{shape}");
}

#[test]
fn a_shape_the_model_does_not_have_is_refused_of_blocks_too() {
    let mut weights = load(sound().source()).unwrap();
    for shape in [&[2, 64][..], &[2, 39], &[80], &[40, 2]] {
        let error = weights.take("a.weight", shape).unwrap_err();
        assert!(matches!(error, PackageError::Shape { .. }), "{error}");
        names(&error, &["`a.weight`", "[2, 40]", &format!("{shape:?}")]);
    }
    assert!(weights.contains("a.weight"));
    let missing = weights.get("a.weight.q").unwrap_err();
    assert!(
        matches!(missing, PackageError::MissingTensor { .. }),
        "{missing}"
    );
}

#[test]
fn blocks_of_another_dtype_are_refused_by_name() {
    for (stored, dtype, needs) in [
        ("a.weight.q", "F32", "need U32"),
        ("a.weight.q", "I32", "I32"),
        ("a.weight.scale", "BF16", "need F16"),
        ("a.weight.scale", "I16", "I16"),
    ] {
        let error = changed(sound(), |header, _| header[stored]["dtype"] = json!(dtype)).refusal();
        assert!(
            matches!(
                error,
                PackageError::Entry { .. } | PackageError::Dtype { .. }
            ),
            "{error}"
        );
        names(&error, &[&format!("`{stored}`"), SHARD, dtype, needs]);
    }
    // Words that the manifest does not name as blocks.
    let error = changed(sound(), |header, data| {
        data.truncate(data.len() - 6);
        data.extend([0; 8]);
        let begin = header["b"]["data_offsets"][0].as_u64().unwrap();
        header["b"] = json!({"dtype": "U32", "shape": [2], "data_offsets": [begin, begin + 8]});
    })
    .refusal();
    assert!(matches!(error, PackageError::Dtype { .. }), "{error}");
    names(&error, &["`b`", "U32"]);
}

#[test]
fn blocks_of_another_shape_are_refused_by_name() {
    for (stored, shape, needs) in [
        ("a.weight.q", json!([4, 4]), "[2, 8]"),
        ("a.weight.q", json!([16]), "[2, 8]"),
        ("a.weight.q", json!([2, 8, 1]), "[2, 8]"),
        ("a.weight.scale", json!([4]), "[2, 2]"),
        ("a.weight.scale", json!([1, 4]), "[2, 2]"),
    ] {
        let error = changed(sound(), |header, _| header[stored]["shape"] = shape.clone()).refusal();
        assert!(matches!(error, PackageError::Entry { .. }), "{error}");
        names(&error, &[&format!("`{stored}`"), "`a.weight`", needs]);
    }
}

#[test]
fn blocks_of_another_length_are_refused_by_name() {
    // One row less of the words, everything after them moved.
    let error = changed(sound(), |header, data| {
        data.drain(..32);
        header["a.weight.q"] = json!({"dtype": "U32", "shape": [1, 8], "data_offsets": [0, 32]});
        for name in ["a.weight.scale", "b"] {
            for end in 0..2 {
                let offset = header[name]["data_offsets"][end].as_u64().unwrap() - 32;
                header[name]["data_offsets"][end] = json!(offset);
            }
        }
    })
    .refusal();
    assert!(matches!(error, PackageError::Entry { .. }), "{error}");
    names(&error, &["`a.weight.q`", "[1, 8]", "[2, 8]"]);
    let error = changed(sound(), |header, _| {
        header["a.weight.q"]["shape"] = json!([2, 9])
    })
    .refusal();
    names(&error, &["`a.weight.q`", "takes 72 bytes"]);
}

#[test]
fn altered_bytes_of_blocks_are_refused_by_their_shard() {
    for from_end in [1, 8, 12, 40] {
        let mut package = sound();
        let shard = package.files.get_mut(SHARD).unwrap();
        let place = shard.len() - from_end;
        shard[place] ^= 0x10;
        let error = package.refusal();
        assert!(matches!(error, PackageError::Altered { .. }), "{error}");
        names(&error, &[SHARD]);
    }
}

#[test]
fn scales_that_make_no_finite_weight_are_refused_by_name() {
    for (scale_type, bytes) in [
        (ScaleType::F16, half::f16::NAN.to_le_bytes().to_vec()),
        (
            ScaleType::F16,
            half::f16::NEG_INFINITY.to_le_bytes().to_vec(),
        ),
        (ScaleType::F32, f32::NAN.to_le_bytes().to_vec()),
        (ScaleType::F32, f32::INFINITY.to_le_bytes().to_vec()),
        // Finite, but eight times it is not.
        (ScaleType::F32, (f32::MAX / 7.0).to_le_bytes().to_vec()),
    ] {
        let error = changed(crafted(scale_type), |header, data| {
            let begin = header["a.weight.scale"]["data_offsets"][0]
                .as_u64()
                .unwrap() as usize;
            let place = begin + 3 * bytes.len();
            data[place..place + bytes.len()].copy_from_slice(&bytes);
        })
        .refusal();
        assert!(matches!(error, PackageError::Entry { .. }), "{error}");
        names(&error, &["`a.weight.scale`", "element 3", SHARD]);
    }
}

#[test]
fn blocks_that_are_not_aligned_are_refused_by_name() {
    // The vector of three halves first: what follows begins at 6 modulo 8.
    let error = changed(sound(), |header, data| {
        let tail = data.split_off(data.len() - 6);
        data.splice(0..0, tail);
        header["b"]["data_offsets"] = json!([0, 6]);
        header["a.weight.q"]["data_offsets"] = json!([6, 70]);
        header["a.weight.scale"]["data_offsets"] = json!([70, 78]);
    })
    .refusal();
    assert!(matches!(error, PackageError::Entry { .. }), "{error}");
    names(&error, &["`a.weight.q`", "multiple of 4"]);
}

#[test]
fn tensors_missing_from_a_shard_are_named() {
    let error = changed(sound(), |header, data| {
        data.truncate(64);
        header.as_object_mut().unwrap().remove("a.weight.scale");
        header.as_object_mut().unwrap().remove("b");
    })
    .refusal();
    assert!(matches!(error, PackageError::NotInShard { .. }), "{error}");
    names(&error, &["`a.weight.scale`"]);
}

/// The refusal of a manifest whose `quantisation` was changed.
fn refused_with(pointer: &str, value: Value) -> PackageError {
    let mut package = sound();
    let place = format!("/quantisation{pointer}");
    *package.manifest.pointer_mut(&place).expect(pointer) = value;
    Manifest::parse(&package.manifest_bytes()).expect_err(pointer)
}

#[test]
fn a_manifest_that_says_of_blocks_what_cannot_be_is_refused_by_field() {
    let first = sound().manifest["quantisation"]["tensors"][0].clone();
    for (pointer, value, field, says) in [
        ("/block", json!(64), "quantisation.block", "must be 32"),
        ("/method", json!("guess"), "quantisation.method", "guess"),
        ("/source", json!("abc"), "quantisation.source", "64"),
        (
            "/tensors",
            json!([]),
            "quantisation.tensors",
            "at least one",
        ),
        (
            "/tensors",
            json!([first, first]),
            "quantisation.tensors[1].name",
            "named twice",
        ),
        (
            "/tensors/0/scheme",
            json!("q5"),
            "quantisation.tensors[0].scheme",
            "q5",
        ),
        (
            "/tensors/0/scale",
            json!("bf16"),
            "quantisation.tensors[0].scale",
            "bf16",
        ),
        (
            "/tensors/0/shape",
            json!([80]),
            "quantisation.tensors[0].shape",
            "a.weight",
        ),
        (
            "/tensors/0/shape",
            json!([0, 40]),
            "quantisation.tensors[0].shape",
            "a.weight",
        ),
        (
            "/tensors/0/shape",
            json!([2, u64::MAX]),
            "quantisation.tensors[0].shape",
            "a.weight",
        ),
        (
            "/tensors/0/shape",
            json!([1, 1, 1, 1, 1, 1, 1, 1, 1]),
            "quantisation.tensors[0].shape",
            "a.weight",
        ),
        (
            "/tensors/0/in_padded",
            json!(40),
            "quantisation.tensors[0].in_padded",
            "must be 64",
        ),
        (
            "/tensors/0/name",
            json!("c.weight"),
            "quantisation.tensors[0].name",
            "c.weight.q",
        ),
        (
            "/tensors/0/name",
            json!("b"),
            "quantisation.tensors[0].name",
            "float tensor",
        ),
        (
            "/tensors/0/name",
            json!(""),
            "quantisation.tensors[0].name",
            "needs a name",
        ),
    ] {
        let error = refused_with(pointer, value.clone());
        assert!(
            matches!(error, PackageError::Field { .. }),
            "{pointer} {value}: {error}"
        );
        names(&error, &[field, says]);
    }
    let mut package = sound();
    package.manifest["quantisation"]["colour"] = json!(1);
    let error = Manifest::parse(&package.manifest_bytes()).unwrap_err();
    names(&error, &["quantisation", "unknown field `colour`"]);
}

#[test]
fn a_shape_the_blocks_do_not_have_is_refused_when_they_are_read() {
    // Both shapes give the manifest's 64 padded columns; the rows differ.
    let mut package = sound();
    package.manifest["quantisation"]["tensors"][0]["shape"] = json!([3, 40]);
    let error = package.refusal();
    assert!(matches!(error, PackageError::Entry { .. }), "{error}");
    names(&error, &["`a.weight.", "[3, 40]"]);
    // Another number of true columns within the same blocks is another weight, not a fault.
    package.manifest["quantisation"]["tensors"][0]["shape"] = json!([2, 5, 8]);
    assert_eq!(
        load(package.source())
            .unwrap()
            .get("a.weight")
            .unwrap()
            .shape,
        [2, 5, 8]
    );
}

#[test]
fn codes_and_scales_in_different_shards_are_refused() {
    let mut package = sound();
    let mut second = package.manifest["shards"][0].clone();
    second["file"] = json!("other.safetensors");
    second["tensors"] = json!(["a.weight.scale"]);
    let shards = package.manifest["shards"].as_array_mut().unwrap();
    shards[0]["tensors"] = json!(["a.weight.q", "b"]);
    shards.push(second);
    let error = Manifest::parse(&package.manifest_bytes()).unwrap_err();
    names(
        &error,
        &["quantisation.tensors[0]", "a.weight.q", "a.weight.scale"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A quantised shard whose digest is right and whose bytes are anybody's never brings the
    /// reader down.
    #[test]
    fn altered_shards_are_refused_or_give_finite_weights(
        changes in proptest::collection::vec((0usize..400, any::<u8>()), 1..4)
    ) {
        let mut package = sound();
        let mut bytes = package.files[SHARD].clone();
        for (place, byte) in changes {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        package.manifest["shards"][0]["sha256"] = json!(Digest::of(&bytes).to_string());
        package.files = BTreeMap::from([
            (SHARD.to_owned(), bytes),
            ("tokenizer.json".to_owned(), package.files["tokenizer.json"].clone()),
        ]);
        if let Ok(mut weights) = load(package.source()) {
            let values = weights.take("a.weight", &[2, 40]).unwrap();
            prop_assert!(values.iter().all(|value| value.is_finite()));
        }
    }
}
