//! Bytes to be read: a file, or memory.

use std::fs::{self, File};
use std::io;
use std::ops::{Deref, Range};
use std::path::Path;
use std::time::SystemTime;

use memmap2::{Mmap, MmapOptions};

use crate::error::ImportError;

/// A file, read by ranges and never whole.
///
/// Headers are copied to memory, which holds no more than is asked for; weights are mapped, a window
/// at a time. A file that is changed while it is read gives an error.
pub struct Input {
    name: String,
    length: u64,
    bytes: Bytes,
}

enum Bytes {
    File(File, Option<SystemTime>),
    Memory(Vec<u8>),
}

/// Some bytes of an input, where they are.
#[derive(Debug)]
pub struct Window<'a>(Held<'a>);

#[derive(Debug)]
enum Held<'a> {
    Mapped(Mmap),
    Memory(&'a [u8]),
}

impl Deref for Window<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Held::Mapped(map) => map,
            Held::Memory(bytes) => bytes,
        }
    }
}

impl Input {
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`ImportError::Io`].
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let fail = |source| ImportError::io(path, source);
        // Opening a pipe or a device could wait for ever.
        if !fs::metadata(path).map_err(fail)?.is_file() {
            return Err(fail(io::Error::other("not a regular file")));
        }
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        Ok(Self {
            name: path.display().to_string(),
            length: meta.len(),
            bytes: Bytes::File(file, meta.modified().ok()),
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

    /// When the file was last changed, where that is known.
    pub fn modified(&self) -> Option<SystemTime> {
        match &self.bytes {
            Bytes::File(_, modified) => *modified,
            Bytes::Memory(_) => None,
        }
    }

    /// The bytes `range`, which the caller has bounded: they are held in memory.
    ///
    /// # Errors
    /// [`ImportError::Io`] where the file ends before.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>, ImportError> {
        let length = self.within(&range)?;
        match &self.bytes {
            Bytes::File(file, _) => {
                let mut buffer = vec![0; length];
                read_at(file, &mut buffer, range.start).map_err(|e| self.fail(e))?;
                Ok(buffer)
            }
            Bytes::Memory(_) => self.map(range).map(|window| window.to_vec()),
        }
    }

    /// The bytes `range`, where they are: mapped, in memory only as far as they are looked at.
    ///
    /// # Errors
    /// [`ImportError::Io`] where the file ends before, or is not as it was when it was opened.
    pub fn map(&self, range: Range<u64>) -> Result<Window<'_>, ImportError> {
        let length = self.within(&range)?;
        let (file, modified) = match &self.bytes {
            Bytes::File(file, modified) => (file, modified),
            Bytes::Memory(bytes) => {
                let start = range.start as usize;
                return Ok(Window(Held::Memory(&bytes[start..start + length])));
            }
        };
        if length == 0 {
            return Ok(Window(Held::Memory(&[])));
        }
        let now = file.metadata().map_err(|e| self.fail(e))?;
        if now.len() != self.length || now.modified().ok() != *modified {
            let reason = "it changed while it was read; import it again";
            return Err(self.fail(io::Error::other(reason)));
        }
        let mut options = MmapOptions::new();
        options.offset(range.start).len(length).populate();
        // SAFETY: the bytes are only read, as plain bytes, and any are valid. What the type cannot
        // promise is that nobody writes to the file: then values change as they are read, as with
        // other ways of reading. Cut short just after the check above, the file's lost pages end the
        // program with a signal, which is no more than being killed: a package is never half written.
        #[allow(unsafe_code)]
        let map = unsafe { options.map(file) };
        Ok(Window(Held::Mapped(map.map_err(|e| self.fail(e))?)))
    }

    /// The length of a range, which is within the file.
    fn within(&self, range: &Range<u64>) -> Result<usize, ImportError> {
        let short = || {
            let Range { start, end } = range;
            let reason = format!(
                "bytes {start}..{end} were asked for, the file ends at {}",
                self.length
            );
            self.fail(io::Error::new(io::ErrorKind::UnexpectedEof, reason))
        };
        if range.start > range.end || range.end > self.length {
            return Err(short());
        }
        usize::try_from(range.end - range.start).map_err(|_| short())
    }

    fn fail(&self, source: io::Error) -> ImportError {
        ImportError::Io {
            file: self.name.clone(),
            source,
        }
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
