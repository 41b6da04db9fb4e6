//! Checkpoints written out by the tests themselves, in every format, and read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arbitrary;
mod files;
mod gguf_blocks;
mod gguf_file;
mod pickle_file;
mod readers;
mod zip_file;
