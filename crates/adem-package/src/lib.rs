//! A model on disk: manifest, safetensors shards, verification.
//!
//! A package is a folder, or the same files behind one HTTP address:
//!
//! - `adem.json`, the [`Manifest`]: format version, model configuration, image normalisation,
//!   prompts, tasks, provenance, and length and SHA-256 of every other file;
//! - `tokenizer.json`;
//! - `weights-00001-of-0000N.safetensors`, shards of at most 64 MiB holding float tensors and
//!   [quantised](quant) ones; a weight that alone is longer has a shard to itself.
//!
//! Everything in a package is untrusted. Reading goes through a [`WeightSource`] by byte ranges;
//! every length is checked against a limit before memory is reserved for it, every file against
//! its digest before it is parsed, and every tensor against the manifest before it is handed out.
//!
//! ```no_run
//! # async fn example() -> Result<(), adem_package::PackageError> {
//! # #[cfg(not(target_arch = "wasm32"))] {
//! use adem_package::{Folder, Package};
//!
//! let package = Package::open(Folder::new("models/scenes")).await?;
//! let mut weights = package.load_weights(|_| {}).await?;
//! let norm = weights.take("norm.weight", &[256])?;
//! # }
//! # Ok(())
//! # }
//! ```

#[cfg(not(target_arch = "wasm32"))]
mod average;
mod digest;
mod dtype;
mod error;
#[cfg(not(target_arch = "wasm32"))]
mod folder;
mod header;
mod http;
pub mod json;
mod manifest;
mod name;
mod package;
pub mod quant;
mod source;
mod validate;
mod weights;
#[cfg(not(target_arch = "wasm32"))]
mod write;

#[cfg(not(target_arch = "wasm32"))]
pub use average::average;
pub use digest::{Digest, NotADigest};
pub use dtype::Dtype;
pub use error::{PackageError, SourceError};
#[cfg(not(target_arch = "wasm32"))]
pub use folder::Folder;
pub use http::Http;
pub use manifest::{
    FORMAT_VERSION, ImageSpec, MANIFEST_FILE, Manifest, Prompts, Provenance, ShardEntry,
    TOKENIZER_FILE, Task, TokenIds, TokenizerEntry,
};
pub use package::{Package, Progress, verify};
pub use source::{Memory, Reading, WeightSource};
pub use weights::{Storage, TensorView, Weights};
#[cfg(not(target_arch = "wasm32"))]
pub use write::{
    Draft, Found, NewTensor, Sink, StreamError, StreamOptions, StreamTensor, StreamWriter,
    WriteOptions, write,
};

/// Limits that hold before a byte is believed.
pub mod limits {
    /// Longest manifest, bytes.
    pub const MANIFEST_BYTES: u64 = 4 << 20;
    /// Longest tokenizer file, bytes.
    pub const TOKENIZER_BYTES: u64 = 32 << 20;
    /// Longest shard of several weights, bytes; also the most that is read of any file at once.
    pub const SHARD_BYTES: u64 = 64 << 20;
    /// Longest shard of a single weight, bytes. A weight is never cut; a large model's embedding
    /// alone is longer than the shards of others.
    pub const LONE_SHARD_BYTES: u64 = if cfg!(target_arch = "wasm32") {
        256 << 20
    } else {
        4 << 30
    };
    /// Most shards in one package.
    pub const SHARDS: usize = 4096;
    /// Longest safetensors header, bytes.
    pub const HEADER_BYTES: u64 = 4 << 20;
    /// Most dimensions of one tensor.
    pub const RANK: usize = 8;
    /// Longest tensor name, bytes.
    pub const NAME_BYTES: usize = 256;
    /// Bytes asked of a source at once while a shard loads.
    pub const PART_BYTES: u64 = 4 << 20;
}
