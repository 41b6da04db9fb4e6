//! Data sets: public layouts, shards, order and resuming, bad rows, batches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod buckets;
mod config;
mod damage;
mod flickr;
mod http;
mod layouts;
mod loader;
mod order;
mod support;
