//! The checkpoints of one stage: the newest, some before it, and the best.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checkpoint::Checkpoint;
use crate::error::TrainError;

/// Checkpoints in one folder, by the newest one's name: `tune.safetensors` is the newest,
/// `tune-00000120.safetensors` the one of step 120 where more than one are kept,
/// `tune-best.safetensors` the one with the lowest validation loss, `tune-best-cider.safetensors` the
/// one with the highest CIDEr-D.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    newest: PathBuf,
    keep: usize,
}

impl Store {
    /// Checkpoints whose newest is `newest`; `keep` of them are kept.
    pub(crate) fn new(newest: &Path, keep: usize) -> Self {
        Self {
            newest: newest.to_owned(),
            keep,
        }
    }

    /// The newest checkpoint's file, where there is one.
    pub(crate) fn newest(&self) -> Option<PathBuf> {
        self.newest.is_file().then(|| self.newest.clone())
    }

    /// Reads the newest checkpoint; `None` where there is none.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it is damaged or was made with other `settings`; the older
    /// ones that are whole are named.
    pub(crate) fn load(&self, settings: &str) -> Result<Option<Checkpoint>, TrainError> {
        Checkpoint::load(&self.newest, settings).map_err(|error| match error {
            TrainError::Checkpoint { path, message } => {
                let message = match self.earlier().last() {
                    Some(older) => format!(
                        "{message} (`{}` is an older one that can take its place)",
                        older.display()
                    ),
                    None => message,
                };
                TrainError::Checkpoint { path, message }
            }
            other => other,
        })
    }

    /// Writes the newest checkpoint, and drops those beyond the number that is kept.
    ///
    /// # Errors
    /// [`TrainError::File`] when the disk refuses; the checkpoint before stays whole.
    pub(crate) fn save(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.save(&self.newest)?;
        if self.keep < 2 {
            return Ok(());
        }
        let numbered = self.sibling(&format!("{:08}", checkpoint.step));
        let _ = fs::remove_file(&numbered);
        // The same file under a second name; where the disk has no such thing, a copy.
        if fs::hard_link(&self.newest, &numbered).is_err() {
            checkpoint.save(&numbered)?;
        }
        let earlier = self.earlier();
        for old in earlier.iter().rev().skip(self.keep) {
            fs::remove_file(old).map_err(|e| TrainError::file(old, e))?;
        }
        Ok(())
    }

    /// Writes the checkpoint with the lowest validation loss.
    ///
    /// # Errors
    /// [`TrainError::File`] when the disk refuses.
    pub(crate) fn save_best(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.save(&self.sibling("best"))
    }

    /// Writes the checkpoint with the highest CIDEr-D.
    ///
    /// # Errors
    /// [`TrainError::File`] when the disk refuses.
    pub(crate) fn save_best_cider(&self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        checkpoint.save(&self.sibling("best-cider"))
    }

    /// The numbered checkpoints, oldest first.
    fn earlier(&self) -> Vec<PathBuf> {
        let stem = self.stem();
        let folder = self.newest.parent().unwrap_or(Path::new("."));
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
                let number = name
                    .as_deref()
                    .and_then(|n| n.strip_prefix(&format!("{stem}-")))
                    .and_then(|n| n.strip_suffix(".safetensors"))
                    .map(str::to_owned);
                number.is_some_and(|n| n.len() >= 8 && n.bytes().all(|b| b.is_ascii_digit()))
            })
            .collect();
        found.sort();
        found
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        self.newest
            .with_file_name(format!("{}-{suffix}.safetensors", self.stem()))
    }

    fn stem(&self) -> String {
        self.newest
            .file_stem()
            .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
    }
}
