//! Packages in which weights differ in their bits, and those that know what activations they meet.

use std::collections::BTreeMap;

use adem_package::quant::{
    Activations, Feedback, Importance, Method, QuantizeOptions, Recipe, ScaleType, Scheme, encode,
};
use adem_package::{Dtype, Folder, NewTensor, Storage, verify};
use pollster::block_on;

use crate::craft::{files, load, memory, names};
use crate::quantise::{float_package, options, run, weights};

#[test]
fn chosen_weights_are_in_eight_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    float_package(&from, weights(), Dtype::F32, 1 << 20);
    let with = |eight: &[&str], float: &[&str]| QuantizeOptions {
        eight_bits: eight.iter().map(|each| (*each).to_owned()).collect(),
        keep_float: float.iter().map(|each| (*each).to_owned()).collect(),
        ..options(Scheme::Q4)
    };
    let report = run(&from, &to, &with(&["layers.*"], &["*.wq.*"])).unwrap();
    let kind = |name: &str| {
        let all = &report.tensors;
        all.iter().find(|tensor| tensor.name == name).unwrap().kind
    };
    assert_eq!(kind("layers.0.w2.weight"), "q8");
    assert_eq!(kind("layers.0.wq.weight"), "F32");
    assert_eq!(kind("tok_embeddings.weight"), "q4");
    block_on(verify(Folder::new(&to), |_| {})).unwrap();
    let mut loaded = load(memory(&files(&to))).unwrap();
    let NewTensor { name, shape, data } = weights().swap_remove(1);
    let found = loaded.take(&name, &shape).unwrap();
    let off = data.iter().zip(&found).map(|(a, b)| (a - b).powi(2));
    let whole = data.iter().map(|a| a.powi(2));
    let relative = (off.sum::<f32>() / whole.sum::<f32>()).sqrt();
    // Eight bits leave less than a hundredth, four ten times as much.
    assert!(relative < 0.01, "{relative}");
    let error = run(&from, &to, &with(&["norm.*"], &[])).unwrap_err();
    names(&error, &["`norm.*`"]);
}

#[test]
fn activations_of_calibration_are_used_and_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    float_package(&from, weights(), Dtype::F32, 1 << 20);
    let name = "layers.0.wq.weight";
    let products = |at: usize, value: f32| {
        let mut products = vec![0.1; 64 * 64];
        (0..64).for_each(|i| products[i * 65] = 1.0);
        products[at] = value;
        products
    };
    let with = |products| QuantizeOptions {
        activations: BTreeMap::from([(name.to_owned(), Activations::Products(products))]),
        ..options(Scheme::Q4)
    };
    let report = run(&from, &to, &with(products(1, 0.1))).unwrap();
    let told = |name: &str| {
        let all = &report.tensors;
        all.iter()
            .find(|tensor| tensor.name == name)
            .unwrap()
            .product_error
    };
    assert!(told(name).is_some_and(|error| error > 0.0 && error < 0.2));
    assert_eq!(told("layers.0.w2.weight"), None);
    let data = weights().swap_remove(0).data;
    let feedback = Feedback::new(&products(1, 0.1), 64).unwrap();
    let recipe = Recipe {
        scheme: Scheme::Q4,
        scale: ScaleType::F16,
        method: Method::Search,
        importance: Some(Importance::Product(&feedback)),
    };
    let expected = encode(&data, 64, &recipe).unwrap();
    match load(memory(&files(&to)))
        .unwrap()
        .get(name)
        .unwrap()
        .storage
    {
        Storage::Quantised(blocks) => assert_eq!(blocks.words(), expected.words),
        Storage::Float { .. } => panic!("not quantised"),
    }
    // Off the diagonal a product may well be negative.
    run(&from, &to, &with(products(1, -0.1))).unwrap();
    for (products, says) in [
        (vec![1.0; 64], "64 numbers for 64 columns, not 4096"),
        (products(65, -1.0), "-1 for column 1"),
        (products(2, f32::INFINITY), "inf for column 2"),
    ] {
        let error = run(&from, &to, &with(products)).unwrap_err();
        names(&error, &[&format!("`{name}`"), says]);
    }
}
