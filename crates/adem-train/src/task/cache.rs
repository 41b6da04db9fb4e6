//! Features of the frozen encoder on disk: each picture is encoded once in a run's life.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::tensor::TensorData;

use crate::error::TrainError;

/// Features by picture, in one file of records of one size: the picture's number, its values, and
/// the number once more, so that a record that was cut short is seen.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    path: PathBuf,
    shape: [usize; 2],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    records: HashMap<u64, u64>,
}

const MARK: usize = 8;

/// The number of a picture (FNV-1a over its name).
fn number(id: &str) -> u64 {
    id.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl FeatureCache {
    /// Opens the cache of features `[tokens, width]` in `folder`. `fingerprint` tells apart what
    /// the features depend on: encoder, size and normalisation.
    ///
    /// # Errors
    /// [`TrainError::File`] when the disk refuses.
    pub(crate) fn open(
        folder: &Path,
        fingerprint: u64,
        shape: [usize; 2],
    ) -> Result<Self, TrainError> {
        let path = folder.join(format!("features-{fingerprint:016x}.bin"));
        let fail = |e: std::io::Error| TrainError::file(&path, e);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        let record = (shape[0] * shape[1] * 4 + 2 * MARK) as u64;
        let length = file.metadata().map_err(fail)?.len();
        let mut records = HashMap::new();
        let mut at = 0;
        while at + record <= length {
            let mut mark = |at: u64| -> std::io::Result<u64> {
                let mut bytes = [0; MARK];
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut bytes)?;
                Ok(u64::from_le_bytes(bytes))
            };
            let first = mark(at).map_err(fail)?;
            if first != mark(at + record - MARK as u64).map_err(fail)? {
                break;
            }
            records.insert(first, at);
            at += record;
        }
        // What was cut short is written anew.
        file.set_len(at).map_err(fail)?;
        Ok(Self {
            state: Mutex::new(State { file, records }),
            path,
            shape,
        })
    }

    /// Whether a picture's features are there.
    pub(crate) fn holds(&self, id: &str) -> bool {
        self.state().records.contains_key(&number(id))
    }

    /// Adds the features of a picture.
    pub(crate) fn add(&self, id: &str, values: &[f32]) -> Result<(), TrainError> {
        let number = number(id);
        let mut state = self.state();
        let mut bytes = Vec::with_capacity(values.len() * 4 + 2 * MARK);
        bytes.extend(number.to_le_bytes());
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        bytes.extend(number.to_le_bytes());
        let fail = |e: std::io::Error| TrainError::file(&self.path, e);
        let at = state.file.seek(SeekFrom::End(0)).map_err(fail)?;
        state.file.write_all(&bytes).map_err(fail)?;
        state.records.insert(number, at);
        Ok(())
    }

    /// Features `[n, tokens, width]` of pictures; zeros for a row without one.
    pub(crate) fn read<'a>(
        &self,
        ids: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<TensorData, TrainError> {
        let each = self.shape[0] * self.shape[1];
        let mut values: Vec<f32> = Vec::new();
        let mut count = 0;
        let mut state = self.state();
        for id in ids {
            count += 1;
            let Some(id) = id else {
                values.resize(values.len() + each, 0.0);
                continue;
            };
            let missing = || TrainError::file(&self.path, format!("has no features of {id}"));
            let at = *state.records.get(&number(id)).ok_or_else(missing)?;
            let mut bytes = vec![0; each * 4];
            let fail = |e: std::io::Error| TrainError::file(&self.path, e);
            state
                .file
                .seek(SeekFrom::Start(at + MARK as u64))
                .map_err(fail)?;
            state.file.read_exact(&mut bytes).map_err(fail)?;
            values.extend(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|b| f32::from_le_bytes(*b)),
            );
        }
        Ok(TensorData::new(
            values,
            [count, self.shape[0], self.shape[1]],
        ))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn features_outlive_the_program_and_a_record_cut_short_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(folder.path(), 7, [2, 2]).unwrap();
        cache.add("a", &[1.0, 2.0, 3.0, 4.0]).unwrap();
        cache.add("b", &[5.0, 6.0, 7.0, 8.0]).unwrap();
        let path = cache.path.clone();
        drop(cache);
        let length = std::fs::metadata(&path).unwrap().len();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(length - 3).unwrap();
        let cache = FeatureCache::open(folder.path(), 7, [2, 2]).unwrap();
        assert!(cache.holds("a") && !cache.holds("b"));
        cache.add("b", &[9.0; 4]).unwrap();
        let read = cache
            .read([Some("b"), None, Some("a")].into_iter())
            .unwrap();
        let values = read.try_to_vec::<f32>().unwrap();
        let expected = [[9.0; 4], [0.0; 4], [1.0, 2.0, 3.0, 4.0]].concat();
        assert_eq!(values, expected);
        let other = FeatureCache::open(folder.path(), 8, [2, 2]).unwrap();
        assert!(!other.holds("a"), "another encoder's features");
    }
}
