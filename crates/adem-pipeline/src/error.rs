//! What can go wrong between a package, a picture and a text.

use adem_data::image::ImageError;
use adem_data::prompt::PromptError;
use adem_data::tokenizer::TokenizerError;
use adem_model::ModelError;
use adem_package::PackageError;

/// An error of the pipeline; every message says what is at fault and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The package cannot be read or is refused.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The package's tokenizer is refused.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The model cannot be built or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The picture cannot be read.
    #[error(transparent)]
    Picture(#[from] ImageError),
    /// The question cannot be asked.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// Two parts of a package contradict each other.
    #[error("adem.json, `{field}`: {reason}; the package's files do not belong together")]
    Manifest {
        /// Path of the field in the manifest.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The package holds tensors the model has no place for.
    #[error(
        "the package holds {count} tensors that its model does not use, the first is `{first}`; its weights do not belong to its model configuration"
    )]
    Unused {
        /// How many.
        count: usize,
        /// The first of them by name.
        first: String,
    },
    /// The model was not trained for what is asked of it.
    #[error("the model `{model}` was not trained to {task}; choose another model")]
    Task {
        /// The model's name.
        model: String,
        /// What was asked, in words.
        task: &'static str,
    },
    /// An argument that makes no sense.
    #[error("{argument}: {reason}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
}

impl PipelineError {
    pub(crate) fn manifest(field: &str, reason: impl Into<String>) -> Self {
        Self::Manifest {
            field: field.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn argument(argument: &'static str, reason: impl Into<String>) -> Self {
        Self::Argument {
            argument,
            reason: reason.into(),
        }
    }
}
