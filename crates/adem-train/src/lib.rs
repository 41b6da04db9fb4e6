//! Training: optimiser, schedule, checkpoints and recipes.
//!
//! Every batch follows from a seed and the step's number alone, so a run needs no saved random
//! state: weights, optimiser moments and the step say it all, and a resumed run is the same run.

mod checkpoint;
mod error;
mod muon;
mod named;
mod optimiser;
mod progress;
mod run;
pub mod scenes;
mod schedule;

pub use checkpoint::{Checkpoint, Tensors};
pub use error::TrainError;
pub use named::{freeze, named_tensors};
pub use optimiser::{AdamWSettings, NamedAdamW, Rule};
pub use progress::{Log, Report};
pub use run::{Outcome, Stage, StagePlan, run_stage};
pub use schedule::Schedule;
