//! Other people's checkpoints and tokenizers, read and turned into packages.
//!
//! - [`TensorFile`] reads safetensors, PyTorch, GGUF and llama2.c files: names, types, shapes and
//!   places of the tensors at once, their values some rows at a time.
//!
//! - [`import`] finds a language model, a vision tower, ADEM-VL's adapters and a tokenizer in such
//!   files and folders by their names, and writes them as a package, tensor after tensor.
//! - [`hub`] fetches models of the Hugging Face hub by name.
//! - [`read_tokenizer`] turns SentencePiece's models and Llama 3's ranks into `tokenizer.json`.
//! - [`inspect`] lists what is in a file, a folder or a package.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! use adem_import::{ImportOptions, import};
//!
//! let sources = ["llama-2-7b-hf", "clip-vit-large-patch14"].map(Into::into);
//! let options = ImportOptions::default();
//! let report = import(&sources, Path::new("package"), &options, |_| {}, &AtomicBool::new(false));
//! # report.map(drop)?;
//! # Ok::<(), adem_import::ImportError>(())
//! ```
//!
//! Everything read is untrusted. Lengths are checked before memory is reserved, sums and products
//! are checked, a pickle makes tensors and plain containers and nothing else, and nothing is ever
//! unpacked. Each refusal names file and tensor or field.

pub mod config;
mod dtype;
mod error;
pub mod gguf;
pub mod hub;
mod import;
mod input;
mod inspect;
mod json;
pub mod llama2c;
mod map;
mod pytorch;
mod quantised;
mod report;
mod resolve;
mod safetensors;
mod source;
mod tensors;
mod tokenizer;

pub use dtype::Dtype;
pub use error::ImportError;
pub use import::{Compat, FusionNumbers, ImportOptions, ImportProgress, Storage, check, import};
pub use input::{Input, Window};
pub use inspect::{FileInspection, Inspection, TensorInspection, inspect};
pub use quantised::Scales;
pub use report::{ImportReport, LeftOut, Mismatch, SourceReport, TensorReport};
pub use tensors::{Entry, Format, Metadata, TensorFile};
pub use tokenizer::{read_tokenizer, tokenizer_json};

/// Limits that hold before a byte is believed.
pub mod limits {
    /// Longest safetensors header and zip directory, bytes.
    pub const HEADER_BYTES: u64 = 100 << 20;
    /// Longest pickle of a PyTorch file, bytes.
    pub const PICKLE_BYTES: u64 = 64 << 20;
    /// Longest list of keys, values and tensors of a GGUF file, bytes.
    pub const GGUF_BYTES: u64 = 64 << 20;
    /// Most tensors in one file.
    pub const TENSORS: usize = 1 << 18;
    /// Most values of a pickle.
    pub const VISITS: usize = 1 << 22;
    /// Longest JSON config, bytes.
    pub const JSON_BYTES: u64 = 64 << 20;
    /// Longest tokenizer file, bytes.
    pub const TOKENIZER_BYTES: u64 = 32 << 20;
    /// Most files an index names.
    pub const FILES: usize = 1024;
    /// Largest width or count of a config that is believed.
    pub const LARGEST: u64 = 1 << 20;
    /// Most layers of a model.
    pub const LAYERS: u64 = 1024;
    /// Most dimensions of one tensor.
    pub const RANK: usize = 8;
    /// Longest tensor name, bytes.
    pub const NAME_BYTES: usize = 256;
}
