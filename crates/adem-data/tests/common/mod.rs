//! Shared by the tests: where the golden values are, and pictures made by hand.
#![allow(dead_code)] // each test binary uses its own part

pub mod pictures;

use std::path::PathBuf;

/// The golden folder: `ADEM_GOLDEN`, or the compact copy in the repository.
pub fn golden(folder: &str) -> PathBuf {
    let root = std::env::var_os("ADEM_GOLDEN").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden"),
        PathBuf::from,
    );
    let path = root.join(folder);
    assert!(
        path.is_dir(),
        "no golden values at {}: set ADEM_GOLDEN to a folder that has them",
        path.display()
    );
    path
}

pub fn read_json(path: PathBuf) -> serde_json::Value {
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
