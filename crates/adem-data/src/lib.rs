//! Pictures in, prompts, tokeniser, training rows, synthetic scenes. No tensors: everything leaves
//! here as plain vectors.

pub mod image;
pub mod prompt;
pub mod rows;
pub mod scenes;
pub mod tokenizer;
