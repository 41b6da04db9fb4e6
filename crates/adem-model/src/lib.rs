//! ADEM-VL (arXiv 2410.17779) on Burn tensors: a CLIP vision encoder and a LLaMA-family decoder
//! joined by a cross-attention without learned attention weights.
//!
//! The crate knows nothing of files, networks or platforms. A model is built by asking a
//! [`TensorSource`] for every tensor by name and shape, runs on whatever [`burn::tensor::Device`]
//! it is given, and is the same code for training and for the browser.
//!
//! The way of one picture: [`AdemVl::see`] encodes it once into a [`VisualPrompt`] (K and U of the
//! paper's section 3.2 and the `[cls]` token), then [`Generation`] prefills the prompt and decodes
//! token by token.

mod adem;
mod assemble;
pub mod config;
mod error;
pub mod fusion;
mod generate;
pub mod language;
mod loss;
pub mod nn;
mod sampling;
mod source;
mod trace;
pub mod vision;

pub use adem::{AdemVl, VisualPrompt};
pub use adem_kernels::{Blocks, BlocksError, Scales, Scheme};
pub use assemble::{Labels, Prefix, TrainRow};
pub use config::ModelConfig;
pub use error::ModelError;
pub use generate::{BeamSearch, Beams, Generation, GenerationOptions, StepTokens};
pub use loss::{token_loss, token_losses};
pub use sampling::{Sampler, Sampling};
pub use source::{Placed, RandomInit, SourceError, TensorSource};
pub use trace::{Sight, Trace};
