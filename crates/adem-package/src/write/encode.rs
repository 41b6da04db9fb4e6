//! Tensors as their shards hold them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::shards::{Layout, Slot};
use super::{NewTensor, WriteOptions};
use crate::dtype::{Dtype, Element};
use crate::error::PackageError;

/// Tensors ready to be laid out, sorted by name.
pub(super) struct Encoded {
    pub slots: Vec<Slot>,
    values: Vec<Vec<u8>>,
}

impl Encoded {
    /// Converts `tensors`, which can be written and have different names.
    pub(super) fn new(
        tensors: impl IntoIterator<Item = NewTensor>,
        options: &WriteOptions,
    ) -> Result<Self, PackageError> {
        let mut sorted = BTreeMap::new();
        for tensor in tensors {
            let slot = Slot::new(&tensor.name, Element::Float(options.dtype), &tensor.shape)?;
            let values = encode(&slot, &tensor.data, options.dtype)?;
            match sorted.entry(tensor.name) {
                Entry::Vacant(place) => place.insert((slot, values)),
                Entry::Occupied(place) => {
                    return Err(PackageError::Duplicate {
                        file: "the tensors to be written".to_owned(),
                        tensor: place.key().clone(),
                    });
                }
            };
        }
        let (slots, values) = sorted.into_values().unzip();
        Ok(Self { slots, values })
    }

    /// The shard laid out as `layout`, and the names in it in order. Its values are gone after.
    pub(super) fn shard(&mut self, layout: Layout) -> (Vec<u8>, Vec<String>) {
        let names = layout.names(&self.slots);
        let mut bytes = layout.header;
        for placed in layout.tensors {
            bytes.extend(std::mem::take(&mut self.values[placed.slot]));
        }
        (bytes, names)
    }
}

/// The values as stored, of a tensor whose name and shape are in `slot`.
fn encode(slot: &Slot, data: &[f32], dtype: Dtype) -> Result<Vec<u8>, PackageError> {
    let Slot {
        name, shape, bytes, ..
    } = slot;
    if *bytes != data.len().saturating_mul(dtype.size()) {
        return Err(PackageError::Unwritable {
            tensor: name.clone(),
            reason: format!("shape {shape:?} and {} values", data.len()),
        });
    }
    if let Some(index) = data.iter().position(|value| !value.is_finite()) {
        return Err(PackageError::NonFinite {
            file: "the tensors to be written".to_owned(),
            tensor: name.clone(),
            index,
            value: data[index],
        });
    }
    let stored = dtype.encode(data);
    overflow(name, dtype, &stored, data, 0)?;
    Ok(stored)
}

/// Refuses finite `values`, elements of a tensor from number `first` on, that became infinite as
/// they were `stored`.
pub(super) fn overflow(
    name: &str,
    dtype: Dtype,
    stored: &[u8],
    values: &[f32],
    first: usize,
) -> Result<(), PackageError> {
    match dtype.first_non_finite(stored) {
        None => Ok(()),
        Some(index) => Err(PackageError::Overflow {
            tensor: name.to_owned(),
            index: first + index,
            value: values[index],
            dtype: dtype.name(),
        }),
    }
}
