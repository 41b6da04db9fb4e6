//! A package's files put in place so that its folder holds the old package or the new one, at
//! every moment and after a power cut.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::partial::SUFFIX as PARTIAL;
use crate::digest::Digest;
use crate::error::PackageError;
use crate::manifest::{MANIFEST_FILE, Manifest};

/// Files to be written to a folder. Only those too long for memory are on disk yet, under names
/// of their own, and go if this is dropped.
pub(crate) struct Commit<'a> {
    folder: &'a Path,
    /// Where files are before they have their names; on the folder's disk.
    staging: &'a Path,
    files: Vec<(String, Content)>,
}

enum Content {
    Bytes(Vec<u8>),
    Staged(Complete),
}

/// A complete file under another name.
enum Complete {
    /// It goes if it is not given its name.
    Temporary(NamedTempFile),
    /// It stays where it is then.
    Kept(PathBuf),
}

/// Every file complete on disk under a name of its own.
pub(crate) struct Staged<'a> {
    folder: &'a Path,
    files: Vec<(PathBuf, Complete)>,
    manifest: NamedTempFile,
}

impl<'a> Commit<'a> {
    /// # Errors
    /// [`PackageError::Foreign`] for a folder of something else.
    pub(crate) fn new(folder: &'a Path) -> Result<Self, PackageError> {
        Self::staged_in(folder, folder)
    }

    /// A commit whose files are gathered in `staging`, so that nothing is in the folder before the
    /// last step.
    pub(crate) fn staged_in(folder: &'a Path, staging: &'a Path) -> Result<Self, PackageError> {
        own(folder)?;
        Ok(Self {
            folder,
            staging,
            files: Vec::new(),
        })
    }

    /// Adds a file and returns the name it will have: `name`, unless other bytes have it.
    pub(crate) fn add(&mut self, name: &str, bytes: Vec<u8>) -> String {
        let (length, digest) = (bytes.len() as u64, Digest::of(&bytes));
        self.push(name, Content::Bytes(bytes), length, digest)
    }

    /// Adds a file of [`Commit::temporary`], complete and synced, of which length and digest are
    /// known, and returns its name as [`Commit::add`] does.
    pub(crate) fn add_staged(
        &mut self,
        name: &str,
        file: NamedTempFile,
        length: u64,
        digest: Digest,
    ) -> String {
        let content = Content::Staged(Complete::Temporary(file));
        self.push(name, content, length, digest)
    }

    /// Adds a file that is complete and synced and lies at `path`, on the folder's disk; otherwise as
    /// [`Commit::add_staged`].
    pub(crate) fn add_kept(
        &mut self,
        name: &str,
        path: PathBuf,
        length: u64,
        digest: Digest,
    ) -> String {
        let content = Content::Staged(Complete::Kept(path));
        self.push(name, content, length, digest)
    }

    /// An empty file in the folder, which is made if it is not there.
    pub(crate) fn temporary(&self) -> Result<NamedTempFile, PackageError> {
        fs::create_dir_all(self.folder)
            .and_then(|()| temporary(self.folder))
            .map_err(|e| fault(self.folder, e))
    }

    fn push(&mut self, name: &str, content: Content, length: u64, digest: Digest) -> String {
        let held = |name: &str| holds(&self.folder.join(name), length, &digest);
        let taken = self.folder.join(name).symlink_metadata().is_ok() && !held(name);
        let name = match taken {
            true => digest.versioned(name),
            false => name.to_owned(),
        };
        if !held(&name) {
            self.files.push((name.clone(), content));
        }
        name
    }

    /// Writes everything under temporary names, to the disk's surface.
    pub(crate) fn stage(self, manifest: Vec<u8>) -> Result<Staged<'a>, PackageError> {
        let (folder, staging) = (self.folder, self.staging);
        fs::create_dir_all(staging).map_err(|e| fault(staging, e))?;
        let files = self
            .files
            .into_iter()
            .map(|(name, content)| {
                let path = folder.join(name);
                let staged = match content {
                    Content::Bytes(bytes) => {
                        let file = stage(staging, &bytes).map_err(|e| fault(&path, e))?;
                        Complete::Temporary(file)
                    }
                    Content::Staged(file) => file,
                };
                Ok::<_, PackageError>((path, staged))
            })
            .collect::<Result<_, _>>()?;
        let manifest =
            stage(staging, &manifest).map_err(|e| fault(&folder.join(MANIFEST_FILE), e))?;
        Ok(Staged {
            folder,
            files,
            manifest,
        })
    }
}

impl Staged<'_> {
    /// Gives the files their names, the manifest last, then removes what only the package that
    /// was there before needed.
    pub(crate) fn finish(self, manifest: &Manifest) -> Result<(), PackageError> {
        let Self {
            folder,
            files,
            manifest: staged,
        } = self;
        let fresh = !folder.exists();
        fs::create_dir_all(folder).map_err(|e| fault(folder, e))?;
        let path = folder.join(MANIFEST_FILE);
        let before = fs::read(&path)
            .ok()
            .and_then(|bytes| Manifest::parse(&bytes).ok());
        let placed = place(files).and_then(|placed| {
            let persisted = sync(folder)
                .map_err(|e| fault(folder, e))
                .and_then(|()| staged.persist(&path).map_err(|e| fault(&path, e.error)));
            persisted.map(|_| ()).inspect_err(|_| take_back(placed))
        });
        if placed.is_err() && fresh {
            // Only an empty folder goes.
            let _ = fs::remove_dir(folder);
        }
        placed?;
        // The new package is in place. Should its name not reach the disk, a power cut could
        // bring the old manifest back, so the old files go only if it did.
        if let (Some(before), Ok(())) = (before, sync(folder)) {
            let needed: HashSet<_> = file_names(manifest).collect();
            let stale = file_names(&before).filter(|name| !needed.contains(name));
            remove(&stale.map(|name| folder.join(name)).collect::<Vec<_>>());
        }
        remove(&left_behind(folder));
        Ok(())
    }
}

/// Refuses a folder that holds something else than a package, whole or in the making, before anything
/// in it is replaced.
pub(super) fn own(folder: &Path) -> Result<(), PackageError> {
    let foreign = |found: String| PackageError::Foreign {
        path: folder.display().to_string(),
        found,
    };
    match fs::read(folder.join(MANIFEST_FILE)) {
        Ok(bytes) => match Manifest::parse(&bytes) {
            Ok(_) => return Ok(()),
            Err(_) => return Err(foreign(format!("{MANIFEST_FILE}, which is no manifest"))),
        },
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(_) if !folder.is_dir() => return Err(fault(folder, ErrorKind::NotADirectory.into())),
        Err(e) => return Err(fault(&folder.join(MANIFEST_FILE), e)),
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(fault(folder, e)),
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names = names.map(|name| name.to_string_lossy().into_owned());
    match names.find(|name| !is_own(name)) {
        Some(name) => Err(foreign(name)),
        None => Ok(()),
    }
}

/// Whether a package that was not finished has files of this name.
fn is_own(name: &str) -> bool {
    let shard = name.starts_with("weights-") && name.ends_with(".safetensors");
    let tokenizer = name.starts_with("tokenizer") && name.ends_with(".json");
    // A disk's own folder, at the top of one.
    shard || tokenizer || is_temporary(name) || name == PARTIAL || name == "lost+found"
}

/// Temporary files of programs that were killed: those a day old, as a younger one may be in use.
fn left_behind(folder: &Path) -> Vec<PathBuf> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let old = |entry: &fs::DirEntry| {
        let changed = entry.metadata().and_then(|meta| meta.modified());
        changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > DAY))
    };
    entries
        .filter(|entry| is_temporary(&entry.file_name().to_string_lossy()) && old(entry))
        .map(|entry| entry.path())
        .collect()
}

/// A file that was given its name, and the one it had where that is to be given back.
type Placed = (PathBuf, Option<PathBuf>);

/// Gives staged files their names; all of them or none.
fn place(files: Vec<(PathBuf, Complete)>) -> Result<Vec<Placed>, PackageError> {
    let mut placed = Vec::new();
    for (path, file) in files {
        let named = match file {
            Complete::Temporary(file) => file.persist(&path).map(|_| None).map_err(|e| e.error),
            Complete::Kept(from) => fs::rename(&from, &path).map(|()| Some(from)),
        };
        match named {
            Ok(from) => placed.push((path, from)),
            Err(e) => {
                take_back(placed);
                return Err(fault(&path, e));
            }
        }
    }
    Ok(placed)
}

/// Undoes [`place`]. What that does not reach does no harm: no manifest refers to it.
fn take_back(placed: Vec<Placed>) {
    for (path, from) in placed {
        let _ = match from {
            Some(from) => fs::rename(path, from),
            None => fs::remove_file(path),
        };
    }
}

fn file_names(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let shards = manifest.shards.iter().map(|shard| shard.file.as_str());
    shards.chain([manifest.tokenizer.file.as_str()])
}

/// Removes files no manifest refers to; one that stays does no harm.
fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _ = fs::remove_file(path);
    }
}

/// Whether the file at `path` has this length and digest.
pub(super) fn holds(path: &Path, length: u64, digest: &Digest) -> bool {
    let same_length = path
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() == length);
    same_length
        && fs::File::open(path)
            .and_then(Digest::of_file)
            .is_ok_and(|found| found == *digest)
}

pub(super) fn stage(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = temporary(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// What the names of temporary files begin and end with.
const TEMPORARY: [&str; 2] = [".adem-", ".part"];

/// Whether a file of this name is one that was left behind when the program was killed.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY[0]) && name.ends_with(TEMPORARY[1])
}

pub(super) fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY[0]).suffix(TEMPORARY[1]);
    // Temporary files are private by default; a package is as readable as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes the folder's names durable, where folders can be opened.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        fs::File::open(folder)?.sync_all()
    } else {
        Ok(())
    }
}

pub(crate) fn fault(path: &Path, source: io::Error) -> PackageError {
    PackageError::Write {
        path: path.display().to_string(),
        source,
    }
}
