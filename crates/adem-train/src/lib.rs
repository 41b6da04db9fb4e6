//! Training: optimiser, schedule, checkpoints and recipes.
//!
//! [`run_stage`] is the loop; a [`Stage`] says what is trained on what. Weights, optimiser moments,
//! the step and a place in the data say all there is to know of a run, so a resumed run is the same
//! run.

pub mod ablation;
mod budget;
mod checkpoint;
mod devices;
mod differences;
mod error;
mod export;
mod gradients;
mod loader;
mod muon;
mod named;
mod nodes;
mod optimiser;
mod plot;
mod progress;
mod reading;
mod recipe;
pub mod recompute;
mod run;
pub mod scenes;
mod schedule;
mod stage;
mod store;
pub mod task;
mod tensorboard;
mod tensors;
mod weights;

pub use budget::{Bytes, Flops, Memory, Parameters, Pass};
pub use checkpoint::{Checkpoint, Tensors, Validation};
pub use error::TrainError;
pub use export::{Exported, export};
pub use loader::{Loader, Numbered, cores};
pub use named::{freeze, named_tensors};
pub use nodes::single_process;
pub use optimiser::{AdamWSettings, Moments, NamedAdamW, Rule};
pub use plot::plot;
pub use progress::{Log, Look, Report, Told};
pub use recipe::{Recipe, Source, shipped};
pub use run::{NotFinite, Outcome, StagePlan, run_stage};
pub use schedule::{Rate, Schedule};
pub use stage::{Batches, Context, Forward, Part, Quality, Stage, Start};
pub use weights::{Precision, WeightFiles};
