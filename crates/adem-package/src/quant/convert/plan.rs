//! What becomes of each tensor, before any is read.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::QuantizeOptions;
use crate::dtype::{Dtype, Element};
use crate::error::PackageError;
use crate::header::Entry;
use crate::manifest::ShardEntry;
use crate::quant::Geometry;
use crate::quant::manifest::{Part, QuantTensor};
use crate::quant::rule::{Kept, kept, matches};
use crate::write::Slot;

/// Every tensor of the package, sorted by name, and where it goes.
pub(super) struct Plan<'a> {
    pub tensors: Vec<Planned<'a>>,
    /// All that is to be stored, in the order of `tensors`.
    pub slots: Vec<Slot>,
    /// The tensor that each slot is of.
    pub owner: Vec<usize>,
}

/// One tensor of the source.
pub(super) struct Planned<'a> {
    pub file: &'a str,
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    /// Bytes from the start of its file.
    pub span: Range<u64>,
    pub fate: Fate,
    /// Its slots: one, or codes and scales.
    pub slots: Range<usize>,
}

#[derive(Clone, Copy)]
pub(super) enum Fate {
    Kept(Kept),
    Quantised(Geometry),
}

impl<'a> Plan<'a> {
    /// Decides on the tensors `entries` of `shards` by the rule and the options, which must fit
    /// them.
    pub fn new(
        shards: &'a [ShardEntry],
        entries: Vec<Vec<Entry>>,
        options: &QuantizeOptions,
    ) -> Result<Self, PackageError> {
        let mut sorted = BTreeMap::new();
        for (shard, entries) in shards.iter().zip(entries) {
            for entry in entries {
                sorted.insert(entry.name.clone(), (shard.file.as_str(), entry));
            }
        }
        let mut plan = Self {
            tensors: Vec::with_capacity(sorted.len()),
            slots: Vec::new(),
            owner: Vec::new(),
        };
        let mut used = HashSet::new();
        for (name, (file, entry)) in sorted {
            let Element::Float(dtype) = entry.element else {
                return Err(PackageError::Dtype {
                    file: file.to_owned(),
                    tensor: name,
                    found: entry.element.name().to_owned(),
                });
            };
            let QuantizeOptions {
                scheme, scale_type, ..
            } = *options;
            let by_rule = kept(&name, &entry.shape, entry.span.len(), scheme, scale_type);
            let fate = match (by_rule, Geometry::of(&entry.shape)) {
                (None, Some(geometry)) => {
                    let mut asked = false;
                    for (index, pattern) in options.keep_float.iter().enumerate() {
                        if matches(pattern, &name) {
                            used.insert(index);
                            asked = true;
                        }
                    }
                    if asked {
                        Fate::Kept(Kept::Asked)
                    } else {
                        Fate::Quantised(geometry)
                    }
                }
                (reason, _) => Fate::Kept(reason.unwrap_or(Kept::NoGain)),
            };
            plan.push(file, name, dtype, entry, fate, options)?;
        }
        let unused = (0..options.keep_float.len()).find(|index| !used.contains(index));
        if let Some(index) = unused {
            return Err(PackageError::Pattern {
                pattern: options.keep_float[index].clone(),
            });
        }
        plan.check_importance(options)?;
        plan.check_names()?;
        Ok(plan)
    }

    fn push(
        &mut self,
        file: &'a str,
        name: String,
        dtype: Dtype,
        entry: Entry,
        fate: Fate,
        options: &QuantizeOptions,
    ) -> Result<(), PackageError> {
        let first = self.slots.len();
        match fate {
            Fate::Kept(_) => self
                .slots
                .push(Slot::new(&name, entry.element, &entry.shape)?),
            Fate::Quantised(geometry) => {
                let tensor = quant_tensor(&name, &entry.shape, geometry, options);
                for part in [Part::Words, Part::Scales] {
                    let (element, shape) = tensor.stored(part, geometry);
                    self.slots
                        .push(Slot::new(&tensor.stored_name(part), element, &shape)?);
                }
            }
        }
        let slots = first..self.slots.len();
        self.owner.extend(slots.clone().map(|_| self.tensors.len()));
        self.tensors.push(Planned {
            file,
            name,
            shape: entry.shape,
            dtype,
            span: entry.span.start as u64..entry.span.end as u64,
            fate,
            slots,
        });
        Ok(())
    }

    /// Runs of slots that go into one shard.
    pub fn units(&self) -> impl Iterator<Item = Range<usize>> {
        self.tensors.iter().map(|tensor| tensor.slots.clone())
    }

    /// The manifest's list of quantised weights.
    pub fn manifest(&self, options: &QuantizeOptions) -> Vec<QuantTensor> {
        let quantised = self.tensors.iter().filter_map(|tensor| match tensor.fate {
            Fate::Quantised(geometry) => Some((tensor, geometry)),
            Fate::Kept(_) => None,
        });
        quantised
            .map(|(tensor, geometry)| quant_tensor(&tensor.name, &tensor.shape, geometry, options))
            .collect()
    }

    fn check_importance(&self, options: &QuantizeOptions) -> Result<(), PackageError> {
        let mut columns = BTreeMap::new();
        for tensor in &self.tensors {
            if let Fate::Quantised(geometry) = tensor.fate {
                columns.insert(&tensor.name, geometry.cols);
            }
        }
        if columns.is_empty() {
            return Err(PackageError::NothingToQuantise);
        }
        for (name, each) in &options.importance {
            let refuse = |reason: String| PackageError::Importance {
                tensor: name.clone(),
                reason,
            };
            let Some(cols) = columns.get(name) else {
                return Err(refuse(
                    "no weight of that name would be quantised".to_owned(),
                ));
            };
            if each.len() != *cols {
                return Err(refuse(format!("{} numbers for {cols} columns", each.len())));
            }
            let bad = |value: &f32| !(value.is_finite() && *value >= 0.0);
            if let Some(column) = each.iter().position(bad) {
                return Err(refuse(format!(
                    "{} for column {column}; it must be finite and not negative",
                    each[column]
                )));
            }
        }
        Ok(())
    }

    /// Refuses a tensor that has the name a quantised weight's codes or scales would get.
    fn check_names(&self) -> Result<(), PackageError> {
        let mut names = HashSet::new();
        match self.slots.iter().find(|slot| !names.insert(&slot.name)) {
            None => Ok(()),
            Some(slot) => Err(PackageError::Duplicate {
                file: "the tensors to be written".to_owned(),
                tensor: slot.name.clone(),
            }),
        }
    }
}

fn quant_tensor(
    name: &str,
    shape: &[usize],
    geometry: Geometry,
    options: &QuantizeOptions,
) -> QuantTensor {
    QuantTensor {
        name: name.to_owned(),
        scheme: options.scheme,
        scale: options.scale_type,
        shape: shape.to_vec(),
        in_padded: geometry.padded(),
    }
}
