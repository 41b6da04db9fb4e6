//! Why a command failed.

use std::io;
use std::path::PathBuf;

use adem_eval::EvalError;
use adem_import::ImportError;
use adem_import::hub::HubError;
use adem_model::ModelError;
use adem_package::PackageError;
use adem_pipeline::PipelineError;
use adem_train::TrainError;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error("no model found; looked for adem.json in {}; name one with --package DIR", places(.0))]
    NoPackage(Vec<PathBuf>),
    #[error("package {package}: {source}")]
    Package {
        package: String,
        source: PipelineError,
    },
    #[error("cannot quantise {package}: {source}")]
    Quantize {
        package: String,
        source: PackageError,
    },
    #[error("cannot average: {0}")]
    Average(PackageError),
    #[error("package {package}: {source}")]
    Verify {
        package: String,
        source: PackageError,
    },
    #[error("{0}")]
    Import(#[from] ImportError),
    /// An import that can go on.
    #[error("{source}; {shards} of {all} shards are kept, and the same command goes on from here")]
    Interrupted {
        shards: usize,
        all: usize,
        source: Box<ImportError>,
    },
    #[error("--device {device}: {reason}")]
    Device {
        device: &'static str,
        reason: String,
    },
    #[error("{0}")]
    Pipeline(#[from] PipelineError),
    #[error("{0}")]
    Eval(#[from] EvalError),
    #[error("{0}")]
    Train(#[from] TrainError),
    #[error("cannot write {}: {message}", path.display())]
    Write { path: PathBuf, message: String },
    /// The user stopped a run; it can be continued.
    #[error("stopped; the same command goes on from here")]
    Stopped,
    /// The user stopped a measurement; what it found until then has been printed.
    #[error("stopped; the figures are of what was done until then")]
    Partial,
    #[error("cannot read: {0}")]
    Input(io::Error),
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    /// Every failure was reported where it happened.
    #[error("{failed} of {all} pictures failed")]
    Reported { failed: usize, all: usize },
}

impl CliError {
    /// The program's exit status for this error.
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Eval(EvalError::Zero { .. }) => 2,
            Self::Train(
                TrainError::Settings { .. }
                | TrainError::Config { .. }
                | TrainError::Model(ModelError::Config { .. }),
            ) => 2,
            Self::Stopped
            | Self::Partial
            | Self::Import(
                ImportError::Package(PackageError::Stopped) | ImportError::Hub(HubError::Stopped),
            )
            | Self::Quantize {
                source: PackageError::Stopped,
                ..
            } => 130,
            Self::Interrupted { source, .. } => match **source {
                ImportError::Package(PackageError::Stopped) => 130,
                _ => 1,
            },
            Self::Quantize {
                source: PackageError::Pattern { .. } | PackageError::NothingToQuantise,
                ..
            } => 2,
            Self::Import(ImportError::Hub(HubError::Name { .. })) => 2,
            _ => 1,
        }
    }

    /// Whether the user has been told already.
    pub fn is_reported(&self) -> bool {
        matches!(self, Self::Reported { .. })
    }
}

fn places(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    shown.join(", ")
}
