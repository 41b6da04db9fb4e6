//! What the page and its engines say to each other.
//!
//! A message is one JavaScript array: the JSON text of an [`Ask`] (page to engine) or a [`Tell`]
//! (engine to page), and whatever travels with it: a picture or scores as an `ArrayBuffer`, which is
//! transferred, not copied, or the files of a package. Neither side names a type of the model: the crate is all they share.

mod choice;
mod message;
mod models;

pub use choice::{Adapter, Choice, Measured, Reason, choose};
pub use message::{
    Ask, EngineKind, Fusion, Kernels, Malformed, ModelInfo, Task, Tell, Timings, decode, encode,
};
pub use models::{Loading, Origin, StoredModel};
