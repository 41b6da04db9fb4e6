//! ADEM-VL on a data set: frozen parts given, or trained first on the same data.
//!
//! 1. `see` (optional): the vision encoder, pictures against their captions, and against what
//!    another encoder sees in them;
//! 2. `read` (optional): the decoder, on the captions alone;
//! 3. `tune`: both frozen, the paper's small part;
//! 4. `joint` (optional): everything together;
//! 5. `self_critical` (optional): everything together, by the scores of its own captions.

mod bench;
mod cache;
mod caption;
mod config;
mod features;
mod feed;
mod fuse;
mod package;
mod plan;
mod prepared;
mod read;
mod run;
mod see;
mod self_critical;
mod teacher;
mod texts;
mod tune;
mod validate;
mod view;

pub use bench::{StepTime, bench};
pub(crate) use cache::number;
pub use caption::{CAPTIONS, Written, captions};
pub use config::{
    Constants, JointConfig, ReadConfig, SaveConfig, SeeConfig, SelfCriticalConfig, TaskConfig,
    TeacherConfig, TuneConfig, ValidationConfig, WeightsConfig,
};
pub use plan::describe;
pub use run::{Reporter, train};
pub(crate) use validate::MOST;
