//! Errors of data sets: what ends a run, and what costs one row.

use std::path::PathBuf;

use super::bad::BadRow;
use crate::image::{AugmentError, ImageError};
use crate::prompt::PromptError;
use crate::rows::RowError;

/// What ends the reading of a data set.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// A server did not give a file, or stopped giving it.
    #[error("{url}: {message}")]
    Http {
        /// Its address.
        url: String,
        /// What went wrong.
        message: String,
    },
    /// A file is not of the layout that the config names.
    #[error("{path}: {message}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// What was looked for and what to do.
        message: String,
    },
    /// A setting that cannot be.
    #[error("data set, `{field}`: {message}")]
    Config {
        /// Path of the setting.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Impossible settings of the augmentation.
    #[error("data set, {0}")]
    Augment(#[from] AugmentError),
    /// Not a single row can be used.
    #[error("{source_name} has no usable row: {message}")]
    NoUsableRows {
        /// Name of the data set.
        source_name: String,
        /// What was found instead and what to do.
        message: String,
    },
    /// More bad rows than the config allows.
    #[error(
        "more than {limit} bad rows, the last one {last}; repair the data set, or raise `max_bad_rows`"
    )]
    TooManyBadRows {
        /// Rows allowed to be bad.
        limit: u64,
        /// The row that was one too many.
        last: Box<BadRow>,
    },
    /// A saved position belongs to another data set or to other settings.
    #[error(
        "the saved position belongs to another data set or other settings ({saved}; now {now}); restore them, or start the epoch anew"
    )]
    Position {
        /// What the position was saved with.
        saved: String,
        /// What it would be used with.
        now: String,
    },
    /// The model's prompt template is broken.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A thread that reads or decodes ended without a word.
    #[error("a thread that reads the data set ended early")]
    Thread,
}

impl DataError {
    /// An error about the file `path`.
    pub(crate) fn file(path: impl Into<PathBuf>, error: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.into(),
            message: error.to_string(),
        }
    }

    /// A file that is not of its layout.
    pub(crate) fn layout(path: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self::Layout {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// What is wrong with one row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// Not JSON, or not JSON of the expected types.
    #[error("{0}")]
    Json(String),
    /// Not a row of CSV.
    #[error("{0}")]
    Csv(String),
    /// A field is missing.
    #[error("has no {0}")]
    Missing(&'static str),
    /// A field has a value that cannot be used.
    #[error("`{field}` {message}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A caption or answer without a word.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// Something is larger than it may be.
    #[error("{what} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: String,
        /// The limit.
        limit: u64,
    },
    /// The name of a picture leads out of the folder of pictures.
    #[error("the picture's name {0:?} is not a path inside the folder of pictures")]
    Path(String),
    /// The picture's file cannot be read.
    #[error("picture {path}: {message}")]
    PictureFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// The picture cannot be decoded.
    #[error(transparent)]
    Picture(#[from] ImageError),
    /// A shard is damaged; what follows in it is lost.
    #[error("the shard is damaged from here on: {0}")]
    Shard(String),
    /// The texts do not fit into a row.
    #[error(transparent)]
    Row(#[from] RowError),
    /// The question cannot be asked.
    #[error(transparent)]
    Prompt(PromptError),
}
