//! Checkpoints written out by the tests themselves, in every format, and read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arbitrary;
mod byte_level;
mod clip;
mod files;
mod folders;
mod gguf_blocks;
mod gguf_file;
mod gguf_models;
mod hub;
mod hub_server;
mod inspections;
mod large;
mod llama;
mod pickle_file;
mod quantised;
mod readers;
mod resuming;
mod tiktoken;
mod tokenizers;
mod whole;
mod zip_file;
