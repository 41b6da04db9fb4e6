//! Tensors laid out in safetensors shards.

use std::cmp::Reverse;

use serde_json::Value;

use crate::dtype::Element;
use crate::error::PackageError;
use crate::header::LENGTH_BYTES;
use crate::limits;
use crate::name::tensor_name_fault;

/// A tensor to be laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub name: String,
    pub element: Element,
    pub shape: Vec<usize>,
    /// Bytes of its values.
    pub bytes: usize,
}

/// A tensor's place in a shard: the index of its slot, and bytes from the start of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub slot: usize,
    pub start: usize,
}

/// One shard: a safetensors file without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// All before the first value.
    pub header: Vec<u8>,
    /// In the order of their values.
    pub tensors: Vec<Placed>,
    /// Length of the file.
    pub bytes: usize,
}

impl Slot {
    /// A tensor of these dimensions, if its name and shape can be written.
    pub fn new(name: &str, element: Element, shape: &[usize]) -> Result<Self, PackageError> {
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
        let bytes = shape
            .iter()
            .try_fold(element.size(), |n, &dim| n.checked_mul(dim))
            .ok_or_else(|| unwritable(format!("shape {shape:?} is too large")))?;
        Ok(Self {
            name: name.to_owned(),
            element,
            shape: shape.to_vec(),
            bytes,
        })
    }

    /// Its entry in a header, its values from byte `begin` of all values on.
    fn entry(&self, begin: usize) -> String {
        let info = serde_json::json!({
            "dtype": self.element.name(),
            "shape": self.shape,
            "data_offsets": [begin, begin + self.bytes],
        });
        format!("{}:{info}", Value::from(self.name.as_str()))
    }
}

impl Layout {
    /// Names of the shard's tensors, sorted.
    pub fn names(&self, slots: &[Slot]) -> Vec<String> {
        let names = self
            .tensors
            .iter()
            .map(|placed| slots[placed.slot].name.clone());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }
}

/// Lays out `slots` in shards, as few as `limit` bytes each allow in the order of `units`, which
/// are runs of slots that stay together. A unit that is longer than the format's own limit has a
/// shard to itself; under a lower one it is refused. Within a shard wider elements come first, so that
/// every tensor starts at a multiple of its element's size; then names decide.
pub(crate) fn lay_out(
    slots: &[Slot],
    units: impl IntoIterator<Item = std::ops::Range<usize>>,
    limit: u64,
) -> Result<Vec<Layout>, PackageError> {
    let limit = limit.min(limits::SHARD_BYTES);
    let lone = match limit == limits::SHARD_BYTES {
        true => limits::LONE_SHARD_BYTES,
        false => limit,
    };
    let mut layouts = Vec::new();
    let (mut members, mut entries, mut values) = (Vec::new(), 0, 0);
    for unit in units {
        // At most what the entries take: no offset has more digits than the limit, but that of a
        // unit which is alone.
        let wanted: usize = slots[unit.clone()]
            .iter()
            .map(|slot| slot.entry(limit as usize).len() + 1)
            .sum();
        let bytes: usize = slots[unit.clone()].iter().map(|slot| slot.bytes).sum();
        let file = LENGTH_BYTES + padded(entries + wanted) + values + bytes;
        if !members.is_empty() && file as u64 > limit {
            layouts.push(layout(slots, std::mem::take(&mut members)));
            (entries, values) = (0, 0);
        }
        let alone = members
            .is_empty()
            .then(|| layout(slots, unit.clone().collect()));
        if let Some(alone) = alone.filter(|alone| alone.bytes as u64 > lone) {
            return Err(PackageError::Unwritable {
                tensor: slots[unit.start].name.clone(),
                reason: format!(
                    "a shard for it alone takes {} bytes, at most {lone} are allowed",
                    alone.bytes
                ),
            });
        }
        members.extend(unit);
        entries += wanted;
        values += bytes;
    }
    if !members.is_empty() {
        layouts.push(layout(slots, members));
    }
    Ok(layouts)
}

/// One shard of these slots.
fn layout(slots: &[Slot], mut members: Vec<usize>) -> Layout {
    members.sort_by_key(|&slot| (Reverse(slots[slot].element.size()), &slots[slot].name));
    let mut begin = 0;
    let mut entries = Vec::with_capacity(members.len());
    let mut tensors = Vec::with_capacity(members.len());
    for slot in members {
        entries.push(slots[slot].entry(begin));
        tensors.push(Placed { slot, start: begin });
        begin += slots[slot].bytes;
    }
    let json = entries.join(",");
    let length = padded(json.len());
    let mut header = (length as u64).to_le_bytes().to_vec();
    header.extend(format!("{{{json}}}").bytes());
    header.resize(LENGTH_BYTES + length, b' ');
    let start = header.len();
    tensors.iter_mut().for_each(|placed| placed.start += start);
    Layout {
        header,
        tensors,
        bytes: start + begin,
    }
}

/// Length of the header with its braces, padded so that the values are aligned.
fn padded(entries: usize) -> usize {
    (entries + 2).next_multiple_of(LENGTH_BYTES)
}
