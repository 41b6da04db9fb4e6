//! Models of the Hugging Face hub, by name: their files in the folder where Hugging Face's own
//! library keeps them, fetched where they are not there yet.

mod cache;
mod choice;
mod client;
mod download;
mod error;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

pub(crate) use cache::origin;
pub use error::HubError;

use cache::Cache;
use client::Client;
use download::{Download, Total};

/// Before the names of the hub's models.
const SCHEME: &str = "hf:";
/// The revision that is meant where none is named.
const MAIN: &str = "main";

/// A model of the hub, or one file of it: `hf:OWNER/NAME[/FILE][@REVISION]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubName {
    /// `OWNER/NAME`.
    pub repository: String,
    /// A path in the repository, where not the whole model is meant.
    pub file: Option<String>,
    /// Branch, tag or commit.
    pub revision: String,
}

impl HubName {
    /// The name in `text`; `None` where it is none of the hub's.
    ///
    /// # Errors
    /// [`HubError::Name`].
    pub fn parse(text: &str) -> Option<Result<Self, HubError>> {
        let rest = text.strip_prefix(SCHEME)?;
        let fault = |reason| HubError::Name {
            name: text.to_owned(),
            reason,
        };
        let (path, revision) = rest.split_once('@').unwrap_or((rest, MAIN));
        let parts: Vec<_> = path.split('/').collect();
        if parts.len() < 2 || !parts.iter().all(|part| is_plain(part)) {
            return Some(Err(fault("a model's name is hf:OWNER/NAME")));
        }
        if !revision.split('/').all(is_plain) {
            return Some(Err(fault("a revision is a branch, a tag or a commit")));
        }
        Some(Ok(Self {
            repository: parts[..2].join("/"),
            file: (parts.len() > 2).then(|| parts[2..].join("/")),
            revision: revision.to_owned(),
        }))
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.repository)?;
        if let Some(file) = &self.file {
            write!(f, "/{file}")?;
        }
        match self.revision.as_str() {
            MAIN => Ok(()),
            revision => write!(f, "@{revision}"),
        }
    }
}

/// Whether `part` is one name in a path, and leads nowhere else.
fn is_plain(part: &str) -> bool {
    !part.is_empty()
        && part.len() <= 255
        && !part.starts_with('.')
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '='))
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HubProgress {
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Those of `bytes` that came over the network just now.
    pub fetched: u64,
    /// Files that are whole.
    pub files: usize,
    /// All files.
    pub total_files: usize,
}

/// Where models come from and are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// The hub's address.
    pub endpoint: String,
    /// The folder of models, `~/.cache/huggingface/hub`.
    pub cache: PathBuf,
    /// The key to models that are not public.
    pub token: Option<String>,
    /// Only what is in the cache; nothing is asked of the network.
    pub offline: bool,
}

impl HubOptions {
    /// As Hugging Face's own programs find them in the environment, `variable`: `HF_ENDPOINT`,
    /// `HF_HUB_CACHE` or `HF_HOME`, `HF_TOKEN` or a file of it, `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`HubError::NoHome`] where no folder is named and there is no home.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, HubError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let user = || path("HOME").or_else(|| path("USERPROFILE"));
        let caches = || path("XDG_CACHE_HOME").or_else(|| Some(user()?.join(".cache")));
        let home = path("HF_HOME").or_else(|| Some(caches()?.join("huggingface")));
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.or_else(|| Some(home.as_ref()?.join("hub")));
        let kept = path("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")));
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| std::fs::read_to_string(kept?).ok());
        let token = token.map(|token| token.trim().to_owned());
        let yes = |value: String| {
            let value = value.to_ascii_uppercase();
            matches!(value.as_str(), "1" | "ON" | "YES" | "TRUE")
        };
        let endpoint = set("HF_ENDPOINT");
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        Ok(Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: cache.ok_or(HubError::NoHome)?,
            token: token.filter(|token| !token.is_empty()),
            offline: set("HF_HUB_OFFLINE").is_some_and(yes),
        })
    }
}

/// Brings `name` into the cache and returns the folder, or the single file, to be imported.
///
/// Of a whole model those files are fetched that an import reads: config, tokenizer, and the
/// weights in one format. What is in the cache already is used; a download that was cut short goes
/// on where it stopped, by byte ranges; each file's digest is checked before it has its name.
/// `progress` is called every few megabytes, and `stop` looked at.
///
/// # Errors
/// [`HubError`]; what was fetched is kept.
pub fn fetch(
    name: &HubName,
    options: &HubOptions,
    progress: &mut dyn FnMut(HubProgress),
    stop: &AtomicBool,
) -> Result<PathBuf, HubError> {
    let cache = Cache::new(&options.cache, &name.repository);
    if options.offline {
        return cache.find(name);
    }
    let client = Client::new(options, name);
    let listing = client.list()?;
    let mut total = Total::default();
    let mut all = choice::first(name, &listing.files)?;
    let mut download = Download {
        client: &client,
        cache: &cache,
        commit: &listing.commit,
        progress,
        stop,
    };
    download.all(&all, &mut total)?;
    let folder = cache.snapshot(&listing.commit);
    let weights = choice::weights(name, &listing.files, &all, &folder)?;
    download.all(&weights, &mut total)?;
    all.extend(weights);
    cache.remember(&name.revision, &listing.commit)?;
    Ok(match choice::single(name, &all) {
        Some(file) => folder.join(&file.path),
        None => folder,
    })
}
