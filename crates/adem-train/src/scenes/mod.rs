//! The recipe `scenes`: a small captioner from nothing, in the three stages ADEM-VL presumes.
//!
//! 1. [`see`]: the vision encoder, on drawn pictures (contrastive image-text, and naming what is
//!    where);
//! 2. [`read`]: the decoder, on text alone;
//! 3. [`tune`]: both frozen, the paper's small part on pictures with captions and questions.

mod config;
mod document;
mod draw;
mod heads;
mod package;
mod read;
mod see;
mod text;
mod tune;

pub use config::{ScenesConfig, StageConfig};
pub use run::{Stopped, train};

mod run;
