//! Why a model of the hub did not come.

use std::io;
use std::path::Path;

/// What can go wrong with the hub's models.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Not a name of the hub's.
    #[error("`{name}`: {reason}; as hf:HuggingFaceTB/SmolLM-135M, or with /FILE and @REVISION")]
    Name {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no place for models.
    #[error(
        "there is no home folder to keep models in; name a folder in the environment variable HF_HOME"
    )]
    NoHome,
    /// No such model, revision or file.
    #[error("{name}: the hub has no such {what}; look at {page}")]
    NotFound {
        /// The model.
        name: String,
        /// What is missing.
        what: String,
        /// Where a person can look.
        page: String,
    },
    /// The model is not for everybody.
    #[error(
        "{name}: the hub refuses it ({status}): it is gated or private, or there is none. Accept its terms at {page}, and {}",
        match token {
            true => "use a token that may read it: the one in HF_TOKEN, or of `hf auth login`, may not",
            false => "give a token in the environment variable HF_TOKEN (https://huggingface.co/settings/tokens)",
        }
    )]
    Denied {
        /// The model.
        name: String,
        /// The HTTP status, 401 or 403.
        status: u16,
        /// Where its terms are.
        page: String,
        /// Whether a token was given.
        token: bool,
    },
    /// The hub cannot be reached, or breaks off again and again.
    #[error(
        "{url}: {reason}; the same command goes on from here, and with --offline takes what is in the cache"
    )]
    Network {
        /// What was asked for.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The hub's answer makes no sense.
    #[error("{url}: {reason}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A file is not what the hub says it is.
    #[error(
        "{name}: `{file}` came damaged: its {kind} is {found}, the hub says {wanted}. It was deleted; the same command fetches it again"
    )]
    Digest {
        /// The model.
        name: String,
        /// The file.
        file: String,
        /// Name of the digest.
        kind: &'static str,
        /// The hub's.
        wanted: String,
        /// The file's.
        found: String,
    },
    /// The cache does not have it.
    #[error("{name}: {what} is not in `{cache}`; fetch it without --offline (HF_HUB_OFFLINE)")]
    Offline {
        /// The model.
        name: String,
        /// What is missing.
        what: String,
        /// The cache.
        cache: String,
    },
    /// The repository has nothing to import, or too much.
    #[error("{name}: {reason}")]
    Choice {
        /// The model.
        name: String,
        /// What was looked for.
        reason: String,
    },
    /// The operating system refused.
    #[error("cannot write `{file}`: {source}")]
    Io {
        /// The file or folder.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The user stopped it.
    #[error("stopped; the same command goes on from here")]
    Stopped,
}

impl HubError {
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io {
            file: file.display().to_string(),
            source,
        }
    }
}
