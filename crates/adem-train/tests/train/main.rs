//! Training: its loop, its recipes, what it refuses and what it leaves on the disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ablation;
mod data;
mod events;
mod fit;
mod refusals;
mod saving;
mod scenes;
mod stages;
mod task;
mod teacher;
