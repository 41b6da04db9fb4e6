//! Bytes to be read: a file, or memory.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::error::ImportError;

/// A file, read by ranges and never whole.
///
/// Reading places instead of mapping the file keeps what is held in memory to what is asked for,
/// and a file that is cut short while it is read gives an error and not a fault.
pub struct Input {
    name: String,
    length: u64,
    bytes: Bytes,
}

enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

impl Input {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`ImportError::Io`].
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let fail = |source| ImportError::io(path, source);
        let meta = fs::metadata(path).map_err(fail)?;
        // Opening a pipe or a device could wait for ever.
        if !meta.is_file() {
            return Err(fail(io::Error::other("not a regular file")));
        }
        Ok(Self {
            name: path.display().to_string(),
            length: meta.len(),
            bytes: Bytes::File(File::open(path).map_err(fail)?),
        })
    }

    /// Bytes at hand, under a name for messages.
    pub fn memory(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            length: bytes.len() as u64,
            bytes: Bytes::Memory(bytes),
        }
    }

    /// The file's path, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes `range`, which the caller has bounded: they are held in memory.
    ///
    /// # Errors
    /// [`ImportError::Io`] where the file ends before.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ImportError> {
        let fail = |source| ImportError::Io {
            file: self.name.clone(),
            source,
        };
        let short = || {
            let Range { start, end } = range.clone();
            let reason = format!(
                "bytes {start}..{end} were asked for, the file ends at {}",
                self.length
            );
            fail(io::Error::new(io::ErrorKind::UnexpectedEof, reason))
        };
        if range.start > range.end || range.end > self.length {
            return Err(short());
        }
        let length = usize::try_from(range.end - range.start).map_err(|_| short())?;
        let mut buffer = vec![0; length];
        match &self.bytes {
            Bytes::File(file) => read_at(file, &mut buffer, range.start).map_err(fail)?,
            Bytes::Memory(bytes) => {
                let start = range.start as usize;
                let held = bytes.get(start..start + length).ok_or_else(short)?;
                buffer.copy_from_slice(held);
            }
        }
        Ok(buffer)
    }

    /// Up to `most` of the first bytes.
    pub(crate) fn first(&self, most: u64) -> Result<Vec<u8>, ImportError> {
        self.read(0..self.length.min(most))
    }

    /// The whole file, refused where it has more than `limit` bytes.
    pub(crate) fn whole(&self, format: &'static str, limit: u64) -> Result<Vec<u8>, ImportError> {
        if self.length > limit {
            let reason = format!("it has {} bytes, at most {limit} are read", self.length);
            return Err(ImportError::malformed(&self.name, format, reason));
        }
        self.read(0..self.length)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                buffer = &mut buffer[read..];
                at += read as u64;
            }
        }
    }
    Ok(())
}
