//! The header of a safetensors shard.
//!
//! Eight bytes of little-endian header length, that many bytes of JSON
//! (`{"name": {"dtype", "shape", "data_offsets": [begin, end]}, ..}`, padded with spaces), then
//! the values. Read here rather than by the `safetensors` crate because a refusal has to name
//! the tensor and a name that occurs twice has to be seen, which that crate does not offer.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::dtype::Element;
use crate::error::PackageError;
use crate::limits;
use crate::name::tensor_name_fault;

/// Bytes of the length before the header.
pub(crate) const LENGTH_BYTES: usize = 8;
/// The header key that holds no tensor.
const METADATA: &str = "__metadata__";

/// Where one tensor lies in its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub name: String,
    pub element: Element,
    pub shape: Vec<usize>,
    /// Bytes from the start of the file.
    pub span: Range<usize>,
}

/// Length of the header's JSON in a shard of `bytes` bytes that begins with `first`.
pub(crate) fn length(file: &str, first: &[u8], bytes: usize) -> Result<usize, PackageError> {
    let refuse = |reason: String| PackageError::Header {
        file: file.to_owned(),
        reason,
    };
    let length = first
        .first_chunk::<LENGTH_BYTES>()
        .ok_or_else(|| refuse(format!("{bytes} bytes are too few for a header")))?;
    let length = u64::from_le_bytes(*length);
    if length > limits::HEADER_BYTES {
        return Err(refuse(format!(
            "its header says it has {length} bytes, at most {} are read",
            limits::HEADER_BYTES
        )));
    }
    let length = length as usize;
    let rest = bytes - LENGTH_BYTES;
    if length > rest {
        return Err(refuse(format!(
            "its header says it has {length} bytes, the file holds {rest} after its length"
        )));
    }
    Ok(length)
}

/// Parses the header's `json` of a shard of `bytes` bytes, as long as [`length`] said, and checks
/// that its tensors are of a type a package may hold, fill the file to its last byte without a
/// gap or an overlap, and have different names.
pub(crate) fn parse(file: &str, json: &[u8], bytes: usize) -> Result<Vec<Entry>, PackageError> {
    let refuse = |reason: String| PackageError::Header {
        file: file.to_owned(),
        reason,
    };
    let header: RawHeader = serde_json::from_slice(json).map_err(|e| refuse(e.to_string()))?;
    let start = LENGTH_BYTES + json.len();
    let mut entries = header
        .0
        .into_iter()
        .map(|raw| raw.check(file, start, bytes - start))
        .collect::<Result<Vec<_>, _>>()?;
    reject_duplicates(file, &entries)?;
    entries.sort_by_key(|entry| (entry.span.start, entry.span.end));
    let mut end = start;
    for entry in &entries {
        if entry.span.start != end {
            return Err(entry.fault(
                file,
                "its bytes do not follow those of the tensor before it",
            ));
        }
        end = entry.span.end;
    }
    if end != bytes {
        return Err(refuse(format!(
            "{} bytes at its end belong to no tensor",
            bytes - end
        )));
    }
    Ok(entries)
}

fn reject_duplicates(file: &str, entries: &[Entry]) -> Result<(), PackageError> {
    let mut names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(PackageError::Duplicate {
            file: file.to_owned(),
            tensor: pair[0].to_owned(),
        }),
        None => Ok(()),
    }
}

impl Entry {
    fn fault(&self, file: &str, reason: &str) -> PackageError {
        PackageError::Entry {
            file: file.to_owned(),
            tensor: self.name.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// The header's entries as written, in order, doubles included.
struct RawHeader(Vec<RawEntry>);

struct RawEntry {
    name: String,
    info: RawInfo,
}

#[derive(serde::Deserialize)]
struct RawInfo {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl RawEntry {
    /// `start`: where the values begin in the file; `len`: their bytes.
    fn check(self, file: &str, start: usize, len: usize) -> Result<Entry, PackageError> {
        let Self { name, info } = self;
        let fault = |reason: String| PackageError::Entry {
            file: file.to_owned(),
            tensor: name.clone(),
            reason,
        };
        if let Some(reason) = tensor_name_fault(&name) {
            return Err(fault(reason.to_owned()));
        }
        let Some(element) = Element::from_name(&info.dtype) else {
            return Err(PackageError::Dtype {
                file: file.to_owned(),
                tensor: name,
                found: info.dtype.chars().take(40).collect(),
            });
        };
        if info.shape.len() > limits::RANK {
            return Err(fault(format!(
                "has {} dimensions, at most {} are read",
                info.shape.len(),
                limits::RANK
            )));
        }
        let shape = &info.shape;
        let wanted = shape
            .iter()
            .try_fold(element.size() as u64, |product, &dim| {
                product.checked_mul(dim)
            })
            .ok_or_else(|| {
                fault(format!(
                    "shape {shape:?} has more elements than can be counted"
                ))
            })?;
        let [begin, end] = info.data_offsets;
        if begin > end || end > len as u64 {
            return Err(fault(format!(
                "its bytes {begin}..{end} are not within the {len} the shard holds"
            )));
        }
        if end - begin != wanted {
            return Err(fault(format!(
                "shape {shape:?} of {} takes {wanted} bytes, its offsets span {}",
                element.name(),
                end - begin
            )));
        }
        let shape = shape
            .iter()
            .map(|&dim| usize::try_from(dim))
            .collect::<Result<_, _>>()
            .map_err(|_| fault("a dimension is too long for this machine".to_owned()))?;
        // `end <= len` and the file is in memory: neither sum can overflow.
        let span = start + begin as usize..start + end as usize;
        Ok(Entry {
            name,
            element,
            shape,
            span,
        })
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == METADATA {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let info = map
                        .next_value()
                        .map_err(|e| A::Error::custom(format_args!("tensor `{name}`: {e}")))?;
                    entries.push(RawEntry { name, info });
                }
                Ok(RawHeader(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
