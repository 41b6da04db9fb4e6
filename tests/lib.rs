//! Helpers shared by the cross-crate tests.
//!
//! A fixture that cannot be read is a failed test, so everything here panics with the file's name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod golden;
