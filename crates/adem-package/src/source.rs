//! Where a package's bytes come from.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use crate::error::SourceError;
use crate::name::is_plain;

/// A read in progress. Not `Send`: in the browser it holds JavaScript values.
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + 'a>>;

/// Files of one package, read by byte ranges.
///
/// Implementations refuse any `file` that is not a plain name, and answer a range with exactly
/// its bytes or an error. Native implementations block inside the future's first poll.
pub trait WeightSource {
    /// Length of `file` in bytes.
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64>;

    /// The bytes `range` of `file`; an error when the file ends before the range does.
    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>>;
}

impl<S: WeightSource + ?Sized> WeightSource for Box<S> {
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        (**self).len(file)
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>> {
        (**self).read(file, range)
    }
}

/// A package held in memory: files a person chose in the browser, or bytes built in.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<String, Vec<u8>>,
}

impl Memory {
    /// A source with no file yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `file`, replacing one of the same name.
    pub fn insert(&mut self, file: impl Into<String>, bytes: Vec<u8>) {
        self.files.insert(file.into(), bytes);
    }

    fn file(&self, file: &str) -> Result<&[u8], SourceError> {
        plain(file)?;
        let bytes = self.files.get(file).ok_or_else(|| SourceError::NotFound {
            file: file.to_owned(),
            place: "the chosen files".to_owned(),
        })?;
        Ok(bytes)
    }
}

impl<N: Into<String>> FromIterator<(N, Vec<u8>)> for Memory {
    fn from_iter<I: IntoIterator<Item = (N, Vec<u8>)>>(files: I) -> Self {
        Self {
            files: files
                .into_iter()
                .map(|(name, bytes)| (name.into(), bytes))
                .collect(),
        }
    }
}

impl WeightSource for Memory {
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(async move { Ok(self.file(file)?.len() as u64) })
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>> {
        Box::pin(async move { Ok(slice(file, self.file(file)?, &range)?.to_vec()) })
    }
}

/// Refuses a name that could lead out of the package.
pub(crate) fn plain(file: &str) -> Result<(), SourceError> {
    if is_plain(file) {
        return Ok(());
    }
    Err(SourceError::Name {
        file: file.chars().take(200).collect(),
    })
}

/// `range` of a file whose whole bytes are at hand.
pub(crate) fn slice<'b>(
    file: &str,
    bytes: &'b [u8],
    range: &Range<u64>,
) -> Result<&'b [u8], SourceError> {
    let start = usize::try_from(range.start).ok();
    let end = usize::try_from(range.end).ok();
    start
        .zip(end)
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or_else(|| SourceError::Short {
            file: file.to_owned(),
            wanted: range.end,
            found: bytes.len() as u64,
        })
}
