//! What can be wrong with files to be imported, and where.

use std::io;
use std::path::Path;

use adem_data::tokenizer::TokenizerError;
use adem_package::{PackageError, StreamError};

use crate::hub::HubError;
use crate::report::Mismatch;

/// Why an import was refused. The target folder is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The operating system refused.
    #[error("cannot read `{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file of no format that is read here.
    #[error(
        "`{file}` is no checkpoint that is read here ({reason}); safetensors, PyTorch (.pth, .bin, .pt), GGUF and llama2.c files are"
    )]
    Unknown {
        /// The file.
        file: String,
        /// What it looks like.
        reason: String,
    },
    /// A file that is damaged, or not what it says it is.
    #[error("`{file}` is not a sound {format} file: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// The format it seems to have.
        format: &'static str,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A tensor that cannot be, or that cannot be read.
    #[error("tensor `{tensor}` in `{file}`: {reason}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor, under the file's own name.
        tensor: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pickle that asks for code.
    #[error(
        "`{file}` asks for `{global}`, and a pickle that is read here may hold tensors and plain containers only; nothing was run. Load it where you trust it, and save its `state_dict()` alone"
    )]
    Global {
        /// The file.
        file: String,
        /// Module and name, as the pickle spells them.
        global: String,
    },
    /// A program with its weights.
    #[error(
        "`{file}` is a TorchScript archive: a program with its weights, as OpenAI publishes CLIP. Programs are not read here. Save the weights alone with PyTorch: `torch.save(torch.jit.load(\"{file}\", map_location=\"cpu\").state_dict(), \"weights.pth\")`, and import that"
    )]
    TorchScript {
        /// The file.
        file: String,
    },
    /// A config that says what this program cannot be.
    #[error("`{file}`: `{field}` {reason}")]
    Config {
        /// The config file, or the checkpoint whose metadata it is.
        file: String,
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder that holds nothing to import, or too much.
    #[error("`{folder}`: {reason}")]
    Folder {
        /// The folder.
        folder: String,
        /// What was looked for.
        reason: String,
    },
    /// Sources that do not make one package.
    #[error("{0}")]
    Sources(String),
    /// Tensors missing, left over or of another shape.
    #[error("{0}")]
    Mismatch(Box<Mismatch>),
    /// A tokenizer of another kind, or a damaged one.
    #[error("`{file}`: {source}")]
    Tokenizer {
        /// The file it is from.
        file: String,
        /// What is wrong with it.
        source: TokenizerError,
    },
    /// A model of the Hugging Face hub did not come.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The package could not be written, or read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl StreamError for ImportError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Io { .. } => true,
            Self::Package(error) => error.may_pass(),
            _ => false,
        }
    }
}

impl ImportError {
    pub(crate) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io {
            file: file.display().to_string(),
            source,
        }
    }

    pub(crate) fn malformed(file: &str, format: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed {
            file: file.to_owned(),
            format,
            reason: reason.into(),
        }
    }

    pub(crate) fn tensor(file: &str, tensor: &str, reason: impl Into<String>) -> Self {
        Self::Tensor {
            file: file.to_owned(),
            tensor: excerpt(tensor),
            reason: reason.into(),
        }
    }

    pub(crate) fn config(file: &str, field: &str, reason: impl Into<String>) -> Self {
        Self::Config {
            file: file.to_owned(),
            field: field.to_owned(),
            reason: reason.into(),
        }
    }
}

/// `text` without control characters, cut to a length that fits a message.
pub(crate) fn excerpt(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    match text.char_indices().nth(100) {
        Some((end, _)) => text[..end]
            .chars()
            .map(clean)
            .chain("...".chars())
            .collect(),
        None => text.chars().map(clean).collect(),
    }
}
