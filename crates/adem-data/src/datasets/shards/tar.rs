//! Entries of a tar file as they come, each with its place, under limits.

use std::io::{self, Read};

/// Most bytes of headers before an entry: long names and extensions.
const MAX_HEADER_BYTES: u64 = 1 << 20;
const BLOCK: u64 = 512;
/// Characters of the tar reader's messages that are passed on.
const MAX_MESSAGE: usize = 160;

/// An entry of a tar file.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name as written: never used as a path.
    pub name: String,
    /// First byte of its headers.
    pub start: u64,
    pub body: Body,
}

/// What was kept of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Everything.
    Whole(Vec<u8>),
    /// Nothing: it is of no use here.
    Unwanted,
    /// Nothing: it is larger than this limit.
    TooLarge { limit: u64 },
}

/// Why there is no next entry.
#[derive(Debug)]
pub(super) enum TarError {
    /// The bytes could not be read.
    Read(String),
    /// The bytes are no tar file, or only the beginning of one.
    Damaged {
        /// Where the entry begins that is none.
        at: u64,
        message: String,
    },
}

/// Reads entries one after the other.
pub(super) struct Entries {
    input: Counted,
}

impl Entries {
    /// The entries of `input`, whose first byte is byte `from` of the file.
    pub(super) fn new(input: Box<dyn Read + Send>, from: u64) -> Self {
        Self {
            input: Counted {
                input,
                at: from,
                allowed: 0,
                failure: None,
            },
        }
    }

    /// The next entry; `limit` says how many bytes to keep of one of that name, if any.
    pub(super) fn next(
        &mut self,
        limit: impl FnOnce(&str) -> Option<u64>,
    ) -> Result<Option<Entry>, TarError> {
        let start = self.input.at;
        self.input.allowed = MAX_HEADER_BYTES;
        match read_entry(&mut self.input, start, limit) {
            Ok(entry) => Ok(entry),
            Err(error) => Err(match self.input.failure.take() {
                Some(failure) => TarError::Read(failure),
                None => TarError::Damaged {
                    at: start,
                    message: readable(&error.to_string()),
                },
            }),
        }
    }

    /// The byte after the last entry.
    pub(super) fn at(&self) -> u64 {
        self.input.at
    }
}

fn read_entry(
    input: &mut Counted,
    start: u64,
    limit: impl FnOnce(&str) -> Option<u64>,
) -> io::Result<Option<Entry>> {
    let (name, kind, size) = {
        // A fresh reader for every entry: it has no state between entries, and so borrows nothing.
        let mut archive = ::tar::Archive::new(&mut *input);
        let Some(entry) = archive.entries()?.next().transpose()? else {
            return Ok(None);
        };
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        (name, entry.header().entry_type(), entry.size())
    };
    if kind.is_gnu_sparse() {
        return Err(io::Error::other("it holds a sparse file"));
    }
    let padded = size
        .checked_next_multiple_of(BLOCK)
        .filter(|padded| input.at.checked_add(*padded).is_some())
        .ok_or_else(|| io::Error::other("an entry's size is impossible"))?;
    input.allowed = padded;
    let wanted = if kind.is_file() { limit(&name) } else { None };
    let body = match wanted {
        Some(limit) if size <= limit => {
            let mut bytes = Vec::new();
            input.by_ref().take(size).read_to_end(&mut bytes)?;
            if (bytes.len() as u64) < size {
                return Err(cut(&name));
            }
            Body::Whole(bytes)
        }
        Some(limit) => Body::TooLarge { limit },
        None => Body::Unwanted,
    };
    let rest = input.allowed;
    if io::copy(&mut input.by_ref().take(rest), &mut io::sink())? < rest {
        return Err(cut(&name));
    }
    Ok(Some(Entry { name, start, body }))
}

/// The tar reader's messages may hold anything that stood in the file.
fn readable(message: &str) -> String {
    let plain = message
        .chars()
        .map(|c| if c.is_control() { '?' } else { c });
    plain.take(MAX_MESSAGE).collect()
}

fn cut(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        format!("it ends within {name:?}"),
    )
}

/// Counts what is read, reads no more than is allowed, and remembers a failure to read, which the
/// tar reader would report in words of its own.
struct Counted {
    input: Box<dyn Read + Send>,
    at: u64,
    allowed: u64,
    failure: Option<String>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.allowed == 0 && !buffer.is_empty() {
            return Err(io::Error::other("an entry's headers are too long"));
        }
        let most = usize::try_from(self.allowed)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        match self.input.read(&mut buffer[..most]) {
            Ok(count) => {
                self.at += count as u64;
                self.allowed -= count as u64;
                Ok(count)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.failure = Some(error.to_string());
                }
                Err(error)
            }
        }
    }
}
