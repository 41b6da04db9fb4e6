//! How good a model is: evaluations and their reports.
//!
//! An evaluation takes a loaded [`Captioner`](adem_pipeline::Captioner), reports its progress to
//! a callback that can stop it, and returns a serialisable report whose `Display` is a table.

mod agreement;
mod calibration;
pub mod captions;
mod error;
pub mod scenes;
mod table;
mod tally;

pub use agreement::{Agreement, AgreementReport};
pub use calibration::calibrate;
pub use error::EvalError;
pub use table::{Align, Table};
pub use tally::Tally;
