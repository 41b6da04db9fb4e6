//! Quantised packages as sources.

use std::fs;

use adem_import::{ImportOptions, Storage};
use adem_package::quant::{Method, QuantizeOptions, ScaleType, Scheme, quantize};
use adem_package::{Dtype, Folder, Package, Storage as Stored};
use pollster::block_on;

use crate::folders::{Place, assert_equal, kinds, package};
use crate::resuming::{by_name, place};
use crate::whole::{options as of_config, sources};

fn with(storage: Storage, dtype: Option<Dtype>) -> ImportOptions {
    ImportOptions {
        storage,
        dtype,
        ..ImportOptions::default()
    }
}

/// A quantised language model in the folder `first`.
fn first(scheme: Scheme) -> Place {
    let (place, _) = place();
    let options = ImportOptions {
        method: Method::Rtn,
        ..with(Storage::Quantised(scheme), None)
    };
    place.import(&["llama"], &options).unwrap();
    fs::rename(place.path("package"), place.path("first")).unwrap();
    place
}

#[test]
fn blocks_stay_as_they_are_and_the_package_is_the_same() {
    for scheme in [Scheme::Q4, Scheme::Q8] {
        let place = first(scheme);
        for storage in [Storage::AsFound, Storage::Quantised(scheme)] {
            let options = ImportOptions {
                method: Method::Rtn,
                ..with(storage, None)
            };
            let report = place.import(&["first"], &options).unwrap();
            assert!(report.tensors.iter().all(|it| it.exact));
            let [found, wanted] = ["package", "first"].map(|it| by_name(&place.path(it)));
            assert!(found == wanted, "{storage:?}");
        }
        // The method is the package's, whatever is asked for: nothing was quantised.
        place.import(&["first"], &ImportOptions::default()).unwrap();
        let quantisation = place.package().0.quantisation.unwrap();
        assert_eq!(quantisation.method, Method::Rtn);
    }
}

#[test]
fn scales_in_single_precision_stay_so() {
    let (place, _) = place();
    place
        .import(&["llama"], &with(Storage::Float, None))
        .unwrap();
    let float = block_on(Package::open(Folder::new(place.path("package")))).unwrap();
    let options = QuantizeOptions {
        scale_type: ScaleType::F32,
        ..QuantizeOptions::new(Scheme::Q4)
    };
    let never = std::sync::atomic::AtomicBool::new(false);
    block_on(quantize(
        &float,
        &place.path("first"),
        &options,
        |_| {},
        &never,
    ))
    .unwrap();
    fs::remove_dir_all(place.path("package")).unwrap();
    place.import(&["first"], &ImportOptions::default()).unwrap();
    let shards = |name: &str| {
        let mut files = by_name(&place.path(name));
        files.retain(|path, _| path.extension().is_some_and(|it| it == "safetensors"));
        files
    };
    assert!(shards("package") == shards("first"));
    let (mut manifest, _) = place.package();
    let quantisation = manifest.quantisation.take().unwrap();
    assert!(
        quantisation
            .tensors
            .iter()
            .all(|it| it.scale == ScaleType::F32)
    );
}

#[test]
fn as_floats_they_are_what_the_package_says() {
    for scheme in [Scheme::Q4, Scheme::Q8] {
        let place = first(scheme);
        let report = place
            .import(&["first"], &with(Storage::Float, Some(Dtype::F32)))
            .unwrap();
        let wanted: Vec<_> = package(&place.path("first")).1.into_values().collect();
        let (manifest, found) = place.package();
        assert!(manifest.quantisation.is_none());
        assert_equal(&found, &wanted, scheme.name());
        let notes = report.notes.join("\n");
        let said = format!(
            "tensors of {} were read as floats and stored as F32",
            scheme.name()
        );
        assert!(notes.contains(&said), "{notes}");
    }
}

#[test]
fn other_blocks_are_made_of_the_values_they_have() {
    let place = first(Scheme::Q4);
    place
        .import(&["first"], &with(Storage::Float, Some(Dtype::F32)))
        .unwrap();
    fs::rename(place.path("package"), place.path("float")).unwrap();
    let eight = with(Storage::Quantised(Scheme::Q8), Some(Dtype::F32));
    place.import(&["float"], &eight).unwrap();
    fs::rename(place.path("package"), place.path("wanted")).unwrap();
    let report = place.import(&["first"], &eight).unwrap();
    let wanted: Vec<_> = package(&place.path("wanted")).1.into_values().collect();
    assert_equal(&place.package().1, &wanted, "q8 of q4");
    assert_eq!(kinds(&place.path("package"))["output.weight"], "q8");
    let notes = report.notes.join("\n");
    assert!(
        notes.contains("tensors of q4 were read as floats and stored as q8"),
        "{notes}"
    );
}

#[test]
fn a_tower_and_adapters_are_added_to_a_quantised_language_model() {
    let place = Place::new();
    let (weights, config) = sources(&place, "main");
    let options = of_config(&config);
    let quantised = ImportOptions {
        storage: Storage::Quantised(Scheme::Q8),
        ..options.clone()
    };
    place.import(&["llama"], &quantised).unwrap();
    fs::rename(place.path("package"), place.path("first")).unwrap();
    let report = place
        .import(&["first", "clip.pth", "checkpoint_7B.pth"], &options)
        .unwrap();
    assert!(report.tensors.iter().all(|it| it.exact));
    let stored = |name: &str| {
        let package = block_on(Package::open(Folder::new(place.path(name)))).unwrap();
        let weights = block_on(package.load_weights(|_| {})).unwrap();
        let blocks = weights.unused().filter_map(|it| match it.storage {
            Stored::Quantised(view) => Some((
                it.name.to_owned(),
                view.word_bytes().to_vec(),
                view.scale_bytes().to_vec(),
            )),
            Stored::Float { .. } => None,
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks.sort();
        blocks
    };
    assert!(stored("first").len() > 4);
    assert_eq!(stored("package"), stored("first"));
    // What was not quantised is the golden model's.
    let (_, found) = place.package();
    let kinds = kinds(&place.path("package"));
    let floats: Vec<_> = weights
        .into_iter()
        .filter(|it| kinds[&it.name] == "F32")
        .collect();
    assert!(
        floats
            .iter()
            .any(|it| it.name.starts_with("backbone.visual."))
    );
    let found = found.into_iter().filter(|(name, _)| kinds[name] == "F32");
    assert_equal(&found.collect(), &floats, "floats");
}

#[test]
fn a_manifest_that_is_not_of_its_shards_is_refused_by_name() {
    let place = first(Scheme::Q4);
    let path = place.path("first/adem.json");
    let text = fs::read_to_string(&path).unwrap();
    for (from, to, word) in [
        (
            "\"scheme\": \"q4\"",
            "\"scheme\": \"q8\"",
            "U32 [64, 16], which is U32 [64, 8]",
        ),
        (
            "\"scale\": \"f16\"",
            "\"scale\": \"f32\"",
            "F32 [64, 2], which is F16 [64, 2]",
        ),
    ] {
        fs::write(&path, text.replace(from, to)).unwrap();
        let error = place.refused(&["first"], &ImportOptions::default());
        assert!(
            error.contains(word) && error.contains("weights-00001"),
            "{error}"
        );
    }
}
