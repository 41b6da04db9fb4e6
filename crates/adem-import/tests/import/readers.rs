//! Every format read back, and every way a file can be wrong.

use adem_import::{Format, Metadata, TensorFile};
use adem_tests::golden;

use crate::files::{Named, gguf, opened, pth, pth_legacy, read_all, refusal, safetensors, sorted};
use crate::gguf_file::{self, Field, Stored};
use crate::pickle_file::{Pickled, View, legacy, zipped};
use crate::zip_file::{Member, archive};

fn some() -> Vec<Named> {
    vec![
        Named::counted("b.weight", &[3, 5], 0),
        Named::counted("a", &[7], 100),
        Named::counted("c", &[2, 3, 4], 200),
        Named::counted("one", &[1], 9),
    ]
}

/// Each format with a file of the same tensors in it.
pub fn each_format(tensors: &[Named]) -> Vec<(Format, Vec<u8>)> {
    vec![
        (Format::Safetensors, safetensors(tensors)),
        (Format::PyTorch, pth(tensors)),
        (Format::PyTorch, pth_legacy(tensors)),
        (Format::Gguf, gguf(&[("k", Field::U32(7))], tensors)),
    ]
}

#[test]
fn every_format_gives_the_tensors_back() {
    for (format, bytes) in each_format(&some()) {
        let file = opened(bytes);
        assert_eq!(file.format(), format);
        assert_eq!(read_all(&file), sorted(&some()), "{}", format.name());
    }
}

#[test]
fn rows_are_read_alone() {
    let all = Named::counted("c", &[4, 2, 3], 5);
    for (format, bytes) in each_format(std::slice::from_ref(&all)) {
        let file = opened(bytes);
        let entry = &file.entries()[0];
        let rows = file.rows(entry, 1..3).unwrap();
        assert_eq!(
            entry.dtype.decode(&rows),
            all.values[6..18],
            "{}",
            format.name()
        );
        assert!(file.rows(entry, 3..5).is_err());
    }
}

#[test]
fn pytorch_wrote_the_golden_files_and_they_are_read() {
    let with_pth = |p: &std::path::Path| p.join("meta/consolidated.00.pth").exists();
    let folder = golden::root().join("llama");
    let found: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| with_pth(path))
        .collect();
    if found.is_empty() {
        println!("SKIPPED: no .pth in {} (ADEM_GOLDEN)", folder.display());
    }
    for path in found {
        let meta = path.join("meta");
        let file = TensorFile::open(&meta.join("consolidated.00.pth")).unwrap();
        let wanted = golden::Tensors::open(&meta.join("consolidated.safetensors"));
        assert_eq!(
            read_all(&file),
            crate::files::golden(&wanted),
            "{}",
            path.display()
        );
    }
}

#[test]
fn zip64_archives_are_read() {
    let tensor = Named::counted("t", &[2, 2], 0);
    let pickle = Pickled::dict(std::slice::from_ref(&tensor)).pickle(false);
    let bytes = tensor.bytes();
    let members = [
        Member::stored("x/data.pkl", &pickle),
        Member::stored("x/data/0", &bytes),
    ];
    assert_eq!(read_all(&opened(archive(&members, true))), [tensor]);
}

#[test]
fn containers_of_a_pickle_become_names() {
    let (a, b) = (Named::counted("a", &[2], 0), Named::counted("b", &[3], 9));
    let text = Pickled::text;
    let object = Pickled::Dict(vec![
        (
            text("model"),
            Pickled::Ordered(vec![(text("a"), Pickled::of(0, &a))]),
        ),
        (
            text("optimizer"),
            Pickled::Dict(vec![(
                text("state"),
                Pickled::List(vec![Pickled::Dict(vec![(
                    Pickled::Int(3),
                    Pickled::of(1, &b),
                )])]),
            )]),
        ),
        (text("epoch"), Pickled::Int(4)),
        (text("best"), Pickled::Float(0.5)),
        (text("none"), Pickled::None),
        (
            text("args"),
            Pickled::Namespace(vec![(
                text("lr"),
                Pickled::Tuple(vec![Pickled::Float(0.1)]),
            )]),
        ),
    ]);
    let named = |name: &str, it: &Named| Named {
        name: name.into(),
        ..it.clone()
    };
    let wanted = [named("model.a", &a), named("optimizer.state.0.3", &b)];
    for bytes in [
        zipped(&object, &[a.clone(), b.clone()]),
        legacy(&object, &[a.clone(), b.clone()]),
    ] {
        assert_eq!(read_all(&opened(bytes)), wanted);
    }
}

#[test]
fn views_of_one_storage_are_read_and_transposed_ones_are_named() {
    let storage = Named::counted("s", &[12], 0);
    let view = |offset, shape: &[i32], strides: &[i32]| {
        Pickled::Tensor(View {
            storage: 0,
            kind: "FloatStorage",
            elements: 12,
            offset,
            shape: shape.to_vec(),
            strides: strides.to_vec(),
        })
    };
    let object = Pickled::Dict(vec![
        (Pickled::text("tail"), view(6, &[2, 3], &[3, 1])),
        (Pickled::text("turned"), view(0, &[3, 2], &[1, 3])),
        (Pickled::text("empty"), view(12, &[0, 3], &[3, 1])),
    ]);
    let file = opened(zipped(&object, std::slice::from_ref(&storage)));
    let rows = |i: usize| file.rows(&file.entries()[i], 0..file.entries()[i].rows());
    assert_eq!(
        file.entries()[0].dtype.decode(&rows(0).unwrap()),
        storage.values[6..]
    );
    let error = rows(1).unwrap_err().to_string();
    assert!(
        error.contains("turned") && error.contains("contiguous"),
        "{error}"
    );
    assert!(rows(2).unwrap().is_empty());

    for outside in [
        view(7, &[2, 3], &[3, 1]),
        view(0, &[4, 4], &[4, 1]),
        view(0, &[2], &[i32::MAX]),
    ] {
        let object = Pickled::Dict(vec![(Pickled::text("out"), outside)]);
        let error = refusal(zipped(&object, std::slice::from_ref(&storage)));
        assert!(
            error.contains("`out`") && error.contains("within"),
            "{error}"
        );
    }
}

#[test]
fn a_pickle_that_asks_for_code_is_refused_by_its_name() {
    for (module, name) in [
        ("os", "system"),
        ("builtins", "eval"),
        ("posix", "system"),
        ("torch", "load"),
        ("torch._utils", "_rebuild_parameter_with_state"),
        ("collections", "defaultdict"),
        ("numpy.core.multiarray", "scalar"),
    ] {
        let object = Pickled::Dict(vec![(Pickled::text("w"), Pickled::Call(module, name))]);
        for bytes in [zipped(&object, &[]), legacy(&object, &[])] {
            let error = refusal(bytes);
            assert!(error.contains(&format!("`{module}.{name}`")), "{error}");
            assert!(error.contains("nothing was run"), "{error}");
        }
    }
}

#[test]
fn a_pickle_cannot_nest_itself_for_ever() {
    // A list that holds itself twice, and a dictionary in itself.
    for pickle in [
        &b"\x80\x02]q\x00(h\x00h\x00e."[..],
        b"\x80\x02}q\x00X\x01\0\0\0ah\x00s.",
    ] {
        let error = refusal(archive(&[Member::stored("x/data.pkl", pickle)], false));
        assert!(error.contains("nested"), "{error}");
    }
}

#[test]
fn a_torchscript_archive_is_explained() {
    let members = [
        Member::stored("clip/data.pkl", b"\x80\x02c__torch__\nModel\n."),
        Member {
            name: "clip/code/__torch__.py",
            bytes: b"x",
            method: 8,
        },
        Member::stored("clip/constants.pkl", b"\x80\x02)."),
    ];
    let error = refusal(archive(&members, false));
    assert!(
        error.contains("TorchScript") && error.contains("state_dict"),
        "{error}"
    );
}

#[test]
fn archives_that_pack_climb_or_overlap_are_refused() {
    let pickle = &b"\x80\x02}."[..];
    let root = Member::stored("x/data.pkl", pickle);
    let with = |name, method| {
        archive(
            &[
                Member::stored("x/data.pkl", pickle),
                Member {
                    name,
                    bytes: b"abcd",
                    method,
                },
            ],
            false,
        )
    };
    for (bytes, word) in [
        (with("x/data/0", 8), "compressed"),
        (with("../etc/passwd", 0), "leads out"),
        (with("/etc/passwd", 0), "leads out"),
        (with("x\\..\\y", 0), "leads out"),
        (with("C:x", 0), "leads out"),
        (with("x/data.pkl", 0), "twice"),
        (with("y/data.pkl", 0), "one `data.pkl`"),
        (
            archive(&[Member::stored("x/other", pickle)], false),
            "one `data.pkl`",
        ),
        (
            archive(&[root, Member::stored("x/byteorder", b"big")], false),
            "big-endian",
        ),
    ] {
        let error = refusal(bytes);
        assert!(error.contains(word), "{word}: {error}");
    }
    // Two entries of the directory for the same bytes: what a bomb is made of.
    let one = archive(
        &[
            Member::stored("x/data.pkl", pickle),
            Member::stored("y", b"abcd"),
        ],
        false,
    );
    let mut overlapping = one.clone();
    let second = (0..one.len())
        .rev()
        .find(|i| one[*i..].starts_with(b"PK\x01\x02"))
        .unwrap();
    overlapping[second + 42..second + 46].copy_from_slice(&[0; 4]);
    assert!(refusal(overlapping).contains("overlap"));
}

#[test]
fn files_of_no_known_format_are_told_apart() {
    for (bytes, word) in [
        (&b""[..], "empty"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0", "gzip"),
        (b"tjgg\x03\0\0\0", "GGML"),
        (b"FUGG\0\0\0\x03", "big-endian"),
        (b"nothing that anybody knows of", "none of theirs"),
    ] {
        let error = refusal(bytes.to_vec());
        assert!(error.contains(word), "{word}: {error}");
    }
}

/// A safetensors file of this header and so many bytes of values.
fn raw_safetensors(json: &str, bytes: usize) -> Vec<u8> {
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend(json.bytes());
    file.resize(file.len() + bytes, 0);
    file
}

#[test]
fn safetensors_headers_are_not_believed() {
    let tensor = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"t":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (json, word) in [
        (tensor("F32", "[2]", "[0,8]"), ""),
        (tensor("F8_E4M3", "[8]", "[0,8]"), "F8_E4M3"),
        (tensor("F32", "[2]", "[0,4]"), "span"),
        (tensor("F32", "[2]", "[8,0]"), "no range"),
        (tensor("F32", "[200]", "[0,800]"), "beyond"),
        (tensor("F32", "[2]", "[18446744073709551615,18446744073709551615]"), "no range"),
        (tensor("F32", "[4294967296,4294967296]", "[0,8]"), "shape"),
        (tensor("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), "dimensions"),
        (tensor("F32", "[-2]", "[0,8]"), "`t`"),
        ("[]".into(), "none of theirs"),
        ("{\"t\":1}".into(), "`t`"),
        (
            r#"{"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"t":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}"#.into(),
            "shares bytes",
        ),
        (
            r#"{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}"#.into(),
            "twice",
        ),
    ] {
        let bytes = raw_safetensors(&json, 8);
        if word.is_empty() {
            opened(bytes);
            continue;
        }
        let error = refusal(bytes);
        assert!(error.contains(word), "{word}: {error}");
    }
    let mut long = raw_safetensors("{}", 0);
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refusal(long).contains("header says"));
}

#[test]
fn gguf_headers_are_not_believed() {
    let stored = |kind, shape: &[usize], bytes: usize| Stored {
        name: "t".into(),
        shape: shape.to_vec(),
        kind,
        bytes: vec![0; bytes],
    };
    let one = |tensor| gguf_file::file(3, &[], &[tensor]);
    for (bytes, word) in [
        (one(stored(13, &[256], 176)), "Q5_K"),
        (one(stored(99, &[256], 176)), "99"),
        (one(stored(8, &[33], 34)), "Q8_0"),
        (one(stored(8, &[2, 16], 34)), "Q8_0"),
        (one(stored(0, &[64], 8)), "beyond"),
        (one(stored(0, &[1; 9], 4)), "dimensions"),
        (gguf_file::file(1, &[], &[]), "version 1"),
        (gguf_file::file(4, &[], &[]), "version 4"),
        (
            gguf_file::file(3, &[("k", Field::U32(1)), ("k", Field::U32(2))], &[]),
            "twice",
        ),
        (
            gguf_file::file(3, &[("general.alignment", Field::U32(3))], &[]),
            "alignment",
        ),
    ] {
        let error = refusal(bytes);
        assert!(error.contains(word), "{word}: {error}");
    }
    // Counts and lengths beyond anything.
    for at in [8, 16] {
        let mut bytes = gguf(&[("key", Field::Text("x".into()))], &some());
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(refusal(bytes).contains("more than"));
    }
    let mut bytes = gguf(&[("key", Field::Ints(vec![1, 2]))], &[]);
    let length = bytes.len() - 16;
    bytes[length..length + 8].copy_from_slice(&(u64::MAX / 2).to_le_bytes());
    assert!(refusal(bytes).contains("too long"));
}

#[test]
fn gguf_keys_and_values_are_read() {
    let fields = [
        ("a", Field::U32(7)),
        ("b", Field::F32(0.5)),
        ("c", Field::Text("text".into())),
        ("d", Field::Texts(vec!["x".into(), "\u{2581}y".into()])),
        ("e", Field::Floats(vec![-1.5])),
        ("f", Field::Ints(vec![3, -1])),
    ];
    for version in [2, 3] {
        let file = opened(gguf_file::file(version, &fields, &[]));
        let Metadata::Gguf(metadata) = file.metadata() else {
            panic!("no metadata");
        };
        use adem_import::gguf::Value;
        assert_eq!(metadata.get("a").and_then(Value::as_u64), Some(7));
        assert_eq!(metadata.get("b").and_then(Value::as_f64), Some(0.5));
        assert_eq!(metadata.get("c").and_then(Value::as_str), Some("text"));
        assert_eq!(
            metadata.get("d"),
            Some(&Value::Texts(vec!["x".into(), "\u{2581}y".into()]))
        );
        assert_eq!(metadata.get("e"), Some(&Value::Numbers(vec![-1.5])));
        assert_eq!(metadata.get("f"), Some(&Value::Numbers(vec![3.0, -1.0])));
        assert_eq!(metadata.get("g"), None);
    }
}

#[test]
fn stories260k_is_read_as_metas_tensors() {
    let path = golden::data().join("stories260K/stories260K.bin");
    if !path.exists() {
        println!("SKIPPED: no {} (ADEM_DATA)", path.display());
        return;
    }
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.format(), Format::Llama2c);
    let Metadata::Llama2c(header) = file.metadata() else {
        panic!("no header");
    };
    assert_eq!(
        (header.dim, header.n_layers, header.vocab_size),
        (64, 5, 512)
    );
    assert_eq!(file.entries().len(), 2 + 9 * 5);
    let find = |name: &str| file.entries().iter().find(|e| e.name == name).unwrap();
    assert_eq!(find("layers.4.attention.wk.weight").shape, [32, 64]);
    assert_eq!(find("layers.0.feed_forward.w2.weight").shape, [64, 172]);
    // Cut short, it is no such file.
    let bytes = std::fs::read(&path).unwrap();
    assert!(refusal(bytes[..bytes.len() - 4].to_vec()).contains("none of theirs"));
}
