//! The model against golden values, on every backend that runs here.
//!
//! One binary, since each links all of Burn. `ADEM_GOLDEN` names another folder of fixtures,
//! `ADEM_DATA` the folder of `stories260K`; `--nocapture` prints cases and largest differences.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adem;
mod backend;
mod clip;
mod compare;
mod fusion;
mod generation;
mod llama;
mod source;
mod stories;
mod training;
mod variants;
mod whole;
