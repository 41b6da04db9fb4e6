//! Captions and answers about scenes the model has not seen, judged fact by fact.

mod fact;
mod held_out;
mod report;
mod run;
mod setting;

pub use fact::FactKind;
pub use held_out::held_out_seed;
pub use report::{Failure, ScenesReport, SettingReport};
pub(crate) use run::RENDER_SIDE;
pub use run::{ScenesEval, ScenesProgress};
pub use setting::{Setting, settings};
