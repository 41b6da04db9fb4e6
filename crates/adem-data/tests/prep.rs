//! Resize and normalisation against Pillow and torchvision, for every picture the golden folder has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use adem_data::image::{Limits, Normalisation, decode, normalise, resize_bicubic};
use common::{golden, read_json};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// Each `NAME.safetensors` beside the picture `NAME.png`.
fn cases() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let folder = golden("prep");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "safetensors") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let picture = std::fs::read(path.with_extension("png")).unwrap();
            cases.push((name, picture, std::fs::read(&path).unwrap()));
        }
    }
    assert!(!cases.is_empty(), "no pictures in {}", folder.display());
    cases
}

fn floats(tensor: &TensorView<'_>) -> Vec<f32> {
    let words = tensor.data().chunks_exact(4);
    words
        .map(|w| f32::from_le_bytes(w.try_into().unwrap()))
        .collect()
}

#[test]
fn resize_equals_pillow_bit_for_bit() {
    for (name, picture, expected) in cases() {
        let expected = SafeTensors::deserialize(&expected).unwrap();
        let expected = expected.tensor("resized_u8").unwrap();
        let &[height, width, 3] = expected.shape() else {
            panic!("{name}: resized_u8 has shape {:?}", expected.shape());
        };
        let picture = decode(&picture, &Limits::default()).unwrap();
        let ours = resize_bicubic(&picture, width as u32, height as u32);
        let differing = ours
            .as_raw()
            .iter()
            .zip(expected.data())
            .filter(|(a, b)| a != b);
        assert_eq!(differing.count(), 0, "{name}: samples differ");
        assert_eq!(ours.as_raw().len(), expected.data().len(), "{name}");
    }
}

/// A full set holds whole planes, `clip_norm` and `imagenet_norm` `[3, H, W]`; a compact one the
/// first row of each, `clip_norm_row0` and `imagenet_norm_row0` `[3, W]`.
#[test]
fn normalised_planes_equal_torchvision() {
    let mut compared = 0;
    for (name, picture, expected) in cases() {
        let expected = SafeTensors::deserialize(&expected).unwrap();
        let picture = decode(&picture, &Limits::default()).unwrap();
        for (kind, by) in [
            ("clip_norm", Normalisation::CLIP),
            ("imagenet_norm", Normalisation::IMAGENET),
        ] {
            let shape = expected.tensor("resized_u8").unwrap().shape().to_vec();
            let (height, width) = (shape[0], shape[1]);
            let ours = normalise(&resize_bicubic(&picture, width as u32, height as u32), &by);
            let (theirs, rows) = match expected.tensor(kind) {
                Ok(planes) => (floats(&planes), height),
                Err(_) => (
                    floats(&expected.tensor(&format!("{kind}_row0")).unwrap()),
                    1,
                ),
            };
            assert_eq!(theirs.len(), 3 * rows * width, "{name} {kind}");
            for (plane, theirs) in ours.chunks(height * width).zip(theirs.chunks(rows * width)) {
                for (a, b) in plane.iter().zip(theirs) {
                    assert!((a - b).abs() <= 1e-6, "{name} {kind}: {a} against {b}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 0);
}

#[test]
fn constants_are_those_of_the_golden_set() {
    let index = read_json(golden("prep").join("index.json"));
    for (kind, ours) in [
        ("clip", Normalisation::CLIP),
        ("imagenet", Normalisation::IMAGENET),
    ] {
        for (field, ours) in [("mean", ours.mean), ("std", ours.std)] {
            let theirs: [f64; 3] =
                serde_json::from_value(index[format!("{kind}_{field}")].clone()).unwrap();
            assert_eq!(ours, theirs.map(|x| x as f32), "{kind} {field}");
        }
    }
}
