//! The shards of a package that is not complete: a folder beside the package's, which outlives the
//! program that fills it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::commit::{fault, is_temporary, stage, sync, temporary};
use crate::digest::Digest;
use crate::error::PackageError;

/// What follows the package's name in that of the folder.
pub(super) const SUFFIX: &str = ".partial";
/// Which shards are complete.
const JOURNAL: &str = "journal.json";
/// Held by the program that fills the folder.
const LOCK: &str = "lock";
/// What the names of shards begin with.
const SHARD: &str = "shard-";
/// Longest journal that is believed, bytes.
const JOURNAL_BYTES: u64 = 4 << 20;
/// How often the folder may vanish between being made and being locked.
const TRIES: usize = 16;

/// Length and digest of a complete shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    pub bytes: u64,
    pub sha256: Digest,
}

/// The shards that are complete, by their numbers, and what they are shards of.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Journal {
    plan: Digest,
    shards: BTreeMap<usize, Sealed>,
}

/// The folder, locked.
pub(super) struct Partial {
    place: PathBuf,
    lock: File,
    /// `None` where the shards are of nothing that could be written again.
    journal: Option<Journal>,
    /// Folders that were made for it, innermost first.
    made: Vec<PathBuf>,
    /// Complete shards that were there and are of something else.
    pub discarded: usize,
}

impl Partial {
    /// The folder for a package in `folder`, locked. Only complete shards of `plan` are in it.
    pub fn open(folder: &Path, plan: Option<Digest>) -> Result<Self, PackageError> {
        if folder.exists() && !folder.is_dir() {
            return Err(fault(folder, ErrorKind::NotADirectory.into()));
        }
        let place = place(folder).map_err(|e| fault(folder, e))?;
        if let Some(found) = foreign(&place) {
            return Err(PackageError::Occupied {
                path: place.display().to_string(),
                found,
            });
        }
        let ancestors = place.ancestors().take_while(|it| !it.exists());
        let made: Vec<_> = ancestors.map(Path::to_owned).collect();
        let locked = lock(&place).inspect_err(|_| remove_empty(&made));
        let mut partial = Self {
            lock: locked?,
            journal: None,
            made,
            discarded: 0,
            place,
        };
        let found = partial.read_journal();
        partial.journal = plan.map(|plan| Journal {
            plan,
            shards: BTreeMap::new(),
        });
        match found {
            Some(found) if Some(found.plan) == plan => partial.journal = Some(found),
            Some(found) => partial.discarded = found.shards.len(),
            None => {}
        }
        let kept = partial.shards();
        let unwanted = |name: &str| {
            let number = name.strip_prefix(SHARD).and_then(|it| it.parse().ok());
            let known = number.is_some_and(|number: usize| kept.contains_key(&number));
            !known && name != LOCK && name != JOURNAL
        };
        let cleared = partial.remove_files(unwanted);
        match cleared.and_then(|()| partial.write_journal()) {
            Ok(()) => Ok(partial),
            Err(e) => {
                partial.close(true);
                Err(e)
            }
        }
    }

    /// Where it is.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The shards that are said to be complete.
    pub fn shards(&self) -> BTreeMap<usize, Sealed> {
        let journal = self.journal.as_ref();
        journal.map_or_else(BTreeMap::new, |it| it.shards.clone())
    }

    /// Where shard `index` is or will be.
    pub fn shard(&self, index: usize) -> PathBuf {
        self.place.join(format!("{SHARD}{index:05}"))
    }

    /// An empty file in the folder.
    pub fn temporary(&self) -> Result<NamedTempFile, PackageError> {
        temporary(&self.place).map_err(|e| fault(&self.place, e))
    }

    /// Takes a shard that is complete and synced.
    pub fn keep(
        &mut self,
        index: usize,
        shard: NamedTempFile,
        sealed: Sealed,
    ) -> Result<(), PackageError> {
        let path = self.shard(index);
        shard.persist(&path).map_err(|e| fault(&path, e.error))?;
        if let Some(journal) = &mut self.journal {
            journal.shards.insert(index, sealed);
        }
        self.write_journal()
    }

    /// Forgets a shard that is not what it should be.
    pub fn drop_shard(&mut self, index: usize) -> Result<(), PackageError> {
        if let Some(journal) = &mut self.journal {
            journal.shards.remove(&index);
        }
        self.write_journal()?;
        let path = self.shard(index);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(fault(&path, e)),
            _ => Ok(()),
        }
    }

    /// Lets go of the folder; what is complete stays if it is to be kept, all else goes.
    pub fn close(self, keep: bool) {
        // What cannot be removed now is removed by whoever opens the folder next.
        let _ = self.remove_files(is_temporary);
        if keep && !self.shards().is_empty() {
            return;
        }
        let _ = self.remove_files(|name| name != LOCK);
        // The lock goes while it is held: whoever waits for it finds out that it is gone.
        let _ = fs::remove_file(self.place.join(LOCK));
        drop(self.lock);
        let _ = fs::remove_dir(&self.place);
        remove_empty(&self.made);
    }

    fn read_journal(&self) -> Option<Journal> {
        let file = File::open(self.place.join(JOURNAL)).ok()?;
        let mut bytes = Vec::new();
        file.take(JOURNAL_BYTES).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    fn write_journal(&self) -> Result<(), PackageError> {
        let path = self.place.join(JOURNAL);
        let fail = |e| fault(&path, e);
        let Some(journal) = &self.journal else {
            return match fs::remove_file(&path) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(fail(e)),
                _ => Ok(()),
            };
        };
        let bytes = serde_json::to_vec(journal).map_err(|e| fail(e.into()))?;
        let staged = stage(&self.place, &bytes).map_err(fail)?;
        staged.persist(&path).map_err(|e| fail(e.error))?;
        sync(&self.place).map_err(fail)
    }

    fn remove_files(&self, unwanted: impl Fn(&str) -> bool) -> Result<(), PackageError> {
        for name in names(&self.place).map_err(|e| fault(&self.place, e))? {
            if unwanted(&name) {
                let path = self.place.join(name);
                fs::remove_file(&path).map_err(|e| fault(&path, e))?;
            }
        }
        Ok(())
    }
}

/// Where the shards of a package in `folder` are gathered: beside it, or within it where files
/// beside it could not be moved into it.
fn place(folder: &Path) -> io::Result<PathBuf> {
    let there = folder.exists();
    let whole = match there {
        true => folder.canonicalize()?,
        false => std::path::absolute(folder)?,
    };
    let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else {
        return Ok(whole.join(SUFFIX));
    };
    let mut name = name.to_owned();
    name.push(SUFFIX);
    let beside = parent.join(name);
    if there && !beside.exists() && !(same_disk(parent, &whole)? && is_writable(parent)) {
        return Ok(whole.join(SUFFIX));
    }
    Ok(beside)
}

/// Whether files can be made in `folder`.
fn is_writable(folder: &Path) -> bool {
    temporary(folder).is_ok()
}

/// Whether a file can be renamed from one folder into the other.
#[cfg(unix)]
fn same_disk(one: &Path, other: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(one.metadata()?.dev() == other.metadata()?.dev())
}

#[cfg(not(unix))]
fn same_disk(_: &Path, _: &Path) -> io::Result<bool> {
    Ok(true)
}

/// Something in the folder that is not ours.
fn foreign(place: &Path) -> Option<String> {
    let is_ours = |name: &String| {
        name == LOCK || name == JOURNAL || name.starts_with(SHARD) || is_temporary(name)
    };
    names(place).ok()?.into_iter().find(|name| !is_ours(name))
}

fn names(place: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(place)?;
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries.map(|entry| entry.map(name)).collect()
}

/// Makes the folder and locks it for this program.
fn lock(place: &Path) -> Result<File, PackageError> {
    let path = place.join(LOCK);
    for _ in 0..TRIES {
        fs::create_dir_all(place).map_err(|e| fault(place, e))?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = match options.open(&path) {
            // The program that had it has just removed its folder.
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            opened => opened.map_err(|e| fault(&path, e))?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(PackageError::Busy {
                    path: place.display().to_string(),
                });
            }
            // Some network disks have no locks.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(fault(&path, e)),
        }
        if is_at(&file, &path) {
            return Ok(file);
        }
    }
    Err(fault(&path, ErrorKind::NotFound.into()))
}

/// Whether the open file is still the one of that name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let key = |meta: fs::Metadata| (meta.dev(), meta.ino());
    let (held, named) = (file.metadata().map(key), fs::metadata(path).map(key));
    matches!((held, named), (Ok(held), Ok(named)) if held == named)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

/// Removes folders that hold nothing, innermost first.
fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        if fs::remove_dir(folder).is_err() && folder.exists() {
            return;
        }
    }
}
