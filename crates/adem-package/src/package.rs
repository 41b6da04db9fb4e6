//! Opening, loading and verifying a package.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::error::PackageError;
use crate::header::{self, Entry};
use crate::limits;
use crate::manifest::{MANIFEST_FILE, Manifest, ShardEntry};
use crate::source::WeightSource;
use crate::weights::Weights;

/// A package whose manifest and tokenizer were read and checked; the weights are still where
/// they were.
#[derive(Debug)]
pub struct Package<S> {
    source: S,
    manifest: Manifest,
    tokenizer: Vec<u8>,
}

/// How far the weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of weights read.
    pub bytes: u64,
    /// Bytes of weights in the package.
    pub total_bytes: u64,
    /// Shards read and checked.
    pub shards: usize,
    /// Shards in the package.
    pub total_shards: usize,
}

impl<S: WeightSource> Package<S> {
    /// Reads and checks manifest and tokenizer.
    ///
    /// # Errors
    /// Everything [`Manifest::parse`] refuses, and a tokenizer that is missing or whose length
    /// or digest is not the manifest's.
    pub async fn open(source: S) -> Result<Self, PackageError> {
        let length = source.len(MANIFEST_FILE).await?;
        within(MANIFEST_FILE, length, limits::MANIFEST_BYTES)?;
        let manifest = Manifest::parse(&source.read(MANIFEST_FILE, 0..length).await?)?;
        let entry = &manifest.tokenizer;
        let tokenizer = whole(&source, &entry.file, entry.bytes, &entry.sha256, |_| {}).await?;
        Ok(Self {
            source,
            manifest,
            tokenizer,
        })
    }

    /// What the package says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The tokenizer file's bytes; their digest is the manifest's.
    pub fn tokenizer(&self) -> &[u8] {
        &self.tokenizer
    }

    /// Reads and checks every shard. `progress` is called after every few megabytes and after
    /// every shard.
    ///
    /// # Errors
    /// A shard that is missing, short, altered or not safetensors; a tensor that is not float,
    /// not finite, listed and absent, or present and not listed.
    pub async fn load_weights(
        &self,
        progress: impl FnMut(Progress),
    ) -> Result<Weights, PackageError> {
        let mut weights = Weights::default();
        self.each_shard(progress, |bytes, entries| weights.push(bytes, entries))
            .await?;
        Ok(weights)
    }

    /// Checks everything [`Package::load_weights`] does, holding one shard at a time.
    ///
    /// # Errors
    /// Those of [`Package::load_weights`].
    pub async fn verify_weights(&self, progress: impl FnMut(Progress)) -> Result<(), PackageError> {
        self.each_shard(progress, |_, _| {}).await
    }

    async fn each_shard(
        &self,
        mut progress: impl FnMut(Progress),
        mut checked: impl FnMut(Vec<u8>, Vec<Entry>),
    ) -> Result<(), PackageError> {
        let mut now = Progress {
            bytes: 0,
            total_bytes: self.manifest.weight_bytes(),
            shards: 0,
            total_shards: self.manifest.shards.len(),
        };
        for shard in &self.manifest.shards {
            let bytes = whole(
                &self.source,
                &shard.file,
                shard.bytes,
                &shard.sha256,
                |part| {
                    now.bytes += part;
                    progress(now);
                },
            )
            .await?;
            let entries = check_shard(shard, &bytes)?;
            checked(bytes, entries);
            now.shards += 1;
            progress(now);
        }
        Ok(())
    }
}

/// Checks a whole package without building a model and returns its manifest.
///
/// # Errors
/// Those of [`Package::open`] and [`Package::load_weights`].
pub async fn verify<S: WeightSource>(
    source: S,
    progress: impl FnMut(Progress),
) -> Result<Manifest, PackageError> {
    let package = Package::open(source).await?;
    package.verify_weights(progress).await?;
    Ok(package.manifest)
}

/// Refuses a length beyond `limit`, before memory is reserved for it.
pub(crate) fn within(file: &str, bytes: u64, limit: u64) -> Result<(), PackageError> {
    if bytes <= limit {
        return Ok(());
    }
    Err(PackageError::TooLarge {
        file: file.to_owned(),
        bytes,
        limit,
    })
}

/// Reads `file` in parts and checks its length, then its digest. The manifest's validation has
/// bounded `expected`.
async fn whole<S: WeightSource>(
    source: &S,
    file: &str,
    expected: u64,
    sha256: &Digest,
    mut part_read: impl FnMut(u64),
) -> Result<Vec<u8>, PackageError> {
    let found = source.len(file).await?;
    if found != expected {
        return Err(PackageError::Length {
            file: file.to_owned(),
            expected,
            found,
        });
    }
    let mut bytes = Vec::with_capacity(expected as usize);
    let mut start = 0;
    while start < expected {
        let end = expected.min(start + limits::PART_BYTES);
        bytes.extend(source.read(file, start..end).await?);
        part_read(end - start);
        start = end;
    }
    let found = Digest::of(&bytes);
    if found != *sha256 {
        return Err(PackageError::Altered {
            file: file.to_owned(),
            expected: *sha256,
            found,
        });
    }
    Ok(bytes)
}

/// Checks the tensors of a shard against its header, the manifest and each other.
fn check_shard(shard: &ShardEntry, bytes: &[u8]) -> Result<Vec<Entry>, PackageError> {
    let file = &shard.file;
    let entries = header::parse(file, bytes)?;
    let listed: BTreeSet<_> = shard.tensors.iter().map(String::as_str).collect();
    let held: BTreeSet<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    if let Some(tensor) = listed.difference(&held).next() {
        return Err(PackageError::NotInShard {
            file: file.clone(),
            tensor: (*tensor).to_owned(),
        });
    }
    if let Some(tensor) = held.difference(&listed).next() {
        return Err(PackageError::NotListed {
            file: file.clone(),
            tensor: (*tensor).to_owned(),
        });
    }
    for entry in &entries {
        let values = &bytes[entry.span.clone()];
        if let Some(index) = entry.dtype.first_non_finite(values) {
            let size = entry.dtype.size();
            let value = entry
                .dtype
                .decode(&values[index * size..(index + 1) * size])[0];
            return Err(PackageError::NonFinite {
                file: file.clone(),
                tensor: entry.name.clone(),
                index,
                value,
            });
        }
    }
    Ok(entries)
}
