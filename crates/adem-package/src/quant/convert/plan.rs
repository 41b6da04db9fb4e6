//! What becomes of each tensor, before any is read.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use super::QuantizeOptions;
use crate::dtype::{Dtype, Element};
use crate::error::PackageError;
use crate::header::Entry;
use crate::manifest::ShardEntry;
use crate::quant::manifest::{Part, QuantTensor};
use crate::quant::rule::{Kept, kept, matches};
use crate::quant::{Geometry, ScaleType, Scheme};
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
    Quantised(Geometry, Scheme),
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
        let mut keep_float = Patterns::new(&options.keep_float);
        let mut eight_bits = Patterns::new(&options.eight_bits);
        for (name, (file, entry)) in sorted {
            let Element::Float(dtype) = entry.element else {
                return Err(PackageError::Dtype {
                    file: file.to_owned(),
                    tensor: name,
                    found: entry.element.name().to_owned(),
                });
            };
            let (bytes, scale) = (entry.span.len(), options.scale_type);
            let by_rule = |scheme| kept(&name, &entry.shape, bytes, scheme, scale);
            let fate = match (by_rule(options.scheme), Geometry::of(&entry.shape)) {
                (None, Some(geometry)) => {
                    let (float, eight) = (keep_float.fit(&name), eight_bits.fit(&name));
                    match by_rule(Scheme::Q8) {
                        _ if float => Fate::Kept(Kept::Asked),
                        Some(reason) if eight => Fate::Kept(reason),
                        None if eight => Fate::Quantised(geometry, Scheme::Q8),
                        _ => Fate::Quantised(geometry, options.scheme),
                    }
                }
                (reason, _) => Fate::Kept(reason.unwrap_or(Kept::NoGain)),
            };
            plan.push(file, name, dtype, entry, fate, options)?;
        }
        keep_float.check()?;
        eight_bits.check()?;
        plan.check_activations(options)?;
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
            Fate::Quantised(geometry, scheme) => {
                let scale = options.scale_type;
                let tensor = quant_tensor(&name, &entry.shape, geometry, scheme, scale);
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
    pub fn manifest(&self, scale: ScaleType) -> Vec<QuantTensor> {
        let entry = |tensor: &Planned| match tensor.fate {
            Fate::Quantised(geometry, scheme) => {
                let Planned { name, shape, .. } = tensor;
                Some(quant_tensor(name, shape, geometry, scheme, scale))
            }
            Fate::Kept(_) => None,
        };
        self.tensors.iter().filter_map(entry).collect()
    }

    fn check_activations(&self, options: &QuantizeOptions) -> Result<(), PackageError> {
        let mut columns = BTreeMap::new();
        for tensor in &self.tensors {
            let quantised = match tensor.fate {
                Fate::Quantised(geometry, _) => Some(geometry.cols),
                Fate::Kept(_) => None,
            };
            columns.insert(&tensor.name, quantised);
        }
        if columns.values().all(Option::is_none) {
            return Err(PackageError::NothingToQuantise);
        }
        for (name, each) in &options.activations {
            let fault = match columns.get(name) {
                None => Some("no weight has that name".to_owned()),
                Some(cols) => cols.and_then(|cols| each.fault(cols)),
            };
            if let Some(reason) = fault {
                return Err(PackageError::Importance {
                    tensor: name.clone(),
                    reason,
                });
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

/// Patterns of names, and which have fitted one.
pub(super) struct Patterns<'a> {
    list: &'a [String],
    used: Vec<bool>,
}

impl<'a> Patterns<'a> {
    pub fn new(list: &'a [String]) -> Self {
        Self {
            list,
            used: vec![false; list.len()],
        }
    }

    /// Whether one of them fits `name`.
    pub fn fit(&mut self, name: &str) -> bool {
        let mut any = false;
        for (pattern, used) in self.list.iter().zip(&mut self.used) {
            let fits = matches(pattern, name);
            *used |= fits;
            any |= fits;
        }
        any
    }

    /// Refuses one that has fitted no name.
    pub fn check(&self) -> Result<(), PackageError> {
        let unused = self.list.iter().zip(&self.used).find(|(_, used)| !**used);
        match unused {
            None => Ok(()),
            Some((pattern, _)) => Err(PackageError::Pattern {
                pattern: pattern.clone(),
            }),
        }
    }
}

fn quant_tensor(
    name: &str,
    shape: &[usize],
    geometry: Geometry,
    scheme: Scheme,
    scale: ScaleType,
) -> QuantTensor {
    QuantTensor {
        name: name.to_owned(),
        scheme,
        scale,
        shape: shape.to_vec(),
        in_padded: geometry.padded(),
    }
}
