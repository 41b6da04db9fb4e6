//! What quantising refuses, and that it leaves what was there until it is done.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use adem_package::quant::{QuantProgress, QuantizeOptions, ScaleType, Scheme, quantize};
use adem_package::{Dtype, Folder, MANIFEST_FILE, Manifest, Package, PackageError, verify};
use pollster::block_on;

use crate::craft::{files, names, tensor};
use crate::quantise::{float_package, options, run, weights};

#[test]
fn weights_that_cannot_be_quantised_are_named() {
    for (dtype, value, parts) in [
        (
            Dtype::F32,
            1e30,
            &["`a.weight`", "element 77", "single precision"][..],
        ),
        (Dtype::BF16, -1e30, &["`a.weight`", "element 77"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut one = tensor("a.weight", &[3, 64], 1);
        one.data[77] = value;
        float_package(&from, vec![one], dtype, 1 << 20);
        let error = run(&from, &to, &options(Scheme::Q8)).unwrap_err();
        assert!(matches!(error, PackageError::Unscalable { .. }), "{error}");
        names(&error, parts);
        assert!(!to.exists());
        let options = QuantizeOptions {
            scale_type: ScaleType::F32,
            ..options(Scheme::Q8)
        };
        run(&from, &to, &options).unwrap();
    }
}

/// Flips a bit of a float package's shard, its digest made right again.
fn poisoned(from: &Path, place_from_end: usize, bytes: &[u8]) {
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&files(from)[MANIFEST_FILE]).unwrap();
    let entry = &mut manifest["shards"][0];
    let path = from.join(entry["file"].as_str().unwrap());
    let mut shard = fs::read(&path).unwrap();
    let place = shard.len() - place_from_end;
    shard[place..place + bytes.len()].copy_from_slice(bytes);
    entry["sha256"] = adem_package::Digest::of(&shard).to_string().into();
    fs::write(&path, shard).unwrap();
    fs::write(from.join(MANIFEST_FILE), manifest.to_string()).unwrap();
}

#[test]
fn what_a_reader_refuses_is_refused_and_the_target_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let sound = || {
        let _ = fs::remove_dir_all(&from);
        let tensors = vec![tensor("a.weight", &[2, 32], 1), tensor("b", &[5], 2)];
        float_package(&from, tensors, Dtype::F32, 1 << 20);
    };
    sound();
    run(&from, &to, &options(Scheme::Q8)).unwrap();
    let before = files(&to);
    let refusal = || {
        let error = run(&from, &to, &options(Scheme::Q4)).unwrap_err();
        assert_eq!(files(&to), before);
        error
    };
    for (place, name) in [(4, "`b`"), (24, "`a.weight`")] {
        sound();
        poisoned(&from, place, &f32::NAN.to_le_bytes());
        let error = refusal();
        assert!(matches!(error, PackageError::NonFinite { .. }), "{error}");
        names(&error, &[name, "NaN"]);
    }
    sound();
    let shard = from.join("weights-00001-of-00001.safetensors");
    let whole = fs::read(&shard).unwrap();
    let mut altered = whole.clone();
    altered[whole.len() - 1] ^= 1;
    fs::write(&shard, altered).unwrap();
    assert!(matches!(refusal(), PackageError::Altered { .. }));
    fs::write(&shard, &whole[1..]).unwrap();
    assert!(matches!(refusal(), PackageError::Length { .. }));
    fs::remove_file(&shard).unwrap();
    assert!(matches!(refusal(), PackageError::Source(_)));
}

#[test]
fn a_quantised_package_is_not_quantised_again() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    float_package(&from, weights(), Dtype::F16, 1 << 20);
    run(&from, &to, &options(Scheme::Q8)).unwrap();
    let error = run(&to, &folder.path().join("third"), &options(Scheme::Q4)).unwrap_err();
    assert!(matches!(error, PackageError::Quantised { .. }), "{error}");
    names(&error, &["q8"]);
}

#[test]
fn names_that_would_occur_twice_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let tensors = vec![
        tensor("a.weight", &[2, 32], 1),
        tensor("a.weight.scale", &[5], 2),
    ];
    float_package(&from, tensors, Dtype::F32, 1 << 20);
    let error = run(&from, &to, &options(Scheme::Q4)).unwrap_err();
    assert!(matches!(error, PackageError::Duplicate { .. }), "{error}");
    names(&error, &["a.weight.scale"]);
}

#[test]
fn a_package_can_be_quantised_in_its_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (apart, place) = (folder.path().join("apart"), folder.path().join("place"));
    float_package(&place, weights(), Dtype::F16, 1700);
    run(&place, &apart, &options(Scheme::Q4)).unwrap();
    run(&place, &place, &options(Scheme::Q4)).unwrap();
    let [apart, place] = [apart, place].map(|path| {
        block_on(verify(Folder::new(&path), |_| {})).unwrap();
        let digests =
            |manifest: Manifest| -> Vec<_> { manifest.shards.iter().map(|s| s.sha256).collect() };
        let all = files(&path);
        (
            all.len(),
            digests(Manifest::parse(&all[MANIFEST_FILE]).unwrap()),
        )
    });
    assert_eq!(apart, place);
}

#[test]
fn progress_ends_where_it_said_and_a_stop_at_any_point_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (from, old) = (folder.path().join("from"), folder.path().join("old"));
    float_package(&from, weights(), Dtype::F16, 1700);
    run(&from, &old, &options(Scheme::Q8)).unwrap();
    let before = files(&old);
    let package = block_on(Package::open(Folder::new(&from))).unwrap();
    let quantise = |to: &PathBuf, stop_after: usize| {
        let (stop, steps) = (AtomicBool::new(stop_after == 0), Cell::new(0));
        let mut last = None;
        let progress = |now: QuantProgress| {
            steps.set(steps.get() + 1);
            last = Some(now);
            stop.store(steps.get() >= stop_after, Ordering::Relaxed);
        };
        let done = block_on(quantize(
            &package,
            to,
            &options(Scheme::Q4),
            progress,
            &stop,
        ));
        (done, steps.get(), last)
    };
    let (done, steps, last) = quantise(&folder.path().join("whole"), usize::MAX);
    done.unwrap();
    let last = last.unwrap();
    // Headers are not read a second time.
    assert!(
        last.bytes > last.total_bytes / 2 && last.bytes <= last.total_bytes,
        "{last:?}"
    );
    assert_eq!(
        (last.tensors, last.total_tensors),
        (weights().len(), weights().len())
    );
    for stop_after in 0..steps {
        let new = folder.path().join("new");
        for to in [&old, &new] {
            let (done, ..) = quantise(to, stop_after);
            let error = done.unwrap_err();
            assert!(
                matches!(error, PackageError::Stopped),
                "{stop_after}: {error}"
            );
        }
        assert_eq!(files(&old), before);
        assert!(!new.exists(), "{stop_after}");
    }
}
