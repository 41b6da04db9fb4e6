//! The model against golden values, on every backend that runs here.
//!
//! One binary, since each links all of Burn. `ADEM_GOLDEN` names another folder of fixtures,
//! `ADEM_DATA` the folder that holds `stories260K`. Every test prints how many cases it ran and
//! how close they came.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adem;
mod backend;
mod clip;
mod compare;
mod fusion;
mod generation;
mod imported;
mod llama;
mod quantised;
mod source;
mod stories;
mod training;
mod variants;
mod vit;
mod whole;
