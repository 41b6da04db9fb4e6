//! What can go wrong while a model is configured, built or run.

use crate::source::SourceError;

/// An error of the model, naming the field or tensor at fault and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A configuration value is impossible.
    #[error("model config, `{field}`: {message}")]
    Config {
        /// Path of the field, as written in the config file.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A tensor could not be had from the source the model is built from.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The sequence does not fit the model's context window.
    #[error(
        "the text needs {needed} tokens, the model's context window holds {limit}: shorten the text"
    )]
    ContextExceeded {
        /// Tokens needed, the answer included.
        needed: usize,
        /// Tokens the model can hold.
        limit: usize,
    },
    /// An argument has the wrong shape or value.
    #[error("{argument}: {message}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// Results could not be read back from the device.
    #[error("could not read results from the device: {0}")]
    Read(String),
    /// The model computed a value that is not a number, so there is no next token to choose.
    #[error("the model computed NaN logits: its weights or its input are broken")]
    NanLogits,
}

impl ModelError {
    pub(crate) fn config(field: &'static str, message: impl Into<String>) -> Self {
        Self::Config {
            field,
            message: message.into(),
        }
    }

    pub(crate) fn argument(argument: &'static str, message: impl Into<String>) -> Self {
        Self::Argument {
            argument,
            message: message.into(),
        }
    }
}
