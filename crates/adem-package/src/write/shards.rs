//! Tensors laid out in safetensors shards.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use super::{NewTensor, WriteOptions};
use crate::dtype::Dtype;
use crate::error::PackageError;
use crate::header::LENGTH_BYTES;
use crate::limits;
use crate::name::tensor_name_fault;

/// One shard: a safetensors file and the names in it, in order.
pub(super) struct Shard {
    pub bytes: Vec<u8>,
    pub names: Vec<String>,
}

struct Encoded {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Converts `tensors` and lays them out, sorted by name, in shards as few as the limit allows
/// in that order.
pub(super) fn build(
    tensors: impl IntoIterator<Item = NewTensor>,
    options: &WriteOptions,
) -> Result<Vec<Shard>, PackageError> {
    let dtype = options.dtype;
    let mut sorted = BTreeMap::new();
    for tensor in tensors {
        let encoded = Encoded {
            bytes: encode(&tensor, dtype)?,
            shape: tensor.shape,
        };
        match sorted.entry(tensor.name) {
            Entry::Vacant(place) => place.insert(encoded),
            Entry::Occupied(place) => {
                return Err(PackageError::Duplicate {
                    file: "the tensors to be written".to_owned(),
                    tensor: place.key().clone(),
                });
            }
        };
    }
    let limit = options.shard_bytes.min(limits::SHARD_BYTES);
    let mut shards = Vec::new();
    let mut draft = DraftShard::default();
    for (name, encoded) in sorted {
        if !draft.names.is_empty() && draft.len_with(&name, dtype, &encoded) > limit {
            shards.push(std::mem::take(&mut draft).finish());
        }
        let needed = draft.len_with(&name, dtype, &encoded);
        if needed > limit {
            return Err(PackageError::Unwritable {
                tensor: name,
                reason: format!(
                    "a shard for it alone takes {needed} bytes, at most {limit} are allowed"
                ),
            });
        }
        draft.push(name, dtype, &encoded);
    }
    if !draft.names.is_empty() {
        shards.push(draft.finish());
    }
    Ok(shards)
}

/// The values as stored, of a tensor that can be.
fn encode(tensor: &NewTensor, dtype: Dtype) -> Result<Vec<u8>, PackageError> {
    let NewTensor { name, shape, data } = tensor;
    let unwritable = |reason: String| PackageError::Unwritable {
        tensor: name.chars().take(limits::NAME_BYTES).collect(),
        reason,
    };
    if let Some(fault) = tensor_name_fault(name) {
        return Err(unwritable(fault.to_owned()));
    }
    if shape.len() > limits::RANK {
        return Err(unwritable(format!("more than {} dimensions", limits::RANK)));
    }
    let elements = shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
    if elements != Some(data.len()) {
        return Err(unwritable(format!(
            "shape {shape:?} and {} values",
            data.len()
        )));
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
    if let Some(index) = dtype.first_non_finite(&stored) {
        return Err(PackageError::Overflow {
            tensor: name.clone(),
            index,
            value: data[index],
            dtype: dtype.name(),
        });
    }
    Ok(stored)
}

/// A shard being filled.
#[derive(Default)]
struct DraftShard {
    /// The header's entries, with commas between and no braces around.
    header: String,
    data: Vec<u8>,
    names: Vec<String>,
}

impl DraftShard {
    fn entry(&self, name: &str, dtype: Dtype, tensor: &Encoded) -> String {
        let comma = if self.names.is_empty() { "" } else { "," };
        let begin = self.data.len();
        let info = serde_json::json!({
            "dtype": dtype.name(),
            "shape": tensor.shape,
            "data_offsets": [begin, begin + tensor.bytes.len()],
        });
        format!("{comma}{}:{info}", Value::from(name))
    }

    /// Length of the file with this tensor added.
    fn len_with(&self, name: &str, dtype: Dtype, tensor: &Encoded) -> u64 {
        let header = self.header.len() + self.entry(name, dtype, tensor).len();
        (LENGTH_BYTES + padded(header) + self.data.len() + tensor.bytes.len()) as u64
    }

    fn push(&mut self, name: String, dtype: Dtype, tensor: &Encoded) {
        let entry = self.entry(&name, dtype, tensor);
        self.header.push_str(&entry);
        self.data.extend_from_slice(&tensor.bytes);
        self.names.push(name);
    }

    fn finish(self) -> Shard {
        let length = padded(self.header.len());
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + length + self.data.len());
        bytes.extend((length as u64).to_le_bytes());
        bytes.extend(format!("{{{}}}", self.header).bytes());
        bytes.resize(LENGTH_BYTES + length, b' ');
        bytes.extend(self.data);
        Shard {
            bytes,
            names: self.names,
        }
    }
}

/// Length of the header with its braces, padded so that the values are aligned.
fn padded(entries: usize) -> usize {
    (entries + 2).next_multiple_of(LENGTH_BYTES)
}
