//! Why an evaluation could not be run.

use adem_data::datasets::DataError;
use adem_pipeline::PipelineError;

/// Why an evaluation could not be run.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The model failed, or cannot be changed as a setting asks.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data set has nothing to caption.
    #[error(
        "{data}: holds no picture with captions that can be used; \
         questions and bad rows do not count"
    )]
    NoCaptions {
        /// Its name.
        data: String,
    },
    /// Two models whose tokens cannot be compared.
    #[error(
        "{model} and {against} have different tokenizers, so their tokens cannot be compared; take a \
         package and the one it was made from"
    )]
    Unlike {
        /// The one model.
        model: String,
        /// The other.
        against: String,
    },
    /// A setting that makes no sense.
    #[error("{argument}: is 0, must be at least 1")]
    Zero {
        /// Its name.
        argument: &'static str,
    },
}
