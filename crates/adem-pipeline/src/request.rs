//! What is asked of a captioner.

use adem_model::Sampling;
use serde::{Deserialize, Serialize};

/// What the model is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Describe the picture.
    #[default]
    Caption,
    /// Answer this question.
    Question(String),
}

impl From<&Task> for adem_package::Task {
    fn from(task: &Task) -> Self {
        match task {
            Task::Caption => Self::Caption,
            Task::Question(_) => Self::Question,
        }
    }
}

/// One request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The picture's file as it is (PNG, JPEG, WebP, GIF); `None` asks about no picture at all.
    pub picture: Option<Vec<u8>>,
    /// What to do.
    pub task: Task,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None` takes the package's number.
    pub max_new_tokens: Option<usize>,
}

impl Request {
    /// Asks for a greedy caption.
    pub fn caption(picture: Vec<u8>) -> Self {
        Self {
            picture: Some(picture),
            ..Self::default()
        }
    }

    /// Asks a question about a picture, answered greedily.
    pub fn question(picture: Vec<u8>, question: impl Into<String>) -> Self {
        Self {
            picture: Some(picture),
            task: Task::Question(question.into()),
            ..Self::default()
        }
    }
}
