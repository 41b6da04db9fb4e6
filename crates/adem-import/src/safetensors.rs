//! Safetensors files of any element type.
//!
//! Eight bytes of little-endian header length, that many bytes of JSON, then the values
//! (huggingface/safetensors, "Format"). Stricter than the format's own reader in that a name that
//! occurs twice is seen.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::dtype::Dtype;
use crate::error::{ImportError, excerpt};
use crate::input::Input;
use crate::limits;
use crate::tensors::{Entry, Metadata};

const FORMAT: &str = "safetensors";
/// Bytes of the length before the header.
const LENGTH_BYTES: u64 = 8;

/// Reads the header.
pub(crate) fn parse(input: &Input) -> Result<(Vec<Entry>, Metadata), ImportError> {
    let refuse = |reason: String| ImportError::malformed(input.name(), FORMAT, reason);
    let first = input.first(LENGTH_BYTES)?;
    let length = first
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
        .ok_or_else(|| refuse(format!("{} bytes are too few", input.length())))?;
    let rest = input.length() - LENGTH_BYTES;
    if length > limits::HEADER_BYTES || length > rest {
        return Err(refuse(format!(
            "its header says it has {length} bytes; the file has {rest} after its length, and at most {} are read",
            limits::HEADER_BYTES
        )));
    }
    let start = LENGTH_BYTES + length;
    let json = input.read(LENGTH_BYTES..start)?;
    let header: Header = serde_json::from_slice(&json).map_err(|e| refuse(e.to_string()))?;
    if header.tensors.len() > limits::TENSORS {
        return Err(refuse(format!("more than {} tensors", limits::TENSORS)));
    }
    let mut entries = header
        .tensors
        .into_iter()
        .map(|(name, info)| info.entry(input, name, start))
        .collect::<Result<Vec<_>, _>>()?;
    no_overlap(input, &mut entries)?;
    Ok((entries, Metadata::Texts(header.metadata)))
}

/// Refuses tensors that share bytes, and puts them in the order of their bytes.
fn no_overlap(input: &Input, entries: &mut [Entry]) -> Result<(), ImportError> {
    entries.sort_by_key(|entry| (entry.span.start, entry.span.end));
    let shared = entries
        .windows(2)
        .find(|pair| pair[0].span.end > pair[1].span.start);
    match shared {
        None => Ok(()),
        Some(pair) => Err(ImportError::tensor(
            input.name(),
            &pair[1].name,
            format!("shares bytes with `{}`", excerpt(&pair[0].name)),
        )),
    }
}

struct Header {
    metadata: Vec<(String, String)>,
    tensors: Vec<(String, Info)>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl Info {
    /// The entry of the tensor `name`; values begin at byte `start` of the file.
    fn entry(self, input: &Input, name: String, start: u64) -> Result<Entry, ImportError> {
        let fault = |reason: String| Err(ImportError::tensor(input.name(), &name, reason));
        let Some(dtype) = dtype(&self.dtype) else {
            return fault(format!(
                "has dtype {}, which is not known here",
                excerpt(&self.dtype)
            ));
        };
        let [begin, end] = self.data_offsets;
        let Some(first) = start.checked_add(begin).filter(|_| begin <= end) else {
            return fault(format!("its bytes {begin}..{end} are no range"));
        };
        let shape = self.shape.clone();
        let entry = Entry::new(input, name.clone(), dtype, self.shape, first)?;
        if entry.span.end - entry.span.start != end - begin {
            return fault(format!(
                "shape {shape:?} of {} takes {} bytes, its offsets span {}",
                dtype.name(),
                entry.span.end - entry.span.start,
                end - begin
            ));
        }
        Ok(entry)
    }
}

fn dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "F64" => Dtype::F64,
        "F32" => Dtype::F32,
        "F16" => Dtype::F16,
        "BF16" => Dtype::BF16,
        "I64" => Dtype::I64,
        "I32" => Dtype::I32,
        "I16" => Dtype::I16,
        "I8" => Dtype::I8,
        "U64" => Dtype::U64,
        "U32" => Dtype::U32,
        "U16" => Dtype::U16,
        "U8" => Dtype::U8,
        "BOOL" => Dtype::Bool,
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut header = Header {
                    metadata: Vec::new(),
                    tensors: Vec::new(),
                };
                while let Some(name) = map.next_key::<String>()? {
                    let within =
                        |e: A::Error| A::Error::custom(format_args!("`{}`: {e}", excerpt(&name)));
                    if name == "__metadata__" {
                        let texts = map
                            .next_value::<std::collections::BTreeMap<String, String>>()
                            .map_err(within)?;
                        header.metadata.extend(texts);
                        continue;
                    }
                    let info = map.next_value().map_err(within)?;
                    header.tensors.push((name, info));
                }
                Ok(header)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
