//! Packages in files: those a reader has chosen, and those of the store.

use crate::{opfs, store::Model};
use adem_package::{MANIFEST_FILE, Reading, SourceError, WeightSource};
use std::ops::Range;
use web_sys::File;

/// The files of a folder that a reader has chosen. They are read where they lie.
pub(crate) struct Chosen(pub Vec<File>);

/// A model of the store, with its manifest at hand: that one may not be there yet.
pub(crate) struct Stored<'m> {
    pub model: &'m Model,
    pub manifest: &'m [u8],
}

impl WeightSource for Chosen {
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(async move { Ok(self.find(file)?.size() as u64) })
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>> {
        Box::pin(async move { slice(file, self.find(file)?, range).await })
    }
}

impl Chosen {
    fn find(&self, file: &str) -> Result<&File, SourceError> {
        let found = self.0.iter().find(|chosen| chosen.name() == file);
        found.ok_or_else(|| absent(file, "the chosen folder"))
    }
}

impl WeightSource for Stored<'_> {
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(async move {
            match file == MANIFEST_FILE {
                true => Ok(self.manifest.len() as u64),
                false => Ok(self.find(file).await?.size() as u64),
            }
        })
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>> {
        Box::pin(async move {
            if file != MANIFEST_FILE {
                return slice(file, &self.find(file).await?, range).await;
            }
            let bounds = range.start as usize..range.end as usize;
            let bytes = self.manifest.get(bounds).map(<[u8]>::to_vec);
            bytes.ok_or_else(|| short(file, &range, self.manifest.len() as u64))
        })
    }
}

impl Stored<'_> {
    async fn find(&self, file: &str) -> Result<File, SourceError> {
        let found = self.model.folder.file(file).await;
        let found = found.map_err(|refusal| unreadable(file, &refusal))?;
        found.ok_or_else(|| absent(file, "the models kept on this device"))
    }
}

async fn slice(name: &str, file: &File, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
    let read = opfs::read(file, range.start, range.end).await;
    let bytes = read.map_err(|refusal| unreadable(name, &refusal))?;
    match bytes.len() as u64 == range.end - range.start {
        true => Ok(bytes),
        false => Err(short(name, &range, file.size() as u64)),
    }
}

fn absent(file: &str, place: &str) -> SourceError {
    SourceError::NotFound {
        file: file.to_owned(),
        place: place.to_owned(),
    }
}

fn short(file: &str, range: &Range<u64>, found: u64) -> SourceError {
    SourceError::Short {
        file: file.to_owned(),
        wanted: range.end,
        found,
    }
}

fn unreadable(file: &str, refusal: &opfs::Refusal) -> SourceError {
    SourceError::Io {
        file: file.to_owned(),
        source: std::io::Error::other(refusal.message.clone()),
    }
}
