//! What is stored of each tensor of a package that comes piece by piece.

use super::stream::{ORIGIN, StreamTensor};
use super::{Layout, Slot, lay_out};
use crate::dtype::Element;
use crate::error::PackageError;
use crate::quant::{Geometry, Part, QuantTensor, kept};

/// Every tensor, sorted by name, and what is stored of it.
pub(super) struct Plan<'a> {
    pub tensors: Vec<Planned<'a>>,
    pub slots: Vec<Slot>,
}

pub(super) struct Planned<'a> {
    pub tensor: &'a StreamTensor,
    /// Its entry in the manifest and its size, where it is quantised.
    pub quantised: Option<(QuantTensor, Geometry)>,
    /// Its slots: one, or codes and scales.
    pub slots: std::ops::Range<usize>,
}

impl<'a> Plan<'a> {
    pub fn new(tensors: &'a [StreamTensor]) -> Result<Self, PackageError> {
        let mut sorted: Vec<_> = tensors.iter().collect();
        sorted.sort_by_key(|tensor| &tensor.name);
        let mut plan = Self {
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

    /// The shards, in which codes and scales of a weight stay together.
    pub fn lay_out(&self, shard_bytes: u64) -> Result<Vec<Layout>, PackageError> {
        let units = self.tensors.iter().map(|it| it.slots.clone());
        lay_out(&self.slots, units, shard_bytes)
    }

    /// The tensors of a shard, and where their values begin in it, or their codes and their scales.
    pub fn within<'b>(
        &'b self,
        layout: &'b Layout,
    ) -> impl Iterator<Item = (&'b Planned<'a>, [u64; 2])> {
        let place = move |slot: usize| {
            let placed = layout.tensors.iter().find(|placed| placed.slot == slot);
            placed.map(|placed| placed.start as u64)
        };
        self.tensors.iter().filter_map(move |planned| {
            let words = place(planned.slots.start)?;
            Some((planned, [words, place(planned.slots.end - 1)?]))
        })
    }

    /// The manifest's list of quantised weights.
    pub fn quantised(&self) -> Vec<QuantTensor> {
        let entries = self.tensors.iter().filter_map(|it| it.quantised.as_ref());
        entries.map(|(entry, _)| entry.clone()).collect()
    }
}

/// The manifest's entry of `tensor`, whose floats take `bytes`; `None` where it stays float.
fn quantised(tensor: &StreamTensor, bytes: usize) -> Option<(QuantTensor, Geometry)> {
    let StreamTensor {
        name, shape, scale, ..
    } = tensor;
    let scheme = tensor.scheme?;
    let geometry = Geometry::of(shape)?;
    if kept(name, shape, bytes, scheme, *scale).is_some() {
        return None;
    }
    let entry = QuantTensor {
        name: name.clone(),
        scheme,
        scale: *scale,
        shape: shape.clone(),
        in_padded: geometry.padded(),
    };
    Some((entry, geometry))
}
