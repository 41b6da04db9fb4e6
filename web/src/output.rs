//! How far the model is, and the texts it writes.

use adem_protocol::{Fusion, Loading, ModelInfo, Task, Timings};
use std::sync::Arc;

/// How far the model is.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// The engine is being chosen or started.
    Starting,
    /// Its package is on its way; since when, in milliseconds after the navigation.
    Loading(Loading, f64),
    /// It can be asked.
    Ready {
        info: ModelInfo,
        load_ms: f64,
        /// Why it is not kept for the next visit.
        unkept: Option<String>,
    },
    /// It cannot, for this reason.
    Unusable(String),
}

impl Model {
    /// What is known of a model that can be asked.
    pub fn info(&self) -> Option<&ModelInfo> {
        match self {
            Model::Ready { info, .. } => Some(info),
            _ => None,
        }
    }
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

/// The scores of one token, `[layers, visual tokens]`; NaN for what was dropped.
#[derive(Clone, Debug)]
pub struct Scores(pub Arc<[f32]>);

impl PartialEq for Scores {
    /// The same, not merely alike: comparing thousands of numbers would be no gain.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A token of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub text: String,
    /// What it looked at, where that was asked for.
    pub scores: Option<Scores>,
}

/// Which model wrote a text.
#[derive(Clone, Debug, PartialEq)]
pub struct By {
    pub id: String,
    pub name: String,
}

/// A text that the model writes: a caption, or the answer to a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// What was asked.
    pub task: Option<Task>,
    /// The fusion it is written with; `None` for the trained one.
    pub fusion: Option<Fusion>,
    /// The model that writes it.
    pub by: Option<By>,
    /// How far it is.
    pub progress: Progress,
    /// What has been written.
    pub text: String,
    /// The same, token by token.
    pub tokens: Vec<Token>,
    /// Where the time went, once it is done.
    pub done: Option<Timings>,
    /// Why it failed.
    pub problem: Option<String>,
}

impl Output {
    /// An output that waits for its turn.
    pub fn waiting(task: Task) -> Self {
        Output {
            task: Some(task),
            progress: Progress::Waiting,
            ..Output::default()
        }
    }

    /// Whether what each word looked at is known.
    pub fn is_traced(&self) -> bool {
        self.tokens.iter().any(|token| token.scores.is_some())
    }

    /// Starts over; what was written stays to be read until the new text begins.
    pub fn again(&mut self) {
        self.progress = Progress::Waiting;
        self.problem = None;
    }
}
