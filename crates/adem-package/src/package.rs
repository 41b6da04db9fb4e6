//! Opening, loading and verifying a package.

use std::collections::{BTreeSet, HashMap};

use crate::digest::Digest;
use crate::dtype::{Dtype, Element};
use crate::error::PackageError;
use crate::header::{self, Entry};
use crate::limits;
use crate::manifest::{MANIFEST_FILE, Manifest, ShardEntry};
use crate::quant::{Part, QuantTensor};
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

/// Quantised weights by the names of their stored tensors.
pub(crate) type Quantised<'a> = HashMap<String, (&'a QuantTensor, Part)>;

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

    /// Where the package's files come from.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn source(&self) -> &S {
        &self.source
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
        let quantised = self.quantised();
        self.each_shard(progress, |bytes, entries| {
            weights.push(bytes, entries, &quantised);
        })
        .await?;
        Ok(weights)
    }

    /// Reads and checks the shard `index` alone, so that its tensors can be used and let go
    /// before the next one is read; `None` where there is none. A quantised weight is in one
    /// shard whole. `part_read` is called with the bytes of every part read.
    ///
    /// # Errors
    /// Those of [`Package::load_weights`].
    pub async fn load_shard(
        &self,
        index: usize,
        part_read: impl FnMut(u64),
    ) -> Result<Option<Weights>, PackageError> {
        let Some(shard) = self.manifest.shards.get(index) else {
            return Ok(None);
        };
        let quantised = self.quantised();
        let (bytes, entries) = self.shard(shard, &quantised, part_read).await?;
        let mut weights = Weights::default();
        weights.push(bytes, entries, &quantised);
        Ok(Some(weights))
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
        let quantised = self.quantised();
        for shard in &self.manifest.shards {
            let read = self.shard(shard, &quantised, |part| {
                now.bytes += part;
                progress(now);
            });
            let (bytes, entries) = read.await?;
            checked(bytes, entries);
            now.shards += 1;
            progress(now);
        }
        Ok(())
    }

    /// The bytes and entries of one shard, checked.
    async fn shard(
        &self,
        shard: &ShardEntry,
        quantised: &Quantised<'_>,
        part_read: impl FnMut(u64),
    ) -> Result<(Vec<u8>, Vec<Entry>), PackageError> {
        let ShardEntry {
            file,
            bytes,
            sha256,
            ..
        } = shard;
        let bytes = whole(&self.source, file, *bytes, sha256, part_read).await?;
        let length = header::length(file, &bytes, bytes.len())?;
        let json = &bytes[header::LENGTH_BYTES..][..length];
        let entries = header::parse(file, json, bytes.len())?;
        check_names(shard, &entries)?;
        check_values(shard, &bytes, &entries, quantised)?;
        Ok((bytes, entries))
    }

    fn quantised(&self) -> Quantised<'_> {
        let quantisation = self.manifest.quantisation.as_ref();
        quantisation.map_or_else(HashMap::new, |it| it.by_stored_name())
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

/// Checks that a shard holds the tensors the manifest lists, no more and no fewer.
pub(crate) fn check_names(shard: &ShardEntry, entries: &[Entry]) -> Result<(), PackageError> {
    let file = &shard.file;
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
    Ok(())
}

/// Checks that the shard's floats are finite and its blocks what the manifest says.
fn check_values(
    shard: &ShardEntry,
    bytes: &[u8],
    entries: &[Entry],
    quantised: &Quantised<'_>,
) -> Result<(), PackageError> {
    let file = &shard.file;
    for entry in entries {
        if let Some((tensor, part)) = quantised.get(&entry.name) {
            tensor.check_entry(file, *part, entry, bytes)?;
            continue;
        }
        let Element::Float(dtype) = entry.element else {
            return Err(PackageError::Dtype {
                file: file.clone(),
                tensor: entry.name.clone(),
                found: entry.element.name().to_owned(),
            });
        };
        check_finite(file, &entry.name, dtype, &bytes[entry.span.clone()], 0)?;
    }
    Ok(())
}

/// Refuses a NaN or an infinity among `bytes`, elements of `tensor` from number `first` on.
pub(crate) fn check_finite(
    file: &str,
    tensor: &str,
    dtype: Dtype,
    bytes: &[u8],
    first: usize,
) -> Result<(), PackageError> {
    let Some(index) = dtype.first_non_finite(bytes) else {
        return Ok(());
    };
    let size = dtype.size();
    Err(PackageError::NonFinite {
        file: file.to_owned(),
        tensor: tensor.to_owned(),
        index: first + index,
        value: dtype.decode(&bytes[index * size..(index + 1) * size])[0],
    })
}
