//! Packages that were damaged on their way.

use std::fs;
use std::path::{Path, PathBuf};

use adem_package::{Digest, MANIFEST_FILE};
use serde_json::{Value, json};

/// A way to damage a package, and words of its refusal.
pub struct Damage {
    pub name: &'static str,
    pub harm: fn(&Path),
    pub says: &'static [&'static str],
}

/// Every damage; the second shard is the one harmed.
pub fn damages() -> Vec<Damage> {
    vec![
        Damage {
            name: "missing shard",
            harm: |folder| fs::remove_file(shard(folder)).unwrap(),
            says: &[
                "`weights-00002-of-",
                "is missing from",
                "copy the whole package",
            ],
        },
        Damage {
            name: "short shard",
            harm: |folder| {
                let bytes = fs::read(shard(folder)).unwrap();
                fs::write(shard(folder), &bytes[..bytes.len() - 100]).unwrap();
            },
            says: &[
                "`weights-00002-of-",
                "where the manifest says",
                "copy the package again",
            ],
        },
        Damage {
            name: "altered shard",
            harm: |folder| {
                let mut bytes = fs::read(shard(folder)).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                fs::write(shard(folder), bytes).unwrap();
            },
            says: &["`weights-00002-of-", "was altered", "SHA-256"],
        },
        Damage {
            name: "unknown version",
            harm: |folder| change(folder, |manifest| manifest["format"] = json!(99)),
            says: &["format version 99", "this build reads version 1"],
        },
        Damage {
            name: "NaN weights",
            harm: poison,
            says: &["tensor `", "NaN"],
        },
        Damage {
            name: "no package",
            harm: |folder| fs::remove_file(folder.join(MANIFEST_FILE)).unwrap(),
            says: &["`adem.json` is missing"],
        },
    ]
}

/// The package's second shard.
fn shard(folder: &Path) -> PathBuf {
    let mut shards: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    shards.sort();
    shards.swap_remove(1)
}

fn change(folder: &Path, change: impl FnOnce(&mut Value)) {
    let path = folder.join(MANIFEST_FILE);
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// Makes the last value of the second shard NaN and the manifest agree with it, as a training run
/// that went wrong would.
fn poison(folder: &Path) {
    let mut bytes = fs::read(shard(folder)).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(shard(folder), &bytes).unwrap();
    change(folder, |manifest| {
        manifest["shards"][1]["sha256"] = json!(Digest::of(&bytes).to_string());
    });
}
