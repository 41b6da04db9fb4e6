//! What can go wrong while training.

use std::path::PathBuf;

/// An error of a training run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file could not be read or written.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
    /// Another program trains in the same folder.
    #[error("{}: another run is at work here; wait until it ends, or give another output folder", .0.display())]
    Busy(PathBuf),
    /// A setting of the recipe is impossible.
    #[error("recipe, `{field}`: {message}")]
    Config {
        /// Path of the field.
        field: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
    /// A config file or setting cannot be understood.
    #[error("{origin}, `{key}`: {message}")]
    Settings {
        /// The file, recipe or option.
        origin: String,
        /// Path of the key.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A checkpoint belongs to another run.
    #[error("{path}: {message}; give another output folder, or delete this one to start anew")]
    Checkpoint {
        /// The checkpoint.
        path: PathBuf,
        /// What does not fit.
        message: String,
    },
    /// The loss is not a number: the run stops before it damages anything.
    #[error(
        "stage {stage}: the loss is {loss} at step {step}, samples: {samples}; {} (a lower \
         learning rate or clipping may help)",
        kept(.checkpoint)
    )]
    LossNotFinite {
        /// Name of the stage.
        stage: &'static str,
        /// Step that gave the loss.
        step: u64,
        /// The loss.
        loss: f32,
        /// What the batch was made of.
        samples: String,
        /// The last good checkpoint, where one was saved.
        checkpoint: Option<PathBuf>,
    },
    /// The model refused its config, weights or input.
    #[error(transparent)]
    Model(#[from] adem_model::ModelError),
    /// The tokeniser could not be trained or used.
    #[error(transparent)]
    Tokenizer(#[from] adem_data::tokenizer::TokenizerError),
    /// The caption prompt leaves no room.
    #[error(transparent)]
    Prompt(#[from] adem_data::prompt::PromptError),
    /// The package could not be written.
    #[error(transparent)]
    Package(#[from] adem_package::PackageError),
    /// A value could not be read from the device.
    #[error("could not read a value from the device: {0}")]
    Read(String),
    /// A checkpoint's place in the data cannot be read.
    #[error(
        "the checkpoint's place in the data cannot be read: {message}; give another output folder"
    )]
    Place {
        /// What is wrong with it.
        message: String,
    },
    /// The data set is missing, unreadable or without a usable row.
    #[error(transparent)]
    Data(#[from] adem_data::datasets::DataError),
    /// The program was started as one of several processes.
    #[error(
        "{variable}={value}: Burn 0.22 has no collective between processes, so one process trains; \
         use all devices of one machine with --devices, and start the program once"
    )]
    Nodes {
        /// The launcher's variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
    /// A thread that prepares batches ended early.
    #[error("the thread that prepares batches ended early")]
    Loader,
    /// A thread that runs a device ended early.
    #[error("the thread of a device ended early")]
    Device,
}

fn kept(checkpoint: &Option<PathBuf>) -> String {
    match checkpoint {
        Some(path) => format!("the last good checkpoint is {}", path.display()),
        None => "no checkpoint was saved yet".to_owned(),
    }
}

impl TrainError {
    /// An error about the file `path`.
    pub fn file(path: impl Into<PathBuf>, error: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.into(),
            message: error.to_string(),
        }
    }
}
