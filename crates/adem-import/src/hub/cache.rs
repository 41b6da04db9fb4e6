//! The folder of models as `huggingface_hub` lays it out: `models--OWNER--NAME` with `blobs/DIGEST`,
//! `snapshots/COMMIT/FILE`, which are links to blobs, and `refs/REVISION`, which hold commits.

use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};

use super::client::Remote;
use super::{HubError, HubName};

/// Before the names of models' folders.
const MODELS: &str = "models--";
const SNAPSHOTS: &str = "snapshots";

/// One model's folder.
pub(super) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub fn new(root: &Path, repository: &str) -> Self {
        let own = format!("{MODELS}{}", repository.replace('/', "--"));
        Self {
            folder: root.join(&own),
            locks: root.join(".locks").join(own),
        }
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join(SNAPSHOTS).join(commit)
    }

    /// Where the bytes of a file are, or will be.
    pub fn blob(&self, file: &Remote) -> PathBuf {
        self.folder.join("blobs").join(file.digest.text())
    }

    /// What is there of `name` without asking anybody.
    pub fn find(&self, name: &HubName) -> Result<PathBuf, HubError> {
        let missing = |what: String| HubError::Offline {
            name: name.to_string(),
            what,
            cache: self.folder.display().to_string(),
        };
        let known = self.folder.join("refs").join(&name.revision);
        let commit = match fs::read_to_string(known) {
            Ok(commit) => commit.trim().to_owned(),
            // A commit is its own name.
            Err(_) => name.revision.clone(),
        };
        let folder = self.snapshot(&commit);
        if !super::is_plain(&commit) || !folder.is_dir() {
            return Err(missing(format!("revision `{}`", name.revision)));
        }
        if let Some(file) = &name.file {
            let path = folder.join(file);
            return match path.exists() {
                true => Ok(path),
                false => Err(missing(format!("`{file}`"))),
            };
        }
        if folder.join("config.json").exists() {
            return Ok(folder);
        }
        let entries = fs::read_dir(&folder).map_err(|e| HubError::io(&folder, e))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut models = paths.filter(|path| path.extension().is_some_and(|it| it == "gguf"));
        match (models.next(), models.next()) {
            (Some(one), None) => Ok(one),
            _ => Ok(folder),
        }
    }

    /// Whether the snapshot has the file already; a blob that is there gets its name in it.
    pub fn has(&self, commit: &str, file: &Remote) -> Result<bool, HubError> {
        let whole = |path: &Path| fs::metadata(path).is_ok_and(|it| it.len() == file.size);
        if whole(&self.snapshot(commit).join(&file.path)) {
            return Ok(true);
        }
        match whole(&self.blob(file)) {
            true => self.link(commit, file).map(|()| true),
            false => Ok(false),
        }
    }

    /// Gives a blob its name in a snapshot.
    pub fn link(&self, commit: &str, file: &Remote) -> Result<(), HubError> {
        let path = self.snapshot(commit).join(&file.path);
        let blob = self.blob(file);
        let linked = make_parent(&path).and_then(|()| {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            link(&blob, &path, 2 + file.path.matches('/').count())
        });
        linked.map_err(|e| HubError::io(&path, e))
    }

    /// Notes which commit a revision is.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<(), HubError> {
        if revision == commit {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        let new = path.with_extension("new");
        let noted = make_parent(&path)
            .and_then(|()| fs::write(&new, commit))
            .and_then(|()| fs::rename(&new, &path));
        noted.map_err(|e| HubError::io(&path, e))
    }

    /// Waits until no other program fetches this file, and keeps others from it.
    pub fn lock(&self, file: &Remote) -> Result<File, HubError> {
        let path = self.locks.join(format!("{}.lock", file.digest.text()));
        let locked = make_parent(&path).and_then(|()| {
            let lock = File::create(&path)?;
            lock.lock()?;
            Ok(lock)
        });
        locked.map_err(|e| HubError::io(&path, e))
    }
}

pub(super) fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

/// A link to `blob` in a folder that is `deep` below the model's.
#[cfg(unix)]
fn link(blob: &Path, path: &Path, deep: usize) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    let target = PathBuf::from("../".repeat(deep)).join("blobs").join(name);
    std::os::unix::fs::symlink(target, path)
}

/// Links need a privilege here; a second name of the file needs none.
#[cfg(not(unix))]
fn link(blob: &Path, path: &Path, _deep: usize) -> io::Result<()> {
    fs::hard_link(blob, path)
}

/// Model and commit of a path into the cache, as `OWNER/NAME` and `COMMIT`.
pub(crate) fn origin(path: &Path) -> Option<(String, String)> {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    let model = parts.find_map(|part| part.strip_prefix(MODELS))?;
    let commit = (parts.next() == Some(SNAPSHOTS)).then(|| parts.next())??;
    Some((model.replacen("--", "/", 1), commit.to_owned()))
}
