//! Other people's checkpoints and tokenizers, read and turned into packages.
//!
//! - [`TensorFile`] reads safetensors, PyTorch, GGUF and llama2.c files: names, types, shapes and
//!   places of the tensors at once, their values some rows at a time.
//!
//! Everything read is untrusted. Lengths are checked before memory is reserved, sums and products
//! are checked, a pickle makes tensors and plain containers and nothing else, and nothing is ever
//! unpacked. Each refusal names file and tensor or field.

mod dtype;
mod error;
pub mod gguf;
mod input;
pub mod llama2c;
mod pytorch;
mod safetensors;
mod tensors;

pub use dtype::Dtype;
pub use error::ImportError;
pub use input::Input;
pub use tensors::{Entry, Format, Metadata, TensorFile};

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
    /// Most dimensions of one tensor.
    pub const RANK: usize = 8;
    /// Longest tensor name, bytes.
    pub const NAME_BYTES: usize = 256;
}
