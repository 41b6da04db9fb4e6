//! A shard on its way: a file under a temporary name, written at any place.

use std::io::{self, Seek, SeekFrom, Write};

use tempfile::NamedTempFile;

use super::fault;
use crate::digest::Digest;
use crate::error::PackageError;

/// Writes `bytes` from byte `place` of the file on.
pub(crate) fn put(
    staged: &mut NamedTempFile,
    place: u64,
    bytes: &[u8],
) -> Result<(), PackageError> {
    let file = staged.as_file_mut();
    let written = file
        .seek(SeekFrom::Start(place))
        .and_then(|_| file.write_all(bytes));
    written.map_err(|e| fault(staged.path(), e))
}

/// Brings the file to the disk and returns the digest of what is there.
pub(crate) fn sealed(staged: &mut NamedTempFile) -> Result<Digest, PackageError> {
    let seal = |file: &mut std::fs::File| -> io::Result<Digest> {
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        Digest::of_file(file.try_clone()?)
    };
    seal(staged.as_file_mut()).map_err(|e| fault(staged.path(), e))
}
