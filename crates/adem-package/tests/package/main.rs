//! What a package keeps, what it refuses, and what is said about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod average;
mod blocks;
mod calibrated;
mod craft;
mod http;
mod manifests;
mod quantise;
mod quantise_refused;
mod quantised;
mod resuming;
mod round_trip;
mod server;
mod shards;
mod streaming;
mod writing;
