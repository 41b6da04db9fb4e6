//! A package whose tensors come piece by piece, so that none of them need ever be in memory whole.

use std::path::Path;

use tempfile::NamedTempFile;

use super::encode::overflow;
use super::staged::{put, sealed};
use super::{Commit, Draft, Slot, lay_out, manifest, shard_name};
use crate::digest::Hasher;
use crate::dtype::{Dtype, Element};
use crate::error::PackageError;
use crate::limits;
use crate::manifest::{Manifest, ShardEntry};
use crate::package::check_finite;
use crate::quant::{
    BLOCK, EncodeError, Geometry, Method, Part, QuantTensor, Quantisation, Recipe, ScaleType,
    Scheme, encode, kept,
};

/// Where values that are refused come from, in messages.
const ORIGIN: &str = "the tensors to be written";
/// Type of the scales of quantised weights.
const SCALES: ScaleType = ScaleType::F16;

/// A tensor to be written piece by piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamTensor {
    /// Name, different from every other's.
    pub name: String,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<usize>,
    /// Element type, where it is stored as floats.
    pub dtype: Dtype,
    /// Bits of its codes, where it is to be quantised. What [`Kept`](crate::quant::Kept) names stays
    /// float all the same.
    pub scheme: Option<Scheme>,
}

/// How tensors that come piece by piece are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// How the scales of quantised weights are chosen.
    pub method: Method,
    /// Longest shard, bytes, at most [`limits::SHARD_BYTES`]. There, a weight that alone is longer
    /// has a shard of its own of up to [`limits::LONE_SHARD_BYTES`]; below, it is refused.
    pub shard_bytes: u64,
}

impl Default for StreamOptions {
    /// Scales by search, shards of 64 MiB.
    fn default() -> Self {
        Self {
            method: Method::default(),
            shard_bytes: limits::SHARD_BYTES,
        }
    }
}

/// Writes a package to `folder` as [`write`](crate::write()) does, and holds only what `fill` holds.
///
/// `fill` is called once for each tensor, in the order of their names, with the [`Sink`] to give all
/// its values to. Shards lie on disk under temporary names until the last is complete.
///
/// # Errors
/// Those of [`write`](crate::write()), a weight too large for its scale
/// ([`PackageError::Unscalable`]), a tensor that `fill` gave too few or too many values
/// ([`PackageError::Unwritable`]), and whatever `fill` returns. In all cases the folder's package is
/// as it was.
pub fn write_stream<E: From<PackageError>>(
    folder: &Path,
    draft: Draft,
    tokenizer: &[u8],
    tensors: &[StreamTensor],
    options: &StreamOptions,
    mut fill: impl FnMut(&StreamTensor, &mut Sink<'_>) -> Result<(), E>,
) -> Result<Manifest, E> {
    let fresh = !folder.exists();
    let done = Plan::new(tensors, options)
        .map_err(E::from)
        .and_then(|plan| plan.write(folder, draft, tokenizer, &mut fill));
    if done.is_err() && fresh {
        // Only an empty folder goes.
        let _ = std::fs::remove_dir(folder);
    }
    done
}

/// Every tensor, sorted by name, and what is stored of it.
struct Plan<'a> {
    options: &'a StreamOptions,
    tensors: Vec<Planned<'a>>,
    slots: Vec<Slot>,
}

struct Planned<'a> {
    tensor: &'a StreamTensor,
    /// Its entry in the manifest and its size, where it is quantised.
    quantised: Option<(QuantTensor, Geometry)>,
    /// Its slots: one, or codes and scales.
    slots: std::ops::Range<usize>,
}

impl<'a> Plan<'a> {
    fn new(tensors: &'a [StreamTensor], options: &'a StreamOptions) -> Result<Self, PackageError> {
        let mut sorted: Vec<_> = tensors.iter().collect();
        sorted.sort_by_key(|tensor| &tensor.name);
        let mut plan = Self {
            options,
            tensors: Vec::with_capacity(sorted.len()),
            slots: Vec::new(),
        };
        for tensor in sorted {
            let first = plan.slots.len();
            let float = Slot::new(&tensor.name, Element::Float(tensor.dtype), &tensor.shape)?;
            let quantised = quantised(tensor, float.bytes);
            match &quantised {
                None => plan.slots.push(float),
                Some((entry, geometry)) => {
                    for part in [Part::Words, Part::Scales] {
                        let (element, shape) = entry.stored(part, *geometry);
                        let name = entry.stored_name(part);
                        plan.slots.push(Slot::new(&name, element, &shape)?);
                    }
                }
            }
            plan.tensors.push(Planned {
                tensor,
                quantised,
                slots: first..plan.slots.len(),
            });
        }
        let mut names: Vec<_> = plan.slots.iter().map(|slot| &slot.name).collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(plan),
            Some(pair) => Err(PackageError::Duplicate {
                file: ORIGIN.to_owned(),
                tensor: pair[0].clone(),
            }),
        }
    }

    fn write<E: From<PackageError>>(
        self,
        folder: &Path,
        draft: Draft,
        tokenizer: &[u8],
        fill: &mut impl FnMut(&StreamTensor, &mut Sink<'_>) -> Result<(), E>,
    ) -> Result<Manifest, E> {
        let units = self.tensors.iter().map(|it| it.slots.clone());
        let layouts = lay_out(&self.slots, units, self.options.shard_bytes)?;
        let mut commit = Commit::new(folder);
        let mut hasher = Hasher::default();
        let mut shards = Vec::with_capacity(layouts.len());
        for (index, layout) in layouts.iter().enumerate() {
            let mut staged = commit.temporary()?;
            put(&mut staged, 0, &layout.header)?;
            let place = |slot: usize| {
                let placed = layout.tensors.iter().find(|placed| placed.slot == slot);
                placed.map(|placed| placed.start as u64)
            };
            let here = self.tensors.iter().filter_map(|planned| {
                let words = place(planned.slots.start)?;
                Some((planned, [words, place(planned.slots.end - 1)?]))
            });
            for (planned, places) in here {
                let mut sink = Sink {
                    staged: &mut staged,
                    planned,
                    method: self.options.method,
                    places,
                    elements: 0,
                    hasher: &mut hasher,
                };
                fill(planned.tensor, &mut sink)?;
                sink.finish()?;
            }
            let (bytes, sha256) = (layout.bytes as u64, sealed(&mut staged)?);
            shards.push(ShardEntry {
                file: commit.add_staged(&shard_name(index, layouts.len()), staged, bytes, sha256),
                bytes,
                sha256,
                tensors: layout.names(&self.slots),
            });
        }
        let entries = self.tensors.into_iter().filter_map(|it| it.quantised);
        let entries: Vec<_> = entries.map(|(entry, _)| entry).collect();
        let quantisation = (!entries.is_empty()).then(|| Quantisation {
            block: BLOCK,
            method: self.options.method,
            importance: false,
            keep_float: Vec::new(),
            source: hasher.finish(),
            tensors: entries,
        });
        let made = manifest(draft, tokenizer, shards, quantisation, &mut commit);
        let bytes = made.to_bytes()?;
        commit.stage(bytes)?.finish(&made)?;
        Ok(made)
    }
}

/// The manifest's entry of `tensor`, whose floats take `bytes`; `None` where it stays float.
fn quantised(tensor: &StreamTensor, bytes: usize) -> Option<(QuantTensor, Geometry)> {
    let StreamTensor { name, shape, .. } = tensor;
    let scheme = tensor.scheme?;
    let geometry = Geometry::of(shape)?;
    if kept(name, shape, bytes, scheme, SCALES).is_some() {
        return None;
    }
    let entry = QuantTensor {
        name: name.clone(),
        scheme,
        scale: SCALES,
        shape: shape.clone(),
        in_padded: geometry.padded(),
    };
    Some((entry, geometry))
}

/// Takes the values of one tensor, in row-major order.
pub struct Sink<'a> {
    staged: &'a mut NamedTempFile,
    planned: &'a Planned<'a>,
    method: Method,
    /// Where the next values go, or codes and scales.
    places: [u64; 2],
    /// Elements taken.
    elements: usize,
    hasher: &'a mut Hasher,
}

impl Sink<'_> {
    /// How the tensor is quantised, if it is.
    pub fn scheme(&self) -> Option<Scheme> {
        let quantised = self.planned.quantised.as_ref();
        quantised.map(|(entry, _)| entry.scheme)
    }

    /// Takes the next values; whole rows, where the tensor is quantised.
    ///
    /// # Errors
    /// [`PackageError`]: too many, not finite, beyond the range of the stored type, or the disk
    /// refuses.
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
                    scale: SCALES,
                    method: self.method,
                    importance: None,
                };
                let blocks = encode(values, geometry.cols, &recipe)
                    .map_err(|error| refused(name, first, error))?;
                let words: Vec<u8> = blocks.words.iter().flat_map(|w| w.to_le_bytes()).collect();
                self.count(values.len())?;
                self.put(0, &words)?;
                self.put(1, &SCALES.dtype().encode(&blocks.scales))
            }
        }
    }

    /// Takes the next values of a float tensor as they are stored.
    ///
    /// # Errors
    /// [`PackageError`]: too many, no whole elements, not finite, the tensor is quantised, or the
    /// disk refuses.
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
    /// layout of [`quant`](crate::quant), scales in half precision.
    ///
    /// # Errors
    /// [`PackageError`]: too many, no whole rows, a scale that is none, the tensor is not quantised,
    /// or the disk refuses.
    pub fn blocks(&mut self, words: &[u8], scales: &[u8]) -> Result<(), PackageError> {
        let Some((entry, geometry)) = &self.planned.quantised else {
            return Err(self.unwritable("was given blocks and is not quantised".to_owned()));
        };
        let row = [
            geometry.row_words(entry.scheme) * size_of::<u32>(),
            geometry.blocks() * SCALES.dtype().size(),
        ];
        let rows = words.len() / row[0];
        if words.len() != rows * row[0] || scales.len() != rows * row[1] {
            return Err(self.unwritable("was given blocks that are no whole rows".to_owned()));
        }
        let values = SCALES.dtype().decode(scales);
        let reach = entry.scheme.reach();
        if let Some(scale) = values.iter().find(|scale| !(**scale * reach).is_finite()) {
            return Err(self.unwritable(format!("was given the scale {scale}, which is none")));
        }
        self.count(rows * geometry.cols)?;
        self.put(0, words)?;
        self.put(1, scales)
    }

    fn put(&mut self, part: usize, bytes: &[u8]) -> Result<(), PackageError> {
        self.hasher.update(bytes);
        put(self.staged, self.places[part], bytes)?;
        self.places[part] += bytes.len() as u64;
        Ok(())
    }

    /// Counts elements before they are written: no tensor runs into the next.
    fn count(&mut self, elements: usize) -> Result<(), PackageError> {
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

    fn finish(self) -> Result<(), PackageError> {
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
