//! Files that a command writes at its end.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// Finds out before any work is done whether `path` can be written by [`replace`]: it is free, or a
/// file that begins with `beginning`, as the ones of this kind do. Nothing else is written over.
pub fn may_write(path: &Path, beginning: &str, kind: &str) -> Result<(), CliError> {
    let refuse = |message: String| Err(fault(path, message));
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let folder = folder_of(path);
            return match folder.is_dir() {
                true => Ok(()),
                false => refuse(format!("there is no folder `{}`", folder.display())),
            };
        }
        Err(error) => return refuse(error.to_string()),
    };
    if !found.is_file() {
        return refuse("it is there and is no ordinary file".to_owned());
    }
    let mut first = Vec::new();
    let limit = beginning.len() as u64;
    match File::open(path).and_then(|file| file.take(limit).read_to_end(&mut first)) {
        Err(error) => refuse(error.to_string()),
        Ok(_) if first.is_empty() || first == beginning.as_bytes() => Ok(()),
        Ok(_) => refuse(format!(
            "it is there and is no {kind}; give another name, or delete it"
        )),
    }
}

/// Writes a file by way of a temporary one beside it. Where `path` is a link, what it leads to is
/// replaced.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let write = || -> io::Result<()> {
        let target = match fs::canonicalize(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
            found => found?,
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".adem-").suffix(".part");
        // Temporary files are private by default; a result is as readable as the umask says.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder_of(&target))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(&target)?;
        Ok(())
    };
    write().map_err(|error| fault(path, error.to_string()))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn fault(path: &Path, message: String) -> CliError {
    CliError::Write {
        path: path.to_owned(),
        message,
    }
}
