//! Features of an encoder that does not change, on disk: each picture is encoded once in a run's
//! life.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::tensor::TensorData;
use half::f16;

use crate::error::TrainError;

/// Features by picture, in one file of records of one size: the picture's number, its values, and
/// the number once more, so that a record that was cut short is seen.
#[derive(Debug)]
pub(crate) struct FeatureCache {
    path: PathBuf,
    shape: [usize; 2],
    kept: Kept,
    state: Mutex<State>,
}

/// How a cache keeps its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// In single precision, as they were computed.
    Single,
    /// In half precision: half the disk.
    Half,
}

impl Kept {
    fn bytes(self) -> usize {
        match self {
            Self::Single => 4,
            Self::Half => 2,
        }
    }

    fn encode(self, values: &[f32], to: &mut Vec<u8>) {
        match self {
            Self::Single => to.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::Half => to.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes())),
        }
    }

    fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::Single => {
                let words = bytes.as_chunks::<4>().0.iter();
                words.map(|b| f32::from_le_bytes(*b)).collect()
            }
            Self::Half => {
                let words = bytes.as_chunks::<2>().0.iter();
                words.map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
        }
    }
}

#[derive(Debug)]
struct State {
    file: File,
    records: HashMap<u64, u64>,
}

const MARK: usize = 8;

/// The number of a picture, or of what features depend on (FNV-1a over its name).
pub(crate) fn number(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl FeatureCache {
    /// Opens the cache of features `[tokens, width]` in `folder`, a file whose name begins with
    /// `name`. `depends_on` is what the features depend on, as encoder, size and normalisation: with
    /// anything else in it another file is opened.
    ///
    /// # Errors
    /// [`TrainError::File`] when the disk refuses.
    pub(crate) fn open(
        folder: &Path,
        name: &str,
        depends_on: &str,
        shape: [usize; 2],
        kept: Kept,
    ) -> Result<Self, TrainError> {
        let path = folder.join(format!("{name}-{:016x}.bin", number(depends_on)));
        let fail = |e: std::io::Error| TrainError::file(&path, e);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(fail)?;
        let record = (shape[0] * shape[1] * kept.bytes() + 2 * MARK) as u64;
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
            kept,
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
        let mut bytes = Vec::with_capacity(values.len() * self.kept.bytes() + 2 * MARK);
        bytes.extend(number.to_le_bytes());
        self.kept.encode(values, &mut bytes);
        bytes.extend(number.to_le_bytes());
        let fail = |e: std::io::Error| TrainError::file(&self.path, e);
        let at = state.file.seek(SeekFrom::End(0)).map_err(fail)?;
        state.file.write_all(&bytes).map_err(fail)?;
        state.records.insert(number, at);
        Ok(())
    }

    /// Waits until the disk has what was added.
    pub(crate) fn sync(&self) -> Result<(), TrainError> {
        let synced = self.state().file.sync_all();
        synced.map_err(|e| TrainError::file(&self.path, e))
    }

    /// The features `[tokens, width]` of a picture, row by row.
    pub(crate) fn of(&self, id: &str) -> Result<Vec<f32>, TrainError> {
        let mut state = self.state();
        let missing = || TrainError::file(&self.path, format!("has no features of {id}"));
        let at = *state.records.get(&number(id)).ok_or_else(missing)?;
        self.at(&mut state, at)
    }

    /// Shows the features of all pictures, in the order in which they were added.
    pub(crate) fn each(&self, mut show: impl FnMut(&[f32])) -> Result<(), TrainError> {
        let mut state = self.state();
        let mut places: Vec<u64> = state.records.values().copied().collect();
        places.sort_unstable();
        for at in places {
            show(&self.at(&mut state, at)?);
        }
        Ok(())
    }

    fn at(&self, state: &mut State, at: u64) -> Result<Vec<f32>, TrainError> {
        let fail = |e: std::io::Error| TrainError::file(&self.path, e);
        let mut bytes = vec![0; self.shape[0] * self.shape[1] * self.kept.bytes()];
        let start = SeekFrom::Start(at + MARK as u64);
        state.file.seek(start).map_err(fail)?;
        state.file.read_exact(&mut bytes).map_err(fail)?;
        Ok(self.kept.decode(&bytes))
    }

    /// Features `[n, tokens, width]` of pictures; zeros for a row without one.
    pub(crate) fn read<'a>(
        &self,
        ids: impl Iterator<Item = Option<&'a str>>,
    ) -> Result<TensorData, TrainError> {
        let each = self.shape[0] * self.shape[1];
        let mut values: Vec<f32> = Vec::new();
        let mut count = 0;
        for id in ids {
            count += 1;
            match id {
                None => values.resize(values.len() + each, 0.0),
                Some(id) => values.extend(self.of(id)?),
            }
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
        for kept in [Kept::Single, Kept::Half] {
            let folder = tempfile::tempdir().unwrap();
            let open = |of: &str| FeatureCache::open(folder.path(), "f", of, [2, 2], kept).unwrap();
            let cache = open("an encoder");
            cache.add("a", &[1.0, 2.0, 3.0, 4.0]).unwrap();
            cache.add("b", &[5.0, 6.0, 7.0, 8.0]).unwrap();
            let path = cache.path.clone();
            drop(cache);
            let length = std::fs::metadata(&path).unwrap().len();
            assert_eq!(length, 2 * (4 * kept.bytes() as u64 + 16));
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            file.set_len(length - 3).unwrap();
            let cache = open("an encoder");
            assert!(cache.holds("a") && !cache.holds("b"));
            cache.add("b", &[9.0; 4]).unwrap();
            cache.sync().unwrap();
            let read = cache
                .read([Some("b"), None, Some("a")].into_iter())
                .unwrap();
            let values = read.try_to_vec::<f32>().unwrap();
            let expected = [[9.0; 4], [0.0; 4], [1.0, 2.0, 3.0, 4.0]].concat();
            assert_eq!(values, expected);
            let mut all = Vec::new();
            cache.each(|values| all.push(values.to_vec())).unwrap();
            assert_eq!(all, [vec![1.0, 2.0, 3.0, 4.0], vec![9.0; 4]]);
            assert!(cache.of("c").is_err());
            assert!(!open("another encoder").holds("a"));
        }
    }
}
