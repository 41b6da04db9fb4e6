//! GGUF files, versions 2 and 3, little-endian (ggml-org/ggml, docs/gguf.md).

pub mod blocks;
mod metadata;

use std::collections::HashMap;

pub use metadata::{Metadata, Value};

use crate::dtype::Dtype;
use crate::error::{ImportError, excerpt};
use crate::input::Input;
use crate::limits;
use crate::tensors::{self, Entry};
use metadata::Reader;

const FORMAT: &str = "GGUF";
/// Where values start, unless the file says otherwise.
const ALIGNMENT: u64 = 32;

/// Reads keys, values and the list of tensors.
pub(crate) fn parse(input: &Input) -> Result<(Vec<Entry>, tensors::Metadata), ImportError> {
    let mut reader = Reader::new(input);
    let refuse = |reason: String| ImportError::malformed(input.name(), FORMAT, reason);
    let magic: [u8; 4] = reader.fixed()?;
    if magic != *b"GGUF" {
        return Err(refuse("it does not begin with GGUF".into()));
    }
    let version = reader.u32()?;
    if !matches!(version, 2 | 3) {
        let reason = format!("version {} is not known; 2 and 3 are", version);
        return Err(refuse(reason));
    }
    let (tensors, pairs) = (reader.u64()?, reader.u64()?);
    if tensors > limits::TENSORS as u64 || pairs > limits::TENSORS as u64 {
        let reason = format!("{tensors} tensors and {pairs} keys are more than are read");
        return Err(refuse(reason));
    }
    let metadata = reader.metadata(pairs)?;
    let mut listed = Vec::new();
    for _ in 0..tensors {
        listed.push(reader.tensor()?);
    }
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(value) => value
            .as_u64()
            .filter(|it| it.is_power_of_two() && *it <= 1 << 20)
            .ok_or_else(|| refuse("`general.alignment` is no power of two".into()))?,
    };
    // The reader stays far below the largest number.
    let start = reader.place().next_multiple_of(alignment);
    let mut entries = listed
        .into_iter()
        .map(|it| it.entry(input, start, alignment))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| (entry.span.start, entry.span.end));
    let shared = entries
        .windows(2)
        .find(|pair| pair[0].span.end > pair[1].span.start);
    if let Some(pair) = shared {
        let reason = format!("shares bytes with `{}`", excerpt(&pair[0].name));
        return Err(ImportError::tensor(input.name(), &pair[1].name, reason));
    }
    Ok((entries, tensors::Metadata::Gguf(metadata)))
}

/// A tensor as it is listed.
struct Listed {
    name: String,
    /// Innermost first.
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

impl Listed {
    fn entry(self, input: &Input, start: u64, alignment: u64) -> Result<Entry, ImportError> {
        let fault = |reason: String| Err(ImportError::tensor(input.name(), &self.name, reason));
        let dtype = match self.kind {
            0 => Dtype::F32,
            1 => Dtype::F16,
            2 => Dtype::Q4_0,
            8 => Dtype::Q8_0,
            12 => Dtype::Q4K,
            14 => Dtype::Q6K,
            24 => Dtype::I8,
            25 => Dtype::I16,
            26 => Dtype::I32,
            27 => Dtype::I64,
            28 => Dtype::F64,
            30 => Dtype::BF16,
            kind => {
                return fault(format!(
                    "is of ggml type {}, which is not read here; F32, F16, BF16, Q8_0, Q4_0, Q4_K and Q6_K are. Convert the file with `llama-quantize`",
                    type_name(kind)
                ));
            }
        };
        if !self.offset.is_multiple_of(alignment) {
            let offset = self.offset;
            return fault(format!("begins at {offset}, no multiple of {alignment}"));
        }
        let Some(start) = start.checked_add(self.offset) else {
            return fault("begins beyond all files".to_owned());
        };
        let shape = self.shape.iter().rev().copied().collect();
        Entry::new(input, self.name, dtype, shape, start)
    }
}

/// ggml's name of a type that is not read.
fn type_name(kind: u32) -> String {
    let known: HashMap<u32, &str> = HashMap::from([
        (3, "Q4_1"),
        (6, "Q5_0"),
        (7, "Q5_1"),
        (9, "Q8_1"),
        (10, "Q2_K"),
        (11, "Q3_K"),
        (13, "Q5_K"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (20, "IQ4_NL"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (23, "IQ4_XS"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (39, "MXFP4"),
    ]);
    known
        .get(&kind)
        .map_or_else(|| kind.to_string(), |name| (*name).to_owned())
}
