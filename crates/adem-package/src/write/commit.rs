//! A package's files put in place so that its folder holds the old package or the new one, at
//! every moment and after a power cut.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::digest::Digest;
use crate::error::PackageError;
use crate::manifest::{MANIFEST_FILE, Manifest};

/// Files to be written to a folder. Only those too long for memory are on disk yet, under names
/// of their own, and go if this is dropped.
pub(crate) struct Commit<'a> {
    folder: &'a Path,
    files: Vec<(String, Content)>,
}

enum Content {
    Bytes(Vec<u8>),
    Staged(NamedTempFile),
}

/// Every file complete on disk under a name of its own, which goes if this is dropped.
pub(crate) struct Staged<'a> {
    folder: &'a Path,
    files: Vec<(PathBuf, NamedTempFile)>,
    manifest: NamedTempFile,
}

impl<'a> Commit<'a> {
    pub(crate) fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            files: Vec::new(),
        }
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
        self.push(name, Content::Staged(file), length, digest)
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
        let name = match (taken, name.rsplit_once('.')) {
            (true, Some((stem, extension))) => format!("{stem}-{}.{extension}", digest.short()),
            _ => name.to_owned(),
        };
        if !held(&name) {
            self.files.push((name.clone(), content));
        }
        name
    }

    /// Writes everything under temporary names, to the disk's surface.
    pub(crate) fn stage(self, manifest: Vec<u8>) -> Result<Staged<'a>, PackageError> {
        let folder = self.folder;
        fs::create_dir_all(folder).map_err(|e| fault(folder, e))?;
        let files = self
            .files
            .into_iter()
            .map(|(name, content)| {
                let path = folder.join(name);
                let staged = match content {
                    Content::Bytes(bytes) => stage(folder, &bytes).map_err(|e| fault(&path, e))?,
                    Content::Staged(file) => file,
                };
                Ok::<_, PackageError>((path, staged))
            })
            .collect::<Result<_, _>>()?;
        let manifest =
            stage(folder, &manifest).map_err(|e| fault(&folder.join(MANIFEST_FILE), e))?;
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
        let path = folder.join(MANIFEST_FILE);
        let before = fs::read(&path)
            .ok()
            .and_then(|bytes| Manifest::parse(&bytes).ok());
        let placed = place(files).and_then(|placed| {
            let persisted = sync(folder)
                .map_err(|e| fault(folder, e))
                .and_then(|()| staged.persist(&path).map_err(|e| fault(&path, e.error)));
            persisted.map(|_| ()).inspect_err(|_| remove(&placed))
        });
        placed?;
        // The new package is in place. Should its name not reach the disk, a power cut could
        // bring the old manifest back, so the old files go only if it did.
        if let (Some(before), Ok(())) = (before, sync(folder)) {
            let needed: HashSet<_> = file_names(manifest).collect();
            let stale = file_names(&before).filter(|name| !needed.contains(name));
            remove(&stale.map(|name| folder.join(name)).collect::<Vec<_>>());
        }
        Ok(())
    }
}

/// Gives staged files their names; all of them or none.
fn place(files: Vec<(PathBuf, NamedTempFile)>) -> Result<Vec<PathBuf>, PackageError> {
    let mut placed = Vec::new();
    for (path, staged) in files {
        if let Err(e) = staged.persist(&path) {
            remove(&placed);
            return Err(fault(&path, e.error));
        }
        placed.push(path);
    }
    Ok(placed)
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
fn holds(path: &Path, length: u64, digest: &Digest) -> bool {
    let same_length = path
        .metadata()
        .is_ok_and(|meta| meta.is_file() && meta.len() == length);
    same_length
        && fs::File::open(path)
            .and_then(Digest::of_file)
            .is_ok_and(|found| found == *digest)
}

fn stage(folder: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut file = temporary(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".adem-").suffix(".part");
    // Temporary files are private by default; a package is as readable as the umask says.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes the folder's names durable, where folders can be opened.
fn sync(folder: &Path) -> io::Result<()> {
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
