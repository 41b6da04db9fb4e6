//! Pictures in, prompts, tokeniser, tasks, data sets, training rows, synthetic scenes. No tensors:
//! everything leaves here as plain vectors.

#[cfg(not(target_family = "wasm"))]
pub mod datasets;
mod dice;
pub mod image;
pub mod prompt;
pub mod rows;
pub mod scenes;
pub mod tasks;
pub mod tokenizer;
