//! A tensor's values on their way into its shard.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::NamedTempFile;

use super::encode::overflow;
use super::plan::Planned;
use super::staged::put;
use super::stream::{ORIGIN, StreamTensor};
use crate::error::PackageError;
use crate::package::check_finite;
use crate::quant::{EncodeError, Method, Recipe, ScaleType, Scheme, encode};

/// What ends the writing of a shard before its end.
#[derive(Clone, Copy)]
pub(super) struct Halt<'a> {
    /// The caller's wish.
    pub stop: &'a AtomicBool,
    /// Number of the first shard that could not be written.
    pub failed: &'a AtomicUsize,
    /// The number of this one.
    pub shard: usize,
}

impl Halt<'_> {
    /// Shards before one that failed go on, so that what is wrong with the first of them is told,
    /// however many are written at once.
    fn check(&self) -> Result<(), PackageError> {
        let failed = self.failed.load(Ordering::Relaxed) < self.shard;
        match failed || self.stop.load(Ordering::Relaxed) {
            true => Err(PackageError::Stopped),
            false => Ok(()),
        }
    }
}

/// Takes the values of one tensor, in row-major order.
pub struct Sink<'a> {
    pub(super) staged: &'a mut NamedTempFile,
    pub(super) planned: &'a Planned<'a>,
    pub(super) method: Method,
    /// Where the next values go, or codes and scales.
    pub(super) places: [u64; 2],
    /// Elements taken.
    pub(super) elements: usize,
    pub(super) halt: Halt<'a>,
}

impl Sink<'_> {
    /// How the tensor is quantised, if it is.
    pub fn scheme(&self) -> Option<(Scheme, ScaleType)> {
        let quantised = self.planned.quantised.as_ref();
        quantised.map(|(entry, _)| (entry.scheme, entry.scale))
    }

    /// Takes the next values; whole rows, where the tensor is quantised.
    ///
    /// # Errors
    /// [`PackageError::Stopped`] where the caller wants that; otherwise too many, not finite, beyond
    /// the range of the stored type, or the disk refuses.
    pub fn values(&mut self, values: &[f32]) -> Result<(), PackageError> {
        let name = &self.planned.tensor.name;
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(PackageError::NonFinite {
                file: ORIGIN.to_owned(),
                tensor: name.clone(),
                index: self.elements + index,
                value: values[index],
            });
        }
        let first = self.elements;
        match &self.planned.quantised {
            None => {
                let dtype = self.planned.tensor.dtype;
                let bytes = dtype.encode(values);
                overflow(name, dtype, &bytes, values, first)?;
                self.count(values.len())?;
                self.put(0, &bytes)
            }
            Some((entry, geometry)) => {
                let recipe = Recipe {
                    scheme: entry.scheme,
                    scale: entry.scale,
                    method: self.method,
                    importance: None,
                };
                let blocks = encode(values, geometry.cols, &recipe)
                    .map_err(|error| refused(name, first, error))?;
                let words: Vec<u8> = blocks.words.iter().flat_map(|w| w.to_le_bytes()).collect();
                self.count(values.len())?;
                self.put(0, &words)?;
                self.put(1, &entry.scale.dtype().encode(&blocks.scales))
            }
        }
    }

    /// Takes the next values of a float tensor as they are stored.
    ///
    /// # Errors
    /// [`PackageError::Stopped`] where the caller wants that; otherwise too many, no whole elements,
    /// not finite, the tensor is quantised, or the disk refuses.
    pub fn stored(&mut self, bytes: &[u8]) -> Result<(), PackageError> {
        let StreamTensor { name, dtype, .. } = self.planned.tensor;
        if self.planned.quantised.is_some() || !bytes.len().is_multiple_of(dtype.size()) {
            return Err(self.unwritable("was given bytes that are not its elements".to_owned()));
        }
        check_finite(ORIGIN, name, *dtype, bytes, self.elements)?;
        self.count(bytes.len() / dtype.size())?;
        self.put(0, bytes)
    }

    /// Takes the next rows of a quantised weight as they are stored: codes and scales, in the
    /// layout of [`quant`](crate::quant), scales in the tensor's type.
    ///
    /// # Errors
    /// [`PackageError::Stopped`] where the caller wants that; otherwise too many, no whole rows, a
    /// scale that is none, the tensor is not quantised, or the disk refuses.
    pub fn blocks(&mut self, words: &[u8], scales: &[u8]) -> Result<(), PackageError> {
        let Some((entry, geometry)) = &self.planned.quantised else {
            return Err(self.unwritable("was given blocks and is not quantised".to_owned()));
        };
        let row = [
            geometry.row_words(entry.scheme) * size_of::<u32>(),
            geometry.blocks() * entry.scale.dtype().size(),
        ];
        let rows = words.len() / row[0];
        if words.len() != rows * row[0] || scales.len() != rows * row[1] {
            return Err(self.unwritable("was given blocks that are no whole rows".to_owned()));
        }
        let values = entry.scale.dtype().decode(scales);
        let reach = entry.scheme.reach();
        if let Some(scale) = values.iter().find(|scale| !(**scale * reach).is_finite()) {
            return Err(self.unwritable(format!("was given the scale {scale}, which is none")));
        }
        self.count(rows * geometry.cols)?;
        self.put(0, words)?;
        self.put(1, scales)
    }

    fn put(&mut self, part: usize, bytes: &[u8]) -> Result<(), PackageError> {
        put(self.staged, self.places[part], bytes)?;
        self.places[part] += bytes.len() as u64;
        Ok(())
    }

    /// Counts elements before they are written: no tensor runs into the next.
    fn count(&mut self, elements: usize) -> Result<(), PackageError> {
        self.halt.check()?;
        let all: usize = self.planned.tensor.shape.iter().product();
        match self
            .elements
            .checked_add(elements)
            .filter(|now| *now <= all)
        {
            Some(now) => {
                self.elements = now;
                Ok(())
            }
            None => Err(self.unwritable(format!("was given more than its {all} values"))),
        }
    }

    pub(super) fn finish(self) -> Result<(), PackageError> {
        let all: usize = self.planned.tensor.shape.iter().product();
        match self.elements == all {
            true => Ok(()),
            false => Err(self.unwritable(format!("was given {} of {all} values", self.elements))),
        }
    }

    fn unwritable(&self, reason: String) -> PackageError {
        PackageError::Unwritable {
            tensor: self.planned.tensor.name.clone(),
            reason,
        }
    }
}

/// What to say of values from element `first` of a tensor on that cannot be quantised.
fn refused(name: &str, first: usize, error: EncodeError) -> PackageError {
    match error {
        EncodeError::Unfit {
            index,
            value,
            largest,
        } => PackageError::Unscalable {
            file: ORIGIN.to_owned(),
            tensor: name.to_owned(),
            index: first + index,
            value,
            largest,
        },
        other => PackageError::Unwritable {
            tensor: name.to_owned(),
            reason: other.to_string(),
        },
    }
}
