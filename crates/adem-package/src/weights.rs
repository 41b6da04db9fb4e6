//! A package's tensors in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::dtype::Dtype;
use crate::error::PackageError;
use crate::header::Entry;

/// Every tensor of a package, by name. Values are finite; they are kept as stored and become
/// single precision when taken. A shard's memory is freed with the last of its tensors.
#[derive(Default)]
pub struct Weights {
    tensors: BTreeMap<String, Stored>,
    taken: BTreeSet<String>,
    shards: Vec<Shard>,
}

struct Stored {
    shard: usize,
    entry: Entry,
}

struct Shard {
    bytes: Vec<u8>,
    /// Tensors not yet taken.
    left: usize,
}

/// One tensor as stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TensorView<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: &'a [usize],
    /// Row-major little-endian values.
    pub bytes: &'a [u8],
}

impl TensorView<'_> {
    /// The values in single precision, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        self.dtype.decode(self.bytes)
    }
}

impl fmt::Debug for TensorView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}", self.name, self.dtype.name(), self.shape)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let views = self
            .tensors
            .iter()
            .map(|(name, stored)| self.view(name, stored));
        f.debug_list().entries(views).finish()
    }
}

impl Weights {
    /// Adds a shard whose header and values have been checked. Names are the manifest's, so
    /// they occur once in the whole package.
    pub(crate) fn push(&mut self, bytes: Vec<u8>, entries: Vec<Entry>) {
        let shard = self.shards.len();
        self.shards.push(Shard {
            bytes,
            left: entries.len(),
        });
        let stored = entries
            .into_iter()
            .map(|entry| (entry.name.clone(), Stored { shard, entry }));
        self.tensors.extend(stored);
    }

    /// Whether `name` is there and was not taken.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor `name` as stored.
    ///
    /// # Errors
    /// [`PackageError::MissingTensor`], or [`PackageError::Taken`].
    pub fn get(&self, name: &str) -> Result<TensorView<'_>, PackageError> {
        match self.tensors.get_key_value(name) {
            Some((name, stored)) => Ok(self.view(name, stored)),
            None => Err(self.absent(name)),
        }
    }

    /// Removes the tensor `name`, which must have the dimensions `shape`, and returns its values
    /// in single precision, row-major.
    ///
    /// # Errors
    /// [`PackageError::MissingTensor`], [`Taken`](PackageError::Taken), or
    /// [`Shape`](PackageError::Shape); in the last case the tensor stays.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, PackageError> {
        let view = self.get(name)?;
        if view.shape != shape {
            return Err(PackageError::Shape {
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found: view.shape.to_vec(),
            });
        }
        let values = view.to_f32();
        if let Some(stored) = self.tensors.remove(name) {
            let shard = &mut self.shards[stored.shard];
            shard.left -= 1;
            if shard.left == 0 {
                shard.bytes = Vec::new();
            }
            self.taken.insert(name.to_owned());
        }
        Ok(values)
    }

    /// The tensors not taken, in order of their names. A model that has taken all it needs
    /// and leaves some is not the model these weights were trained as.
    pub fn unused(&self) -> impl Iterator<Item = TensorView<'_>> {
        self.tensors
            .iter()
            .map(|(name, stored)| self.view(name, stored))
    }

    /// Number of tensors not taken.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether every tensor was taken.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    fn view<'a>(&'a self, name: &'a str, stored: &'a Stored) -> TensorView<'a> {
        let Entry {
            dtype, shape, span, ..
        } = &stored.entry;
        TensorView {
            name,
            dtype: *dtype,
            shape,
            bytes: &self.shards[stored.shard].bytes[span.clone()],
        }
    }

    fn absent(&self, name: &str) -> PackageError {
        let tensor = name.to_owned();
        if self.taken.contains(name) {
            PackageError::Taken { tensor }
        } else {
            PackageError::MissingTensor { tensor }
        }
    }
}
