//! What is written is what is read.

use std::collections::BTreeSet;

use adem_package::{
    Dtype, Folder, MANIFEST_FILE, Manifest, NewTensor, Package, PackageError, Progress, Storage,
    WriteOptions, limits, verify, write,
};
use half::{bf16, f16};
use pollster::block_on;
use proptest::prelude::*;
use safetensors::SafeTensors;

use crate::craft::{TOKENIZER, draft, files, load, memory, names, tensor, tensors};

fn options(dtype: Dtype, shard_bytes: u64) -> WriteOptions {
    WriteOptions { dtype, shard_bytes }
}

#[test]
fn values_come_back_as_the_dtype_rounds_them() {
    let values = [0.0, -0.0, 1.0, 0.1, -2.7, 1e-7, 1e-40, 60000.0, 1.000_488_4];
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let folder = tempfile::tempdir().unwrap();
        let one = NewTensor {
            name: "a".into(),
            shape: vec![3, 3],
            data: values.to_vec(),
        };
        write(
            folder.path(),
            draft(),
            TOKENIZER,
            [one],
            &options(dtype, 1 << 20),
        )
        .unwrap();
        let mut weights = load(memory(&files(folder.path()))).unwrap();
        let view = weights.get("a").unwrap();
        assert!(matches!(view.storage, Storage::Float { dtype: found, .. } if found == dtype));
        assert_eq!(view.shape, [3, 3]);
        let expected = values.map(|value| match dtype {
            Dtype::F32 => value,
            Dtype::F16 => f16::from_f32(value).to_f32(),
            Dtype::BF16 => bf16::from_f32(value).to_f32(),
        });
        let found = weights.take("a", &[3, 3]).unwrap();
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{dtype:?}");
    }
}

#[test]
fn a_folder_gives_manifest_tokenizer_and_progress() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(Dtype::F32, 400);
    let written = write(folder.path(), draft(), TOKENIZER, tensors(), &options).unwrap();
    assert!(written.shards.len() > 1);
    let package = block_on(Package::open(Folder::new(folder.path()))).unwrap();
    assert_eq!(package.manifest(), &written);
    assert_eq!(package.tokenizer(), TOKENIZER);
    let mut seen: Vec<Progress> = Vec::new();
    block_on(package.load_weights(|now| seen.push(now))).unwrap();
    assert!(seen.is_sorted_by_key(|now| (now.bytes, now.shards)));
    let last = seen.last().unwrap();
    assert_eq!(last.bytes, written.weight_bytes());
    assert_eq!(
        (last.bytes, last.shards),
        (last.total_bytes, last.total_shards)
    );
    let verified = block_on(verify(Folder::new(folder.path()), |_| {})).unwrap();
    assert_eq!(verified, written);
}

#[test]
fn shards_keep_to_their_limit_and_their_names_count_them() {
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<_> = (0..40)
        .map(|i| tensor(&format!("layers.{i}"), &[5, i], 7))
        .collect();
    let manifest = write(
        folder.path(),
        draft(),
        TOKENIZER,
        many,
        &options(Dtype::F16, 700),
    )
    .unwrap();
    let count = manifest.shards.len();
    assert!(count > 5);
    for (index, shard) in manifest.shards.iter().enumerate() {
        let name = format!("weights-{:05}-of-{count:05}.safetensors", index + 1);
        assert_eq!(shard.file, name);
        let length = folder.path().join(&shard.file).metadata().unwrap().len();
        assert_eq!(length, shard.bytes);
        assert!(length <= 700, "{length}");
    }
    let listed: Vec<_> = manifest
        .shards
        .iter()
        .flat_map(|shard| &shard.tensors)
        .collect();
    assert_eq!(manifest.tensors, 40);
    assert!(listed.is_sorted());
}

#[test]
fn the_same_tensors_in_another_order_give_the_same_bytes() {
    let [forth, back] = [0, 1].map(|turn| {
        let folder = tempfile::tempdir().unwrap();
        let mut tensors = tensors();
        if turn == 1 {
            tensors.reverse();
        }
        write(
            folder.path(),
            draft(),
            TOKENIZER,
            tensors,
            &options(Dtype::BF16, 300),
        )
        .unwrap();
        files(folder.path())
    });
    assert_eq!(forth, back);
}

#[test]
fn the_manifest_is_the_same_whatever_order_the_model_was_given_in() {
    let mut draft = draft();
    draft.model = serde_json::from_str(r#"{"b": {"z": 1, "y": 2}, "a": 3}"#).unwrap();
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        draft,
        TOKENIZER,
        tensors(),
        &WriteOptions::default(),
    )
    .unwrap();
    let text = std::fs::read_to_string(folder.path().join(MANIFEST_FILE)).unwrap();
    let place = |key: &str| text.find(key).unwrap();
    assert!(place("\"a\"") < place("\"b\"") && place("\"y\"") < place("\"z\""));
}

#[test]
fn shards_are_files_other_readers_of_safetensors_accept() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write(
        folder.path(),
        draft(),
        TOKENIZER,
        tensors(),
        &options(Dtype::F32, 1 << 20),
    )
    .unwrap();
    let bytes = std::fs::read(folder.path().join(&manifest.shards[0].file)).unwrap();
    let (header, _) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header % 8, 0, "values are aligned");
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), tensors().len());
    for tensor in tensors() {
        let view = read.tensor(&tensor.name).unwrap();
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        assert_eq!(view.shape(), tensor.shape);
        let expected: Vec<u8> = tensor.data.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(view.data(), expected);
    }
}

#[test]
fn a_taken_tensor_is_gone_and_the_rest_is_unused() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        draft(),
        TOKENIZER,
        tensors(),
        &WriteOptions::default(),
    )
    .unwrap();
    let mut weights = load(memory(&files(folder.path()))).unwrap();
    let unused = |weights: &adem_package::Weights| {
        weights
            .unused()
            .map(|view| view.name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        unused(&weights),
        ["adapter_emb1", "alpha", "layers.0.wq.weight", "norm.weight"]
    );

    let missing = weights.take("output.weight", &[8]).unwrap_err();
    assert!(
        matches!(missing, PackageError::MissingTensor { .. }),
        "{missing}"
    );
    names(&missing, &["output.weight"]);
    let shape = weights.take("norm.weight", &[2, 4]).unwrap_err();
    assert!(matches!(shape, PackageError::Shape { .. }), "{shape}");
    names(&shape, &["norm.weight", "[8]", "[2, 4]"]);
    assert!(weights.contains("norm.weight"));

    assert_eq!(
        weights.take("norm.weight", &[8]).unwrap(),
        tensor("", &[8], 1).data
    );
    let again = weights.take("norm.weight", &[8]).unwrap_err();
    assert!(matches!(again, PackageError::Taken { .. }), "{again}");
    assert!(!weights.contains("norm.weight"));
    assert_eq!(weights.take("alpha", &[]).unwrap().len(), 1);
    assert_eq!(unused(&weights), ["adapter_emb1", "layers.0.wq.weight"]);
    assert_eq!(weights.len(), 2);
}

#[test]
fn a_shard_longer_than_one_part_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let elements = (limits::PART_BYTES * 5 / 2 / 4) as usize;
    let big = tensor("big", &[elements], 9);
    let expected = big.data.clone();
    write(
        folder.path(),
        draft(),
        TOKENIZER,
        [big],
        &options(Dtype::F32, limits::SHARD_BYTES),
    )
    .unwrap();
    let package = block_on(Package::open(Folder::new(folder.path()))).unwrap();
    let mut steps = 0;
    let mut weights = block_on(package.load_weights(|_| steps += 1)).unwrap();
    assert_eq!(steps, 4, "three parts and a shard");
    assert!(weights.take("big", &[elements]).unwrap() == expected);
}

fn any_tensors() -> impl Strategy<Value = Vec<NewTensor>> {
    let shape = proptest::collection::vec(0usize..5, 0..4);
    let tensor = ("[a-z\"\\\\é.]{1,12}", shape).prop_flat_map(|(name, shape)| {
        let count = shape.iter().product::<usize>();
        let finite = proptest::num::f32::NORMAL | proptest::num::f32::SUBNORMAL;
        proptest::collection::vec(finite, count).prop_map(move |data| NewTensor {
            name: name.clone(),
            shape: shape.clone(),
            data,
        })
    });
    proptest::collection::vec(tensor, 1..12).prop_map(|mut tensors| {
        let mut seen = BTreeSet::new();
        tensors.retain(|tensor| seen.insert(tensor.name.clone()));
        tensors
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_tensors_come_back(tensors in any_tensors(), shard_bytes in 600u64..2000) {
        let folder = tempfile::tempdir().unwrap();
        let options = options(Dtype::F32, shard_bytes);
        let written =
            write(folder.path(), draft(), TOKENIZER, tensors.clone(), &options).unwrap();
        prop_assert_eq!(written.tensors, tensors.len() as u64);
        let all = files(folder.path());
        prop_assert_eq!(Manifest::parse(&all[MANIFEST_FILE]).unwrap(), written);
        let mut weights = load(memory(&all)).unwrap();
        for tensor in tensors {
            prop_assert_eq!(weights.take(&tensor.name, &tensor.shape).unwrap(), tensor.data);
        }
        prop_assert!(weights.is_empty());
    }
}
