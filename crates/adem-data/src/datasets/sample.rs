//! What a data set is made of: a picture or none, what is asked, and what may be answered.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::RowFault;
use crate::image::{ImageError, Limits, RgbImage, decode};

/// One picture with what is asked about it, or a question without a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Names the picture or question within its data set.
    pub id: String,
    /// Tells the samples of one `id` apart: the index of the caption.
    pub turn: u32,
    /// The picture, still encoded.
    pub picture: Option<Picture>,
    /// What is asked.
    pub prompt: Prompt,
    /// What is learned, or all that is right; at least one, none of them blank.
    pub targets: Vec<String>,
    /// Where it was read.
    pub origin: Origin,
}

/// An encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picture {
    /// In a file of its own.
    File(PathBuf),
    /// The bytes of its file.
    Bytes(Arc<[u8]>),
}

impl Picture {
    /// Reads and decodes the picture.
    ///
    /// # Errors
    /// [`RowFault::PictureFile`] and [`RowFault::Picture`].
    pub fn decode(&self, limits: &Limits) -> Result<RgbImage, RowFault> {
        match self {
            Self::Bytes(bytes) => Ok(decode(bytes, limits)?),
            Self::File(path) => {
                let fail = |e: std::io::Error| RowFault::PictureFile {
                    path: path.clone(),
                    message: e.to_string(),
                };
                let file = File::open(path).map_err(fail)?;
                let mut bytes = Vec::new();
                let limit = (limits.max_bytes as u64).saturating_add(1);
                file.take(limit).read_to_end(&mut bytes).map_err(fail)?;
                if bytes.len() > limits.max_bytes {
                    return Err(RowFault::Picture(ImageError::TooManyBytes {
                        bytes: bytes.len(),
                        limit: limits.max_bytes,
                    }));
                }
                Ok(decode(&bytes, limits)?)
            }
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A caption, in the words of the model's caption prompt; a blank joins prompt and caption.
    Caption,
    /// This question, put into the model's question prompt; a blank joins prompt and answer.
    Question(String),
    /// Exactly this text, which the answer follows directly.
    Exact(String),
}

/// Where a sample was read: a file, and a line or key in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Path or address of the file.
    pub file: Arc<str>,
    /// Where in the file.
    pub place: Place,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// Line of a text file, from 1.
    Line(u64),
    /// Key of a shard's record.
    Key(String),
    /// Byte of a shard, from 0.
    Byte(u64),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line(line) => write!(f, "{}, line {line}", self.file),
            Place::Key(key) => write!(f, "{}, key {key}", self.file),
            Place::Byte(at) => write!(f, "{}, byte {at}", self.file),
        }
    }
}

/// What becomes of a picture that has several captions, or of a question with several answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Captions {
    /// A sample for each of them, as the COCO recipe trains.
    #[default]
    Each,
    /// One sample with one of them, drawn anew in every epoch.
    One,
    /// One sample with all of them, to evaluate against.
    All,
}
