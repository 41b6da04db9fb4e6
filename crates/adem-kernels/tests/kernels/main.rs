//! Every kernel against its reference, on the default GPU, software Vulkan included.
//!
//! One binary, since each links all of Burn.
#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cross_attention;
mod decode;
#[path = "../../../../tests/faults/fragile.rs"]
mod fragile;
mod gpu;
mod gradients;
mod linear;
mod lost;
mod search;
mod tuning;
