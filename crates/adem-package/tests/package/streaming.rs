//! Packages written piece by piece.

use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use adem_package::quant::{Method, QuantizeOptions, ScaleType, Scheme, quantize};
use adem_package::{
    Dtype, Folder, Manifest, NewTensor, Package, PackageError, Sink, StreamOptions, StreamTensor,
    StreamWriter, WriteOptions, limits, verify, write,
};
use pollster::block_on;

use crate::craft::{TOKENIZER, draft, files, names, tensor};

pub fn tensors() -> Vec<NewTensor> {
    vec![
        tensor("norm.weight", &[64], 3),
        tensor("b.weight", &[6, 64], 1),
        tensor("a.weight", &[10, 32], 2),
        tensor("scalar", &[], 4),
    ]
}

pub fn plan(tensors: &[NewTensor], scheme: Option<Scheme>) -> Vec<StreamTensor> {
    let plan = tensors.iter().map(|it| StreamTensor {
        name: it.name.clone(),
        shape: it.shape.clone(),
        dtype: Dtype::F16,
        scheme,
        scale: ScaleType::F16,
    });
    plan.collect()
}

pub fn options(shard_bytes: u64) -> StreamOptions {
    StreamOptions {
        method: Method::Rtn,
        shard_bytes,
        ..StreamOptions::default()
    }
}

fn write_stream(
    folder: &Path,
    plan: &[StreamTensor],
    options: &StreamOptions,
    fill: impl Fn(&StreamTensor, &mut Sink<'_>) -> Result<(), PackageError> + Sync,
) -> Result<Manifest, PackageError> {
    let stop = AtomicBool::new(false);
    StreamWriter::open(folder, draft(), TOKENIZER, plan, options, &stop)?.write(fill, |_| {})
}

/// Writes `tensors`, giving each to its sink in the way `give` does.
fn stream(
    folder: &Path,
    tensors: &[NewTensor],
    scheme: Option<Scheme>,
    give: impl Fn(&NewTensor, &mut Sink<'_>) -> Result<(), PackageError> + Sync,
) -> Result<Manifest, PackageError> {
    let plan = plan(tensors, scheme);
    write_stream(folder, &plan, &options(1000), |it, sink| {
        let tensor = tensors.iter().find(|tensor| tensor.name == it.name);
        give(tensor.unwrap(), sink)
    })
}

#[test]
fn floats_piece_by_piece_are_the_package_that_is_written_at_once() {
    let (once, pieces) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at_once = WriteOptions {
        dtype: Dtype::F16,
        shard_bytes: 1000,
    };
    write(once.path(), draft(), TOKENIZER, tensors(), &at_once).unwrap();
    stream(pieces.path(), &tensors(), None, |tensor, sink| {
        assert_eq!(sink.scheme(), None);
        let mut parts = tensor.data.chunks(7);
        parts.try_for_each(|part| sink.values(part))
    })
    .unwrap();
    assert_eq!(files(pieces.path()), files(once.path()));
    // As they are stored: the same again.
    stream(pieces.path(), &tensors(), None, |tensor, sink| {
        let half = |value: &f32| half::f16::from_f32(*value).to_le_bytes();
        let bytes: Vec<u8> = tensor.data.iter().flat_map(half).collect();
        bytes.chunks(6).try_for_each(|part| sink.stored(part))
    })
    .unwrap();
    assert_eq!(files(pieces.path()), files(once.path()));
}

#[test]
fn weights_quantised_piece_by_piece_are_those_quantised_after() {
    let [float, after, pieces] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let at_once = WriteOptions {
        dtype: Dtype::F16,
        shard_bytes: 1000,
    };
    write(float.path(), draft(), TOKENIZER, tensors(), &at_once).unwrap();
    let package = block_on(Package::open(Folder::new(float.path()))).unwrap();
    let quantising = QuantizeOptions {
        method: Method::Rtn,
        shard_bytes: 1000,
        ..QuantizeOptions::new(Scheme::Q4)
    };
    let never = std::sync::atomic::AtomicBool::new(false);
    block_on(quantize(
        &package,
        after.path(),
        &quantising,
        |_| {},
        &never,
    ))
    .unwrap();
    let manifest = stream(
        pieces.path(),
        &tensors(),
        Some(Scheme::Q4),
        |tensor, sink| {
            let quantised = tensor.name.ends_with("weight") && tensor.shape.len() == 2;
            assert_eq!(sink.scheme().is_some(), quantised, "{}", tensor.name);
            let row = tensor.shape.last().copied().unwrap_or(1);
            tensor
                .data
                .chunks(row)
                .try_for_each(|part| sink.values(part))
        },
    )
    .unwrap();
    let shards = |folder: &Path| {
        let all = files(folder).into_iter();
        all.filter(|(name, _)| name.ends_with("safetensors"))
            .collect::<Vec<_>>()
    };
    assert_eq!(shards(pieces.path()), shards(after.path()));
    block_on(verify(Folder::new(pieces.path()), |_| {})).unwrap();
    assert_eq!(manifest.quantisation.unwrap().tensors.len(), 2);

    // However many shards are written at once.
    for jobs in [1, 2, 7] {
        let folder = tempfile::tempdir().unwrap();
        let plan = plan(&tensors(), Some(Scheme::Q4));
        let settings = StreamOptions {
            jobs: NonZeroUsize::new(jobs),
            ..options(1000)
        };
        write_stream(folder.path(), &plan, &settings, |it, sink| {
            let all = tensors();
            let tensor = all.iter().find(|tensor| tensor.name == it.name).unwrap();
            sink.values(&tensor.data)
        })
        .unwrap();
        assert_eq!(files(folder.path()), files(pieces.path()), "{jobs} jobs");
    }

    // Blocks as they are stored are blocks all the same.
    let blocks = tempfile::tempdir().unwrap();
    let weights = block_on(package_at(pieces.path()).load_weights(|_| {})).unwrap();
    stream(
        blocks.path(),
        &tensors(),
        Some(Scheme::Q4),
        |tensor, sink| match weights.get(&tensor.name).unwrap().storage {
            adem_package::Storage::Float { bytes, .. } => sink.stored(bytes),
            adem_package::Storage::Quantised(view) => {
                sink.blocks(view.word_bytes(), view.scale_bytes())
            }
        },
    )
    .unwrap();
    assert_eq!(shards(blocks.path()), shards(pieces.path()));
}

fn package_at(folder: &Path) -> Package<Folder> {
    block_on(Package::open(Folder::new(folder))).unwrap()
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let whole = |tensor: &NewTensor, sink: &mut Sink<'_>| sink.values(&tensor.data);
    stream(folder.path(), &tensors(), None, whole).unwrap();
    let before = files(folder.path());
    type Give = fn(&NewTensor, &mut Sink<'_>) -> Result<(), PackageError>;
    let faults: [(Option<Scheme>, Give, &str); 9] = [
        (None, |_, _| Ok(()), "0 of 320"),
        (None, |it, sink| sink.values(&it.data[1..]), "319 of 320"),
        (
            None,
            |it, sink| sink.values(&it.data).and_then(|()| sink.values(&[1.0])),
            "more than",
        ),
        (None, |_, sink| sink.values(&[f32::NAN]), "NaN"),
        (None, |_, sink| sink.values(&[1e6]), "F16"),
        (None, |_, sink| sink.stored(&[0]), "not its elements"),
        (None, |_, sink| sink.blocks(&[], &[]), "not quantised"),
        (
            Some(Scheme::Q8),
            |_, sink| sink.values(&[1.0]),
            "rows of 32",
        ),
        (
            Some(Scheme::Q8),
            |_, sink| {
                sink.blocks(&[0; 32], &[0xff, 0x7b])
                    .and_then(|()| sink.blocks(&[0; 32], &[0, 0x7c]))
            },
            "scale",
        ),
    ];
    for (scheme, give, word) in faults {
        let error = stream(folder.path(), &tensors(), scheme, give).unwrap_err();
        names(&error, &["`a.weight`", word]);
        assert_eq!(files(folder.path()), before, "{word}");
    }
    let mut twice = tensors();
    twice.push(tensor("scalar", &[1], 0));
    let error = stream(folder.path(), &twice, None, whole).unwrap_err();
    assert!(matches!(error, PackageError::Duplicate { .. }), "{error}");
    // A folder that was not there is not there after.
    let fresh = folder.path().join("fresh");
    stream(&fresh, &tensors(), None, |_, _| Err(PackageError::Stopped)).unwrap_err();
    assert!(!fresh.exists());
}

#[test]
fn a_weight_longer_than_a_shard_has_one_to_itself() {
    let folder = tempfile::tempdir().unwrap();
    let rows = limits::SHARD_BYTES as usize / 4 / 1024 + 1;
    let long = StreamTensor {
        name: "m.weight".into(),
        shape: vec![rows, 1024],
        dtype: Dtype::F32,
        scheme: None,
        scale: ScaleType::F16,
    };
    let short = |name: &str| StreamTensor {
        name: name.into(),
        shape: vec![1024],
        ..long.clone()
    };
    let plan = [short("a"), short("b"), long.clone(), short("z")];
    let row: Vec<f32> = (0..1024).map(|i| i as f32).collect();
    let fill = |tensor: &StreamTensor, sink: &mut Sink<'_>| {
        let rows = tensor.shape.iter().product::<usize>() / 1024;
        (0..rows).try_for_each(|_| sink.values(&row))
    };
    let full = StreamOptions::default();
    let manifest = write_stream(folder.path(), &plan, &full, fill).unwrap();
    let held: Vec<_> = manifest.shards.iter().map(|it| it.tensors.len()).collect();
    assert_eq!(held, [2, 1, 1]);
    assert!(manifest.shards[1].bytes > limits::SHARD_BYTES);
    block_on(verify(Folder::new(folder.path()), |_| {})).unwrap();

    // Two weights in one such shard are refused, whoever wrote the manifest.
    let path = folder.path().join("adem.json");
    let text = fs::read_to_string(&path).unwrap();
    let listed = text.replace("\"m.weight\"", "\"m.weight\", \"n.weight\"");
    let error = Manifest::parse(listed.as_bytes()).unwrap_err();
    names(&error, &["`shards[1].bytes`"]);

    // Under a lower limit there is no room for it.
    let low = options(1 << 20);
    let error = write_stream(folder.path(), &plan, &low, fill).unwrap_err();
    names(&error, &["`m.weight`", "1048576"]);
}
