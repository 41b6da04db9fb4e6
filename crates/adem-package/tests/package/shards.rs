//! What is refused of a shard, and of the tensors in it.

use adem_package::{Dtype, PackageError, SourceError, WriteOptions};
use proptest::prelude::*;
use serde_json::json;

use crate::craft::{Crafted, load, names, safetensors};

const F32_PAIR: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

fn pair(a: f32, b: f32) -> Vec<u8> {
    [a.to_le_bytes(), b.to_le_bytes()].concat()
}

/// The refusal of a package whose one shard has this header, these bytes and the tensor `a`.
fn refused(header: &str, data: &[u8]) -> PackageError {
    Crafted::with_shard(&safetensors(header, data), &["a"]).refusal()
}

#[test]
fn a_shard_of_the_safetensors_layout_is_accepted() {
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  "#;
    let package = Crafted::with_shard(&safetensors(header, &pair(1.0, -2.0)), &["a"]);
    let mut weights = load(package.source()).unwrap();
    assert_eq!(weights.take("a", &[2]).unwrap(), [1.0, -2.0]);
}

#[test]
fn a_shard_that_is_missing_short_long_or_altered_is_named() {
    let two = WriteOptions {
        dtype: Dtype::F32,
        shard_bytes: 400,
    };
    for index in 0..2 {
        let mut package = Crafted::with(&two);
        let file = package.shard_file(index);
        let whole = package.files.remove(&file).unwrap();
        let missing = package.refusal();
        assert!(
            matches!(missing, PackageError::Source(SourceError::NotFound { .. })),
            "{missing}"
        );
        names(&missing, &[&file]);

        for other in [
            whole[..whole.len() - 1].to_vec(),
            [&whole[..], b"x"].concat(),
            vec![],
        ] {
            let found = other.len();
            package.files.insert(file.clone(), other);
            let error = package.refusal();
            assert!(matches!(error, PackageError::Length { .. }), "{error}");
            names(
                &error,
                &[
                    &file,
                    &format!("{found} bytes"),
                    &format!("says {}", whole.len()),
                ],
            );
        }

        for place in [0, 9, whole.len() - 1] {
            let mut altered = whole.clone();
            altered[place] ^= 1;
            package.files.insert(file.clone(), altered);
            let error = package.refusal();
            assert!(matches!(error, PackageError::Altered { .. }), "{error}");
            names(&error, &[&file]);
        }
    }
}

#[test]
fn weights_that_are_not_finite_are_refused_by_tensor() {
    for (value, text) in [
        (f32::NAN, "NaN"),
        (f32::INFINITY, "inf"),
        (f32::NEG_INFINITY, "-inf"),
    ] {
        let error = refused(F32_PAIR, &pair(0.5, value));
        assert!(
            matches!(error, PackageError::NonFinite { index: 1, .. }),
            "{error}"
        );
        names(&error, &["tensor `a`", text, "element 1"]);
    }
    for (dtype, bits) in [
        ("F16", 0x7e00u16),
        ("F16", 0xfc00),
        ("BF16", 0x7fc0),
        ("BF16", 0xff80),
    ] {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,2]}}}}"#);
        let error = refused(&header, &bits.to_le_bytes());
        assert!(matches!(error, PackageError::NonFinite { .. }), "{error}");
    }
}

#[test]
fn other_dtypes_are_refused_by_tensor_and_name() {
    for dtype in ["I64", "F64", "U8", "BOOL", "F8_E4M3", "nonsense"] {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,8]}}}}"#);
        let error = refused(&header, &[0; 8]);
        assert!(matches!(error, PackageError::Dtype { .. }), "{error}");
        names(&error, &["tensor `a`", dtype]);
    }
}

#[test]
fn a_tensor_twice_in_one_header_is_named_even_where_both_agree() {
    let info = r#""a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let error = refused(&format!("{{{info},{info}}}"), &pair(0.0, 1.0));
    assert!(matches!(error, PackageError::Duplicate { .. }), "{error}");
    names(&error, &["tensor `a`"]);
}

#[test]
fn tensors_missing_from_a_shard_or_from_the_manifest_are_named() {
    let shard = safetensors(F32_PAIR, &pair(0.0, 1.0));
    let missing = Crafted::with_shard(&shard, &["a", "b"]).refusal();
    assert!(
        matches!(missing, PackageError::NotInShard { .. }),
        "{missing}"
    );
    names(&missing, &["tensor `b`"]);
    let extra = Crafted::with_shard(&shard, &["c"]).refusal();
    names(&extra, &["tensor `c`"]);
    let two = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let extra = refused(two, &pair(0.0, 1.0));
    assert!(matches!(extra, PackageError::NotListed { .. }), "{extra}");
    names(&extra, &["tensor `b`"]);
}

#[test]
fn impossible_entries_are_refused_by_tensor() {
    let huge = u64::MAX;
    for (shape, offsets, reason) in [
        (json!([2]), json!([0, 4]), "takes 8 bytes"),
        (json!([3]), json!([0, 8]), "takes 12 bytes"),
        (json!([2]), json!([8, 0]), "not within"),
        (json!([2]), json!([8, 16]), "not within"),
        (json!([2]), json!([0, huge]), "not within"),
        (json!([1]), json!([4, 8]), "do not follow"),
        (json!([huge]), json!([0, 8]), "more elements"),
        (
            json!([1u64 << 32, 1u64 << 32]),
            json!([0, 8]),
            "more elements",
        ),
        (
            json!([2, 1, 1, 1, 1, 1, 1, 1, 1]),
            json!([0, 8]),
            "9 dimensions",
        ),
    ] {
        let header = json!({"a": {"dtype": "F32", "shape": shape, "data_offsets": offsets}});
        let error = refused(&header.to_string(), &pair(0.0, 1.0));
        assert!(
            matches!(error, PackageError::Entry { .. }),
            "{header}: {error}"
        );
        names(&error, &["tensor `a`", reason]);
    }
}

#[test]
fn overlapping_tensors_and_bytes_of_none_are_refused() {
    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    names(
        &refused(overlap, &pair(0.0, 1.0)),
        &["tensor `b`", "do not follow"],
    );
    let rest = refused(F32_PAIR, &[0; 11]);
    assert!(matches!(rest, PackageError::Header { .. }), "{rest}");
    names(&rest, &["3 bytes at its end"]);
}

#[test]
fn a_header_that_is_no_object_of_tensors_is_refused() {
    for header in [
        "",
        "[]",
        "{",
        "nonsense",
        r#"{"a":1}"#,
        r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2]}}"#,
        r#"{"a":{"shape":[2],"data_offsets":[0,8]}}"#,
        r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}"#,
    ] {
        let error = refused(header, &pair(0.0, 1.0));
        assert!(
            matches!(error, PackageError::Header { .. }),
            "{header}: {error}"
        );
        names(&error, &["weights-00001-of-00001.safetensors"]);
        if header.starts_with(r#"{"a""#) {
            names(&error, &["tensor `a`"]);
        }
    }
}

#[test]
fn a_header_length_beyond_the_file_or_the_limit_is_refused() {
    let whole = safetensors(F32_PAIR, &pair(0.0, 1.0));
    let most = adem_package::limits::HEADER_BYTES;
    for length in [
        whole.len() as u64 - 7,
        most,
        most + 1,
        u64::MAX - 7,
        u64::MAX,
    ] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        let error = Crafted::with_shard(&bytes, &["a"]).refusal();
        assert!(matches!(error, PackageError::Header { .. }), "{error}");
        names(&error, &[&length.to_string()]);
    }
}

#[test]
fn every_prefix_of_a_shard_is_refused() {
    let whole = safetensors(F32_PAIR, &pair(0.0, 1.0));
    for end in 8..whole.len() {
        let error = Crafted::with_shard(&whole[..end], &["a"]).refusal();
        let expected = matches!(
            error,
            PackageError::Header { .. } | PackageError::Entry { .. }
        );
        assert!(expected, "{end} bytes: {error}");
    }
    for end in 0..8 {
        let error = Crafted::with_shard(&whole[..end], &["a"]).refusal();
        names(&error, &["`shards[0].bytes`"]);
    }
}

proptest! {
    /// A shard whose digest is right and whose bytes are anybody's never brings the reader down.
    #[test]
    fn altered_headers_are_refused_or_mean_the_same_names(
        place in 0usize..70, byte: u8, cut in 0usize..80
    ) {
        let mut bytes = safetensors(F32_PAIR, &pair(0.0, 1.0));
        let last = bytes.len() - 1;
        bytes[place.min(last)] = byte;
        bytes.truncate(cut.max(8));
        if let Ok(mut weights) = load(Crafted::with_shard(&bytes, &["a"]).source()) {
            let view = weights.get("a").unwrap();
            let shape = view.shape.to_vec();
            let count = weights.take("a", &shape).unwrap().len();
            prop_assert_eq!(count, shape.iter().product::<usize>());
        }
    }
}
