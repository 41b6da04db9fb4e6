//! A package's tensors in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use crate::dtype::{Dtype, Element};
use crate::error::PackageError;
use crate::header::Entry;
use crate::package::Quantised;
use crate::quant::{Part, QuantTensor, QuantView};

/// Tensors of a package, by name: all of them, or those of one shard. Values are finite; they are
/// kept as stored, in blocks where they are quantised, and become single precision when taken. A
/// shard's memory is freed with the last of its tensors.
#[derive(Default)]
pub struct Weights {
    tensors: BTreeMap<String, Stored>,
    taken: BTreeSet<String>,
    shards: Vec<Shard>,
}

struct Stored {
    shard: usize,
    place: Place,
}

/// Where a tensor lies in its shard.
enum Place {
    Float {
        dtype: Dtype,
        shape: Vec<usize>,
        span: Range<usize>,
    },
    Quantised {
        tensor: QuantTensor,
        words: Range<usize>,
        scales: Range<usize>,
    },
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
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: &'a [usize],
    /// The values.
    pub storage: Storage<'a>,
}

/// A tensor's values as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage<'a> {
    /// Each value by itself.
    Float {
        /// Element type.
        dtype: Dtype,
        /// Row-major little-endian values.
        bytes: &'a [u8],
    },
    /// Blocks of codes with their scales.
    Quantised(QuantView<'a>),
}

impl TensorView<'_> {
    /// The values in single precision, row-major.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.storage {
            Storage::Float { dtype, bytes } => dtype.decode(bytes),
            Storage::Quantised(view) => view.to_f32(),
        }
    }

    /// Element type, or scheme of the blocks.
    fn kind(&self) -> &'static str {
        match self.storage {
            Storage::Float { dtype, .. } => dtype.name(),
            Storage::Quantised(view) => view.scheme().name(),
        }
    }
}

impl fmt::Debug for TensorView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {:?}", self.name, self.kind(), self.shape)
    }
}

impl fmt::Debug for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.unused()).finish()
    }
}

impl Weights {
    /// Adds a shard whose header and values have been checked. Names are the manifest's, so
    /// they occur once in the whole package.
    pub(crate) fn push(&mut self, bytes: Vec<u8>, entries: Vec<Entry>, quantised: &Quantised<'_>) {
        let scales: BTreeMap<_, _> = entries
            .iter()
            .filter_map(|entry| match quantised.get(&entry.name) {
                Some((tensor, Part::Scales)) => Some((&tensor.name, entry.span.clone())),
                _ => None,
            })
            .collect();
        let shard = self.shards.len();
        let mut left = 0;
        for entry in &entries {
            let (name, place) = match (quantised.get(&entry.name), entry.element) {
                (Some((tensor, Part::Words)), _) => {
                    // The manifest's check found both tensors in one shard.
                    let Some(scales) = scales.get(&tensor.name) else {
                        continue;
                    };
                    let place = Place::Quantised {
                        tensor: (*tensor).clone(),
                        words: entry.span.clone(),
                        scales: scales.clone(),
                    };
                    (&tensor.name, place)
                }
                (None, Element::Float(dtype)) => {
                    let place = Place::Float {
                        dtype,
                        shape: entry.shape.clone(),
                        span: entry.span.clone(),
                    };
                    (&entry.name, place)
                }
                _ => continue,
            };
            self.tensors.insert(name.clone(), Stored { shard, place });
            left += 1;
        }
        self.shards.push(Shard { bytes, left });
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
        self.tensors
            .get_key_value(name)
            .and_then(|(name, stored)| self.view(name, stored))
            .ok_or_else(|| self.absent(name))
    }

    /// Removes the tensor `name`, whose values have gone elsewhere as they are stored.
    ///
    /// # Errors
    /// [`PackageError::MissingTensor`], or [`PackageError::Taken`].
    pub fn release(&mut self, name: &str) -> Result<(), PackageError> {
        let Some((name, stored)) = self.tensors.remove_entry(name) else {
            return Err(self.absent(name));
        };
        let shard = &mut self.shards[stored.shard];
        shard.left -= 1;
        if shard.left == 0 {
            shard.bytes = Vec::new();
        }
        self.taken.insert(name);
        Ok(())
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
        self.release(name)?;
        Ok(values)
    }

    /// The tensors not taken, in order of their names. A model that has taken all it needs
    /// and leaves some is not the model these weights were trained as.
    pub fn unused(&self) -> impl Iterator<Item = TensorView<'_>> {
        self.tensors
            .iter()
            .filter_map(|(name, stored)| self.view(name, stored))
    }

    /// Number of tensors not taken.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether every tensor was taken.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The tensor at `stored`; its bytes are there as long as it is.
    fn view<'a>(&'a self, name: &'a str, stored: &'a Stored) -> Option<TensorView<'a>> {
        let bytes = &self.shards[stored.shard].bytes;
        let (shape, storage) = match &stored.place {
            Place::Float { dtype, shape, span } => {
                let (dtype, bytes) = (*dtype, bytes.get(span.clone())?);
                (shape, Storage::Float { dtype, bytes })
            }
            Place::Quantised {
                tensor,
                words,
                scales,
            } => {
                let view = tensor.view(bytes, words, scales)?;
                (&tensor.shape, Storage::Quantised(view))
            }
        };
        Some(TensorView {
            name,
            shape,
            storage,
        })
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
