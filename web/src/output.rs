//! How far the model is, and the texts it writes.

use adem_protocol::{ModelInfo, Task, Timings};

/// How far the model is.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// The engine is being chosen or started.
    Starting,
    /// So many of so many bytes are there.
    Loading(u64, u64),
    /// It can be asked.
    Ready { info: ModelInfo, load_ms: f64 },
    /// It cannot, for this reason.
    Unusable(String),
}

/// How far a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    #[default]
    Idle,
    Waiting,
    Looking,
    Writing,
    Done,
    Stopped,
    Failed,
}

impl Progress {
    /// The word in `data-state`, for styles and tests.
    pub fn word(self) -> &'static str {
        match self {
            Progress::Idle => "idle",
            Progress::Waiting => "waiting",
            Progress::Looking => "looking",
            Progress::Writing => "writing",
            Progress::Done => "done",
            Progress::Stopped => "stopped",
            Progress::Failed => "failed",
        }
    }

    /// Whether more is to come.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Progress::Waiting | Progress::Looking | Progress::Writing
        )
    }
}

/// A text that the model writes: the caption, or the answer to a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The engine's number for it; 0 before it was asked.
    pub job: u64,
    /// What was asked.
    pub task: Option<Task>,
    /// How far it is.
    pub progress: Progress,
    /// What has been written.
    pub text: String,
    /// Where the time went, once it is done.
    pub done: Option<Timings>,
}
