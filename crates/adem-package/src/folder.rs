//! A package in a folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Digest;
use crate::error::{PackageError, SourceError};
use crate::limits;
use crate::manifest::Manifest;
use crate::source::{Reading, WeightSource, plain};

/// Reads a package from a folder of the file system.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A source for the files in `path`. Nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Compares the files that `manifest` speaks of with it: their lengths and digests, read piece by
    /// piece. `stop` ends it between two files.
    ///
    /// # Errors
    /// [`PackageError::Length`], [`PackageError::Altered`], [`PackageError::Stopped`], or what reading
    /// a file refuses.
    pub fn compare(&self, manifest: &Manifest, stop: &AtomicBool) -> Result<(), PackageError> {
        let tokenizer = &manifest.tokenizer;
        let shards = manifest.shards.iter();
        let shards = shards.map(|shard| (&shard.file, shard.bytes, shard.sha256));
        let all = [(&tokenizer.file, tokenizer.bytes, tokenizer.sha256)];
        for (file, expected, sha256) in all.into_iter().chain(shards) {
            if stop.load(Ordering::Relaxed) {
                return Err(PackageError::Stopped);
            }
            let found = self.length(file)?;
            if found != expected {
                let file = file.clone();
                return Err(PackageError::Length {
                    file,
                    expected,
                    found,
                });
            }
            let digest = File::open(self.path.join(file)).and_then(Digest::of_file);
            let found = digest.map_err(|e| self.fault(file, e))?;
            if found != sha256 {
                return Err(PackageError::Altered {
                    file: file.clone(),
                    expected: sha256,
                    found,
                });
            }
        }
        Ok(())
    }

    fn length(&self, file: &str) -> Result<u64, SourceError> {
        plain(file)?;
        let meta = fs::metadata(self.path.join(file)).map_err(|e| self.fault(file, e))?;
        // Opening a pipe or a device could wait for ever.
        if !meta.is_file() {
            return Err(self.fault(file, std::io::Error::other("not a regular file")));
        }
        Ok(meta.len())
    }

    fn bytes(&self, file: &str, range: &Range<u64>) -> Result<Vec<u8>, SourceError> {
        let found = self.length(file)?;
        if range.end > found {
            return Err(SourceError::Short {
                file: file.to_owned(),
                wanted: range.end,
                found,
            });
        }
        let wanted = range.end.saturating_sub(range.start);
        if wanted > limits::SHARD_BYTES {
            return Err(SourceError::TooLong {
                file: file.to_owned(),
                limit: limits::SHARD_BYTES,
            });
        }
        let mut bytes = Vec::with_capacity(wanted as usize);
        let mut opened = File::open(self.path.join(file)).map_err(|e| self.fault(file, e))?;
        opened
            .seek(SeekFrom::Start(range.start))
            .and_then(|_| opened.take(wanted).read_to_end(&mut bytes))
            .map_err(|e| self.fault(file, e))?;
        if bytes.len() as u64 != wanted {
            return Err(SourceError::Changed {
                file: file.to_owned(),
                before: found,
                after: range.start + bytes.len() as u64,
            });
        }
        Ok(bytes)
    }

    fn fault(&self, file: &str, source: std::io::Error) -> SourceError {
        if source.kind() == ErrorKind::NotFound {
            return SourceError::NotFound {
                file: file.to_owned(),
                place: format!("`{}`", self.path.display()),
            };
        }
        SourceError::Io {
            file: self.path.join(file).display().to_string(),
            source,
        }
    }
}

impl WeightSource for Folder {
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(async move { self.length(file) })
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>> {
        Box::pin(async move { self.bytes(file, &range) })
    }
}
