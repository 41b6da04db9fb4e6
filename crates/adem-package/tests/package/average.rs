//! The mean of packages.

use std::path::Path;

use adem_package::quant::Scheme;
use adem_package::{
    Dtype, Folder, Manifest, NewTensor, Package, PackageError, WriteOptions, average, write,
};
use pollster::block_on;

use crate::craft::{TOKENIZER, draft, files, load, memory, names, tensor};
use crate::quantise::{float_package, run};

fn mean(folders: &[&Path], shares: &[f64], to: &Path) -> Result<Manifest, PackageError> {
    let options = WriteOptions {
        dtype: Dtype::F32,
        ..WriteOptions::default()
    };
    block_on(async {
        let mut packages = Vec::new();
        for folder in folders {
            packages.push(Package::open(Folder::new(folder)).await?);
        }
        average(&packages, shares, to, &options).await
    })
}

fn weights(seed: u32) -> Vec<NewTensor> {
    vec![
        tensor("a.weight", &[4, 64], seed),
        tensor("b", &[3], seed + 1),
    ]
}

#[test]
fn every_weight_is_the_mean_by_shares() {
    let place = tempfile::tempdir().unwrap();
    let [a, b, to] = ["a", "b", "to"].map(|name| place.path().join(name));
    float_package(&a, weights(3), Dtype::F32, 1 << 20);
    float_package(&b, weights(40), Dtype::F16, 600);
    let manifest = mean(&[&a, &b], &[3.0, 1.0], &to).unwrap();
    assert!(
        manifest
            .provenance
            .training
            .contains("3 of what was made by: by hand")
    );
    let mut loaded = load(memory(&files(&to))).unwrap();
    for (one, two) in weights(3).into_iter().zip(weights(40)) {
        let found = loaded.take(&one.name, &one.shape).unwrap();
        for ((a, b), found) in one.data.iter().zip(&two.data).zip(found) {
            assert_eq!(found, 0.75 * a + 0.25 * b);
        }
    }
    assert!(loaded.is_empty());
    // One alone, and a package in place of one that it is made of.
    mean(&[&a], &[0.1], &b).unwrap();
    let mut loaded = load(memory(&files(&b))).unwrap();
    assert_eq!(loaded.take("b", &[3]).unwrap(), weights(3)[1].data);
}

#[test]
fn quantised_weights_count_as_the_floats_they_stand_for() {
    let place = tempfile::tempdir().unwrap();
    let [a, b, to] = ["a", "b", "to"].map(|name| place.path().join(name));
    float_package(&a, weights(3), Dtype::F32, 1 << 20);
    run(
        &a,
        &b,
        &adem_package::quant::QuantizeOptions::new(Scheme::Q4),
    )
    .unwrap();
    mean(&[&a, &b], &[1.0, 1.0], &to).unwrap();
    let [mut from, mut packed, mut found] =
        [&a, &b, &to].map(|folder| load(memory(&files(folder))).unwrap());
    let [from, packed, found] =
        [&mut from, &mut packed, &mut found].map(|it| it.take("a.weight", &[4, 64]).unwrap());
    assert_ne!(from, packed);
    for ((from, packed), found) in from.iter().zip(&packed).zip(&found) {
        assert_eq!(*found, 0.5 * from + 0.5 * packed);
    }
}

#[test]
fn packages_of_different_models_have_no_mean() {
    let place = tempfile::tempdir().unwrap();
    let [a, b, to] = ["a", "b", "to"].map(|name| place.path().join(name));
    float_package(&a, weights(3), Dtype::F32, 1 << 20);
    let refused = |tensors: Vec<NewTensor>, says: &str| {
        float_package(&b, tensors, Dtype::F32, 1 << 20);
        let error = mean(&[&a, &b], &[1.0, 1.0], &to).unwrap_err();
        names(&error, &[says]);
        assert!(!to.exists());
    };
    refused(vec![tensor("b", &[3], 1)], "`a.weight`");
    refused(
        vec![tensor("a.weight", &[64, 4], 1), tensor("b", &[3], 1)],
        "`a.weight`",
    );
    let mut more = weights(1);
    more.push(tensor("c", &[1], 1));
    refused(more, "`c`");
    let mut other = draft();
    other.model = serde_json::json!({"llama": {"dim": 9}});
    write(&b, other, TOKENIZER, weights(1), &WriteOptions::default()).unwrap();
    names(
        &mean(&[&a, &b], &[1.0, 1.0], &to).unwrap_err(),
        &["package 1", "`model`"],
    );
    write(&b, draft(), b"{}", weights(1), &WriteOptions::default()).unwrap();
    names(
        &mean(&[&a, &b], &[1.0, 1.0], &to).unwrap_err(),
        &["another tokenizer"],
    );
    for shares in [
        &[1.0][..],
        &[1.0, 0.0],
        &[1.0, f64::NAN],
        &[1.0, -1.0],
        &[f64::MAX, f64::MAX],
    ] {
        let error = mean(&[&a, &a], shares, &to).unwrap_err();
        assert!(matches!(error, PackageError::Shares { .. }), "{error}");
    }
    assert!(matches!(
        mean(&[], &[], &to),
        Err(PackageError::Shares { .. })
    ));
    assert!(!to.exists());
}
