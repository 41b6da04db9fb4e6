//! Writing a package to a folder.

mod commit;
mod encode;
mod partial;
mod plan;
mod shards;
mod sink;
mod staged;
mod stream;
mod writer;

use std::path::Path;

use serde_json::Value;

use crate::digest::Digest;
use crate::dtype::Dtype;
use crate::error::PackageError;
use crate::limits;
use crate::manifest::{
    FORMAT_VERSION, ImageSpec, Manifest, Prompts, Provenance, ShardEntry, TOKENIZER_FILE, Task,
    TokenIds, TokenizerEntry,
};
use crate::quant::Quantisation;
use encode::Encoded;

pub(crate) use commit::{Commit, fault};
pub(crate) use shards::{Layout, Slot, lay_out};
pub use sink::Sink;
pub(crate) use staged::{put, sealed};
pub use stream::{Found, StreamError, StreamOptions, StreamTensor};
pub use writer::StreamWriter;

/// What a package is to say of itself: the manifest without what follows from the files.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The model's name, one line.
    pub name: String,
    /// The model's configuration, a JSON object.
    pub model: Value,
    /// How a picture becomes the vision encoder's input.
    pub image: ImageSpec,
    /// The texts around the picture, the question and the answer.
    pub prompts: Prompts,
    /// What the model was trained for.
    pub tasks: Vec<Task>,
    /// Tokens after which an answer ends whether or not the model ended it.
    pub max_new_tokens: u32,
    /// Where the weights come from. Nothing is added, no time of day either.
    pub provenance: Provenance,
    /// Ids of the tokenizer's special tokens.
    pub token_ids: TokenIds,
}

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTensor {
    /// Name, different from every other's.
    pub name: String,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Row-major values, all finite.
    pub data: Vec<f32>,
}

/// How tensors are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// Element type of every tensor.
    pub dtype: Dtype,
    /// Longest shard, bytes, at most [`limits::SHARD_BYTES`]. There, a tensor that alone is longer
    /// has a shard of its own of up to [`limits::LONE_SHARD_BYTES`]; below, it is refused.
    pub shard_bytes: u64,
}

impl Default for WriteOptions {
    /// Half precision, shards of 64 MiB.
    fn default() -> Self {
        Self {
            dtype: Dtype::F16,
            shard_bytes: limits::SHARD_BYTES,
        }
    }
}

/// Writes a package to `folder`, which is created if it is not there, and returns its manifest.
///
/// The same arguments give the same bytes: tensors are sorted by name. A package already in the
/// folder stays whole until the last step, the renaming of the new manifest, and its files are
/// removed only after that; other files are left alone. So that no file of the old package is
/// overwritten before its time, a file whose name is taken by different bytes gets the first
/// digits of its digest into its name. A folder that holds other things and no package is refused.
///
/// # Errors
/// A tensor whose name, shape or values cannot be written ([`PackageError::Unwritable`],
/// [`Duplicate`](PackageError::Duplicate), [`NonFinite`](PackageError::NonFinite),
/// [`Overflow`](PackageError::Overflow)), a draft that makes no valid manifest,
/// [`PackageError::Foreign`] or [`PackageError::Write`]. In all cases the folder's package is as it was.
pub fn write(
    folder: &Path,
    draft: Draft,
    tokenizer: &[u8],
    tensors: impl IntoIterator<Item = NewTensor>,
    options: &WriteOptions,
) -> Result<Manifest, PackageError> {
    let mut encoded = Encoded::new(tensors, options)?;
    let each = (0..encoded.slots.len()).map(|slot| slot..slot + 1);
    let layouts = lay_out(&encoded.slots, each, options.shard_bytes)?;
    let mut commit = Commit::new(folder)?;
    let count = layouts.len();
    let shards: Vec<_> = layouts
        .into_iter()
        .enumerate()
        .map(|(index, layout)| {
            let (bytes, tensors) = encoded.shard(layout);
            ShardEntry {
                bytes: bytes.len() as u64,
                sha256: Digest::of(&bytes),
                file: commit.add(&shard_name(index, count), bytes),
                tensors,
            }
        })
        .collect();
    let name = commit.add(TOKENIZER_FILE, tokenizer.to_vec());
    let manifest = manifest(draft, (name, tokenizer), shards, None);
    let bytes = manifest.to_bytes()?;
    commit.stage(bytes)?.finish(&manifest)?;
    Ok(manifest)
}

/// The manifest of these `shards` and a tokenizer, its file's name and bytes.
fn manifest(
    draft: Draft,
    (file, tokenizer): (String, &[u8]),
    shards: Vec<ShardEntry>,
    quantisation: Option<Quantisation>,
) -> Manifest {
    let tokenizer = TokenizerEntry {
        file,
        bytes: tokenizer.len() as u64,
        sha256: Digest::of(tokenizer),
        bos: draft.token_ids.bos,
        eos: draft.token_ids.eos,
        pad: draft.token_ids.pad,
    };
    Manifest {
        format: FORMAT_VERSION,
        name: draft.name,
        model: draft.model,
        image: draft.image,
        prompts: draft.prompts,
        tasks: draft.tasks,
        max_new_tokens: draft.max_new_tokens,
        quantisation,
        provenance: draft.provenance,
        tokenizer,
        tensors: shards.iter().map(|shard| shard.tensors.len() as u64).sum(),
        shards,
    }
}

/// File name of shard `index` of `count`.
pub(crate) fn shard_name(index: usize, count: usize) -> String {
    format!("weights-{:05}-of-{count:05}.safetensors", index + 1)
}
