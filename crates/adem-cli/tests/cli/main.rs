//! The program as its users run it: what it prints, how it ends, what it leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod describing;
mod https;
mod importing;
#[cfg(unix)]
mod interrupted;
mod judging;
#[path = "../../../../tests/faults/packages.rs"]
mod packages;
mod place;
mod spared;
mod training;
mod tui;
mod weights;
