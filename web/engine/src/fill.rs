//! Bringing the files of a package into its folder of the store.

use crate::{
    opfs::{Refusal, Writer},
    store::Model,
};
use adem_package::{Manifest, PackageError, SourceError, WeightSource};
use adem_protocol::Loading;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::cell::Cell;

/// Bytes asked for at once; what is lost when a download is cut.
const PART: u64 = 1 << 19;
/// Parts on their way at once.
const AHEAD: usize = 3;

/// Why a package could not be brought here.
pub(crate) enum Fault {
    /// Its place did not give it.
    Package(PackageError),
    /// The store did not take it.
    Store(Refusal),
}

impl From<PackageError> for Fault {
    fn from(error: PackageError) -> Self {
        Fault::Package(error)
    }
}

impl From<SourceError> for Fault {
    fn from(error: SourceError) -> Self {
        Fault::Package(error.into())
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault::Store(refusal)
    }
}

/// Completes `model` from `source`: what is here stays, what was begun goes on where it ended.
/// Lengths are checked, digests are not.
pub(crate) async fn fill<S: WeightSource>(
    model: &Model,
    manifest: &Manifest,
    source: &S,
    mut progress: impl FnMut(Loading),
) -> Result<Loading, Fault> {
    let tokenizer = &manifest.tokenizer;
    let mut files = vec![(&tokenizer.file, tokenizer.bytes)];
    files.extend(manifest.shards.iter().map(|it| (&it.file, it.bytes)));
    let mut now = Loading {
        total: files.iter().map(|(_, bytes)| bytes).sum(),
        ..Loading::default()
    };
    let mut missing = Vec::new();
    for (file, bytes) in files {
        let here = model.length(file).await?;
        // More than there should be was never ours.
        let here = if here > bytes { 0 } else { here };
        now.cached += here;
        if here < bytes {
            missing.push((file, here, bytes));
        }
    }
    progress(now);
    for (file, here, expected) in missing {
        let found = source.len(file).await?;
        if found != expected {
            let file = file.clone();
            return Err(Fault::Package(PackageError::Length {
                file,
                expected,
                found,
            }));
        }
        let writer = model.folder.write(file).await?;
        writer.truncate(here)?;
        let fetched = Cell::new(now.fetched);
        let arrived = |bytes: u64| {
            fetched.set(fetched.get() + bytes);
            progress(Loading {
                fetched: fetched.get(),
                ..now
            });
        };
        continue_file(&writer, file, here, expected, source, arrived).await?;
        now.fetched = fetched.get();
    }
    Ok(now)
}

/// Appends what is missing of one file. The first part goes alone: a server without range requests
/// answers it with the whole file, which is then at hand for the others.
async fn continue_file<S: WeightSource>(
    writer: &Writer,
    file: &str,
    here: u64,
    end: u64,
    source: &S,
    mut arrived: impl FnMut(u64),
) -> Result<(), Fault> {
    let mut place = here;
    let first = end.min(here + PART);
    let bytes = source.read(file, here..first).await?;
    writer.append(place, &bytes)?;
    place = first;
    arrived(first - here);
    let parts = (place..end).step_by(PART as usize);
    let mut parts = stream::iter(parts)
        .map(|start| source.read(file, start..end.min(start + PART)))
        .buffered(AHEAD);
    while let Some(bytes) = parts.try_next().await? {
        writer.append(place, &bytes)?;
        place += bytes.len() as u64;
        arrived(bytes.len() as u64);
    }
    Ok(())
}
