//! Shared by the tests: where the golden values are, and pictures made by hand.
#![allow(dead_code)] // each test binary uses its own part

pub mod pictures;

use std::path::PathBuf;

/// A file or folder of golden values: in `ADEM_GOLDEN`, or the compact copy in the repository.
pub fn golden(name: &str) -> PathBuf {
    let path = folder("ADEM_GOLDEN", "../../tests/golden").join(name);
    assert!(
        path.exists(),
        "no golden values at {}: set ADEM_GOLDEN to a folder that has them",
        path.display()
    );
    path
}

/// The folder of test data that is not part of the repository: `ADEM_DATA`, else the one beside the
/// repository. It may be absent.
pub fn data() -> PathBuf {
    folder("ADEM_DATA", "../../../shared/data")
}

fn folder(variable: &str, otherwise: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(otherwise),
        PathBuf::from,
    )
}

pub fn read_json(path: PathBuf) -> serde_json::Value {
    let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
