//! A float package to a quantised one.

mod plan;
mod shard;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{BLOCK, Method, QuantReport, Quantisation, ScaleType, Scheme};
use crate::digest::{Digest, Hasher};
use crate::error::PackageError;
use crate::header::{self, Entry};
use crate::limits;
use crate::manifest::{Manifest, ShardEntry, TOKENIZER_FILE, TokenizerEntry};
use crate::package::{Package, check_names};
use crate::source::WeightSource;
use crate::write::{Commit, lay_out, shard_name};
use plan::{Patterns, Plan};

/// How a package is quantised.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantizeOptions {
    /// The new package's name; otherwise the old one's.
    pub name: Option<String>,
    /// Bits of a code.
    pub scheme: Scheme,
    /// How scales are chosen.
    pub method: Method,
    /// Type of the scales.
    pub scale_type: ScaleType,
    /// Weights left float: patterns of whole names, in which `*` stands for any characters and
    /// `?` for one.
    pub keep_float: Vec<String>,
    /// Weights in eight bits where the scheme is of four, unless they are left float: patterns as
    /// those of `keep_float`. No effect where the scheme is of eight.
    pub eight_bits: Vec<String>,
    /// By a weight's name, the activations that meet it; of no effect for those that stay float. Of
    /// weights that are not named every error counts the same.
    pub activations: BTreeMap<String, Activations>,
    /// Longest shard, bytes; at most [`limits::SHARD_BYTES`].
    pub shard_bytes: u64,
}

impl QuantizeOptions {
    /// Scales in half precision found by search; nothing kept float that need not be.
    pub fn new(scheme: Scheme) -> Self {
        Self {
            name: None,
            scheme,
            method: Method::default(),
            scale_type: ScaleType::default(),
            keep_float: Vec::new(),
            eight_bits: Vec::new(),
            activations: BTreeMap::new(),
            shard_bytes: limits::SHARD_BYTES,
        }
    }

    /// Looks for misspelt patterns before anything that takes long: [`quantize`] reads all weights
    /// before it refuses them.
    ///
    /// # Errors
    /// [`PackageError::Pattern`] for a pattern that fits no tensor of a float package.
    pub fn check_patterns(&self, manifest: &Manifest) -> Result<(), PackageError> {
        for list in [&self.keep_float, &self.eight_bits] {
            let mut patterns = Patterns::new(list);
            for name in manifest.shards.iter().flat_map(|shard| &shard.tensors) {
                patterns.fit(name);
            }
            patterns.check()?;
        }
        Ok(())
    }
}

/// What is known of the activations x `[cols]` that meet a weight: finite numbers, none of those that
/// are squares negative.
#[derive(Debug, Clone, PartialEq)]
pub enum Activations {
    /// The mean of their squares, `[cols]`: errors count by it.
    Squares(Vec<f32>),
    /// The mean of `x x^T`, `[cols, cols]`: the error of the product counts, and columns make up for
    /// one another's ([`Feedback`](super::Feedback)).
    Products(Vec<f32>),
}

impl Activations {
    /// Why they are not those of a weight with `cols` columns.
    fn fault(&self, cols: usize) -> Option<String> {
        let (values, count) = match self {
            Self::Squares(values) => (values, cols),
            Self::Products(values) => (values, cols.saturating_mul(cols)),
        };
        if values.len() != count {
            let found = values.len();
            return Some(format!("{found} numbers for {cols} columns, not {count}"));
        }
        let square = |index: usize| match self {
            Self::Squares(_) => true,
            Self::Products(_) => index / cols == index % cols,
        };
        let bad =
            |(index, value): (usize, &f32)| !value.is_finite() || (square(index) && *value < 0.0);
        let index = values.iter().enumerate().position(bad)?;
        let (column, value) = (index % cols, values[index]);
        Some(format!(
            "{value} for column {column}; it must be finite, and a square not negative"
        ))
    }
}

/// How far quantising is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantProgress {
    /// Bytes of weights read. They are read twice: first to check their digests.
    pub bytes: u64,
    /// Bytes of weights to read.
    pub total_bytes: u64,
    /// Tensors done.
    pub tensors: usize,
    /// Tensors in the package; 0 while digests are checked.
    pub total_tensors: usize,
}

/// Quantises `package` and writes the result to `folder`, which is made if it is not there and
/// may be the package's own. Returns what became of each tensor.
///
/// Weights are read and written a few megabytes at a time, however long they are; the new shards
/// lie on disk under temporary names until all is done, and then take their places as those of
/// [`write`](crate::write()) do. `progress` is called after every part, and `stop` looked at before
/// it. [`Kept`](super::Kept) says which tensors stay float.
///
/// # Errors
/// What reading a package refuses; a package that is quantised ([`PackageError::Quantised`]) or
/// holds nothing to quantise ([`NothingToQuantise`](PackageError::NothingToQuantise)); options
/// that fit no tensor ([`Pattern`](PackageError::Pattern),
/// [`Importance`](PackageError::Importance)); a weight too large for its scale
/// ([`Unscalable`](PackageError::Unscalable)); what writing refuses;
/// [`Stopped`](PackageError::Stopped). In all cases the folder's package is as it was.
pub async fn quantize<S: WeightSource>(
    package: &Package<S>,
    folder: &Path,
    options: &QuantizeOptions,
    progress: impl FnMut(QuantProgress),
    stop: &AtomicBool,
) -> Result<QuantReport, PackageError> {
    let fresh = !folder.exists();
    let manifest = package.manifest();
    let run = Run {
        package,
        options,
        progress,
        stop,
        now: QuantProgress {
            bytes: 0,
            total_bytes: 2 * manifest.weight_bytes(),
            tensors: 0,
            total_tensors: 0,
        },
    };
    let done = run.run(folder).await;
    if done.is_err() && fresh {
        // Only an empty folder goes.
        let _ = fs::remove_dir(folder);
    }
    done
}

/// Quantising, as it proceeds.
struct Run<'a, S, P> {
    package: &'a Package<S>,
    options: &'a QuantizeOptions,
    progress: P,
    stop: &'a AtomicBool,
    now: QuantProgress,
}

impl<S: WeightSource, P: FnMut(QuantProgress)> Run<'_, S, P> {
    async fn run(mut self, folder: &Path) -> Result<QuantReport, PackageError> {
        let before = self.package.manifest();
        before.check_float()?;
        let mut entries = Vec::new();
        for shard in &before.shards {
            entries.push(self.entries(shard).await?);
        }
        let plan = Plan::new(&before.shards, entries, self.options)?;
        self.now.total_tensors = plan.tensors.len();
        let layouts = lay_out(&plan.slots, plan.units(), self.options.shard_bytes)?;

        let mut commit = Commit::new(folder)?;
        let mut reports = vec![None; plan.tensors.len()];
        let mut shards = Vec::with_capacity(layouts.len());
        for (index, layout) in layouts.iter().enumerate() {
            let file = self
                .shard(&plan, layout, commit.temporary()?, &mut reports)
                .await?;
            let (bytes, sha256) = (layout.bytes as u64, file.sha256);
            shards.push(ShardEntry {
                file: commit.add_staged(
                    &shard_name(index, layouts.len()),
                    file.staged,
                    bytes,
                    sha256,
                ),
                bytes,
                sha256,
                tensors: layout.names(&plan.slots),
            });
        }
        let tokenizer = self.package.tokenizer().to_vec();
        let after = Manifest {
            name: self.options.name.as_ref().unwrap_or(&before.name).clone(),
            quantisation: Some(Quantisation {
                block: BLOCK,
                method: self.options.method,
                importance: !self.options.activations.is_empty(),
                keep_float: self.options.keep_float.clone(),
                source: Digest::of(&before.to_bytes()?),
                tensors: plan.manifest(self.options.scale_type),
            }),
            tokenizer: TokenizerEntry {
                file: commit.add(TOKENIZER_FILE, tokenizer),
                ..before.tokenizer.clone()
            },
            tensors: plan.slots.len() as u64,
            shards,
            ..before.clone()
        };
        let bytes = after.to_bytes()?;
        self.go_on(0)?;
        commit.stage(bytes)?.finish(&after)?;
        Ok(QuantReport {
            scheme: self.options.scheme,
            method: self.options.method,
            tensors: reports.into_iter().flatten().collect(),
            bytes_before: before.weight_bytes(),
            bytes_after: after.weight_bytes(),
        })
    }

    /// The tensors of a shard whose digest is the manifest's.
    async fn entries(&mut self, shard: &ShardEntry) -> Result<Vec<Entry>, PackageError> {
        let ShardEntry {
            file,
            bytes,
            sha256,
            ..
        } = shard;
        let source = self.package.source();
        let found = source.len(file).await?;
        if found != *bytes {
            return Err(PackageError::Length {
                file: file.clone(),
                expected: *bytes,
                found,
            });
        }
        let mut hasher = Hasher::default();
        let mut start = 0;
        while start < *bytes {
            let end = (*bytes).min(start + limits::PART_BYTES);
            hasher.update(&source.read(file, start..end).await?);
            self.go_on(end - start)?;
            start = end;
        }
        let found = hasher.finish();
        if found != *sha256 {
            return Err(PackageError::Altered {
                file: file.clone(),
                expected: *sha256,
                found,
            });
        }
        // The manifest's validation has bounded the length from both sides.
        let begin = header::LENGTH_BYTES as u64;
        let first = source.read(file, 0..begin).await?;
        let length = header::length(file, &first, *bytes as usize)?;
        let json = source.read(file, begin..begin + length as u64).await?;
        let entries = header::parse(file, &json, *bytes as usize)?;
        check_names(shard, &entries)?;
        Ok(entries)
    }

    /// Counts `bytes` read, unless the caller wants to stop.
    fn go_on(&mut self, bytes: u64) -> Result<(), PackageError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(PackageError::Stopped);
        }
        self.now.bytes += bytes;
        (self.progress)(self.now);
        Ok(())
    }
}
