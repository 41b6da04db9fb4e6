//! What writing refuses, and that a refusal leaves things as they were.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use adem_package::{
    Dtype, Folder, MANIFEST_FILE, NewTensor, PackageError, WriteOptions, limits, verify, write,
};
use pollster::block_on;
use serde_json::json;

use crate::craft::{TOKENIZER, draft, files, names, tensor, tensors};

const F16: WriteOptions = WriteOptions {
    dtype: Dtype::F16,
    shard_bytes: 400,
};

fn with_data(data: Vec<f32>) -> Vec<NewTensor> {
    let mut all = tensors();
    all.push(NewTensor {
        name: "zz.last".into(),
        shape: vec![data.len()],
        data,
    });
    all
}

/// Writes over a sound package and returns the refusal; every byte must be as before.
fn refused(tensors: Vec<NewTensor>) -> PackageError {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), draft(), TOKENIZER, self::tensors(), &F16).unwrap();
    fs::write(folder.path().join("README.md"), "a model card").unwrap();
    let before = files(folder.path());
    let error = write(folder.path(), draft(), b"{\"new\": 1}", tensors, &F16).unwrap_err();
    assert_eq!(files(folder.path()), before);
    error
}

#[test]
fn values_a_half_cannot_hold_are_refused_by_tensor() {
    let error = refused(with_data(vec![0.0, 65504.0, -65520.0]));
    assert!(
        matches!(error, PackageError::Overflow { index: 2, .. }),
        "{error}"
    );
    names(&error, &["zz.last", "-65520", "F16", "BF16"]);
}

#[test]
fn values_that_are_not_finite_are_refused_by_tensor() {
    for value in [f32::NAN, f32::INFINITY] {
        let error = refused(with_data(vec![0.0, value]));
        assert!(
            matches!(error, PackageError::NonFinite { index: 1, .. }),
            "{error}"
        );
        names(&error, &["zz.last"]);
    }
}

#[test]
fn a_tensor_twice_is_refused_by_name() {
    let mut twice = tensors();
    twice.push(tensor("alpha", &[2], 0));
    let error = refused(twice);
    assert!(matches!(error, PackageError::Duplicate { .. }), "{error}");
    names(&error, &["alpha"]);
}

#[test]
fn tensors_that_are_not_their_shape_or_have_no_name_are_refused() {
    let odd = |name: &str, shape: &[usize], data: Vec<f32>| NewTensor {
        name: name.into(),
        shape: shape.to_vec(),
        data,
    };
    for tensor in [
        odd("a", &[2, 2], vec![0.0; 3]),
        odd("a", &[usize::MAX, 2], vec![0.0; 2]),
        odd("a", &[1; 9], vec![0.0]),
        odd("", &[1], vec![0.0]),
        odd("a\n", &[1], vec![0.0]),
        odd("__metadata__", &[1], vec![0.0]),
        odd("too.long.for.a.shard", &[400], vec![0.0; 400]),
    ] {
        let name = tensor.name.clone();
        let error = refused(vec![tensor]);
        assert!(matches!(error, PackageError::Unwritable { .. }), "{error}");
        names(&error, &[&format!("`{name}`")]);
    }
}

#[test]
fn a_draft_that_makes_no_valid_manifest_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("new");
    let mut bad = draft();
    bad.model = json!(null);
    let error = write(&target, bad, TOKENIZER, tensors(), &F16).unwrap_err();
    names(&error, &["`model`"]);
    let too_long = vec![b' '; limits::TOKENIZER_BYTES as usize + 1];
    let error = write(&target, draft(), &too_long, tensors(), &F16).unwrap_err();
    names(&error, &["`tokenizer.bytes`"]);
    let error = write(&target, draft(), TOKENIZER, [], &F16).unwrap_err();
    names(&error, &["`shards`"]);
    assert!(!target.exists());
}

#[test]
fn a_manifest_that_cannot_be_placed_takes_its_shards_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let obstacle = folder.path().join(MANIFEST_FILE);
    fs::create_dir(&obstacle).unwrap();
    let error = write(folder.path(), draft(), TOKENIZER, tensors(), &F16).unwrap_err();
    assert!(matches!(error, PackageError::Write { .. }), "{error}");
    names(&error, &[MANIFEST_FILE]);
    fs::remove_dir(&obstacle).unwrap();
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&file.join("sub"), draft(), TOKENIZER, tensors(), &F16).unwrap_err();
    assert!(matches!(error, PackageError::Write { .. }), "{error}");
    names(&error, &["file"]);
}

fn other_tensors() -> Vec<NewTensor> {
    vec![
        tensor("norm.weight", &[8], 5),
        tensor("new.weight", &[100], 6),
    ]
}

#[test]
fn a_new_package_replaces_the_old_and_leaves_other_files_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), draft(), TOKENIZER, tensors(), &F16).unwrap();
    fs::write(folder.path().join("README.md"), "a model card").unwrap();
    for tokenizer in [b"{\"new\": 1}", b"{\"new\": 2}", b"{\"new\": 2}"] {
        let written = write(folder.path(), draft(), tokenizer, other_tensors(), &F16).unwrap();
        assert_eq!(
            block_on(verify(Folder::new(folder.path()), |_| {})).unwrap(),
            written
        );
        let mut expected: BTreeSet<_> = written
            .shards
            .iter()
            .map(|shard| shard.file.clone())
            .collect();
        expected.extend([
            written.tokenizer.file,
            MANIFEST_FILE.into(),
            "README.md".into(),
        ]);
        let found: BTreeSet<_> = files(folder.path()).into_keys().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn no_file_of_the_old_package_is_overwritten_before_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path(), draft(), TOKENIZER, tensors(), &F16).unwrap();
    let new = write(
        folder.path(),
        draft(),
        b"{\"new\": 1}",
        other_tensors(),
        &F16,
    )
    .unwrap();
    assert_ne!(old.tokenizer.file, new.tokenizer.file);
    for shard in &new.shards {
        let same_name = old.shards.iter().find(|before| before.file == shard.file);
        assert!(same_name.is_none_or(|before| before.sha256 == shard.sha256));
    }
}

#[test]
fn somebody_elses_file_of_the_same_name_survives() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("tokenizer.json"), "mine").unwrap();
    let written = write(folder.path(), draft(), TOKENIZER, tensors(), &F16).unwrap();
    assert_ne!(written.tokenizer.file, "tokenizer.json");
    assert_eq!(
        fs::read(folder.path().join("tokenizer.json")).unwrap(),
        b"mine"
    );
    block_on(verify(Folder::new(folder.path()), |_| {})).unwrap();
}

#[cfg(unix)]
#[test]
fn packages_are_as_readable_as_other_new_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    write(folder.path(), draft(), TOKENIZER, tensors(), &F16).unwrap();
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&folder.path().join(MANIFEST_FILE)), mode(&plain));
}

#[cfg(unix)]
#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), draft(), TOKENIZER, tensors(), &F16).unwrap();
    let path = folder.path().join("tokenizer.json");
    fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let error = block_on(verify(Folder::new(folder.path()), |_| {})).unwrap_err();
    names(&error, &["tokenizer.json", "not a regular file"]);
}
