//! What the page and its engines say to each other.
//!
//! A message is one JavaScript array: the JSON text of an [`Ask`] (page to engine) or a [`Tell`]
//! (engine to page), and, where a picture travels with it, an `ArrayBuffer` that is transferred,
//! not copied. Neither side names a type of the model: the crate is all they share.

mod choice;
mod message;

pub use choice::{Adapter, Choice, Reason, choose};
pub use message::{
    Ask, EngineKind, Kernels, Malformed, ModelInfo, Task, Tell, Timings, decode, encode,
};
