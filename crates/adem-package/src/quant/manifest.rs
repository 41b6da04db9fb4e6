//! What a manifest says of quantised weights, and what a shard must hold for it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{BLOCK, Geometry, Method, QuantView, ScaleType, Scheme};
use crate::digest::Digest;
use crate::dtype::Element;
use crate::error::PackageError;
use crate::header::Entry;
use crate::limits;
use crate::manifest::ShardEntry;
use crate::name::tensor_name_fault;
use crate::validate::check;

/// What the name of a weight's codes ends with.
pub(crate) const WORDS_SUFFIX: &str = ".q";
/// What the name of a weight's scales ends with.
pub(crate) const SCALE_SUFFIX: &str = ".scale";

/// Which weights are quantised, how, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantisation {
    /// Columns of a block: [`BLOCK`].
    pub block: usize,
    /// How the scales were chosen.
    pub method: Method,
    /// Whether errors were weighted by the importance of their columns.
    pub importance: bool,
    /// Patterns of weights that were left float on demand.
    pub keep_float: Vec<String>,
    /// Digest of the manifest of the float package; where there was none because weights were
    /// quantised as they were imported, of the digests of all shards in their order.
    pub source: Digest,
    /// The quantised weights, sorted by name. All other tensors of the package are float.
    pub tensors: Vec<QuantTensor>,
}

/// One quantised weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantTensor {
    /// The weight's name; it is stored as `name.q` and `name.scale`.
    pub name: String,
    /// Bits of a code.
    pub scheme: Scheme,
    /// Type of the scales.
    pub scale: ScaleType,
    /// The weight's own dimensions, outermost first: rows, then what makes up the columns.
    pub shape: Vec<usize>,
    /// Columns with the zeros that fill the last block.
    pub in_padded: usize,
}

/// Which of a weight's two tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Words,
    Scales,
}

impl QuantTensor {
    /// The names of its two stored tensors: codes, then scales.
    pub fn stored_names(&self) -> [String; 2] {
        [Part::Words, Part::Scales].map(|part| self.stored_name(part))
    }

    /// The name of one of the two stored tensors.
    pub(crate) fn stored_name(&self, part: Part) -> String {
        let suffix = match part {
            Part::Words => WORDS_SUFFIX,
            Part::Scales => SCALE_SUFFIX,
        };
        format!("{}{suffix}", self.name)
    }

    /// Element type and shape of one of the two, of a weight of this `geometry`.
    pub(crate) fn stored(&self, part: Part, geometry: Geometry) -> (Element, [usize; 2]) {
        let (element, columns) = match part {
            Part::Words => (Element::Word, geometry.row_words(self.scheme)),
            Part::Scales => (Element::Float(self.scale.dtype()), geometry.blocks()),
        };
        (element, [geometry.rows, columns])
    }

    /// The weight whose two tensors take these bytes of a checked shard.
    pub(crate) fn view<'a>(
        &self,
        bytes: &'a [u8],
        words: &Range<usize>,
        scales: &Range<usize>,
    ) -> Option<QuantView<'a>> {
        Some(QuantView {
            scheme: self.scheme,
            scale_type: self.scale,
            geometry: Geometry::of(&self.shape)?,
            words: bytes.get(words.clone())?,
            scales: bytes.get(scales.clone())?,
        })
    }

    /// Checks the header's entry of one of the two tensors, and the scales' values.
    pub(crate) fn check_entry(
        &self,
        file: &str,
        part: Part,
        entry: &Entry,
        bytes: &[u8],
    ) -> Result<(), PackageError> {
        let fault = |reason: String| PackageError::Entry {
            file: file.to_owned(),
            tensor: entry.name.clone(),
            reason,
        };
        let Some(geometry) = Geometry::of(&self.shape) else {
            return Err(fault(format!("shape {:?} is no matrix", self.shape)));
        };
        let (element, shape) = self.stored(part, geometry);
        let scheme = self.scheme.name();
        if entry.element != element {
            return Err(fault(format!(
                "has dtype {} where {scheme} blocks of `{}` need {}",
                entry.element.name(),
                self.name,
                element.name()
            )));
        }
        if entry.shape != shape {
            return Err(fault(format!(
                "has shape {:?} where {scheme} blocks of `{}` {:?} need {shape:?}",
                entry.shape, self.name, self.shape
            )));
        }
        if !entry.span.start.is_multiple_of(element.size()) {
            return Err(fault(format!(
                "starts at byte {} of the file, which is no multiple of {}",
                entry.span.start,
                element.size()
            )));
        }
        if part == Part::Words {
            return Ok(());
        }
        // A scale may be finite and its product with a code not.
        let scales = self.scale.dtype().decode(&bytes[entry.span.clone()]);
        let reach = self.scheme.reach();
        match scales.iter().position(|scale| !(scale * reach).is_finite()) {
            None => Ok(()),
            Some(index) => Err(fault(format!(
                "holds {} at element {index}, which is no scale; quantise the package again",
                scales[index]
            ))),
        }
    }
}

impl Quantisation {
    /// Checks the field `quantisation` of a manifest with these `shards`.
    pub(crate) fn validate(&self, shards: &[ShardEntry]) -> Result<(), PackageError> {
        check(self.block == BLOCK, "quantisation.block", || {
            format!("must be {BLOCK}, is {}", self.block)
        })?;
        check(!self.tensors.is_empty(), "quantisation.tensors", || {
            "must name at least one tensor; in a float package `quantisation` is null".into()
        })?;
        let mut place = HashMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for tensor in &shard.tensors {
                place.insert(tensor.as_str(), index);
            }
        }
        let mut names = HashSet::new();
        for (index, tensor) in self.tensors.iter().enumerate() {
            let field = |name: &str| format!("quantisation.tensors[{index}].{name}");
            let QuantTensor { name, shape, .. } = tensor;
            check(names.insert(name.as_str()), &field("name"), || {
                format!("`{name}` is named twice")
            })?;
            let fault = tensor_name_fault(name);
            check(fault.is_none(), &field("name"), || {
                fault.unwrap_or_default().into()
            })?;
            let geometry = Geometry::of(shape).filter(|_| shape.len() <= limits::RANK);
            let padded = geometry.map(Geometry::padded);
            check(padded.is_some(), &field("shape"), || {
                format!("`{name}` has shape {shape:?}, which is no matrix")
            })?;
            check(
                padded == Some(tensor.in_padded),
                &field("in_padded"),
                || {
                    format!(
                        "`{name}` has shape {shape:?} and {} columns with its padding; they must be {}",
                        tensor.in_padded,
                        padded.unwrap_or_default()
                    )
                },
            )?;
            check(!place.contains_key(name.as_str()), &field("name"), || {
                format!("`{name}` is also stored as a float tensor")
            })?;
            let parts = [Part::Words, Part::Scales]
                .map(|part| place.get(tensor.stored_name(part).as_str()));
            check(
                parts[0].is_some() && parts[0] == parts[1],
                &field("name"),
                || format!("no shard lists both `{name}{WORDS_SUFFIX}` and `{name}{SCALE_SUFFIX}`"),
            )?;
        }
        Ok(())
    }

    /// The quantised weights by the names of their stored tensors.
    pub(crate) fn by_stored_name(&self) -> HashMap<String, (&QuantTensor, Part)> {
        let parts = |tensor| [Part::Words, Part::Scales].map(|part| (tensor, part));
        self.tensors
            .iter()
            .flat_map(parts)
            .map(|(tensor, part): (&QuantTensor, _)| (tensor.stored_name(part), (tensor, part)))
            .collect()
    }
}
