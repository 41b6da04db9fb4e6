//! What `torch.save` writes: a zip archive of a pickle and raw numbers, and before PyTorch 1.6 the
//! same one after the other.

mod machine;
mod pickle;
mod value;
mod zip;

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{ImportError, excerpt};
use crate::input::Input;
use crate::limits;
use crate::tensors::Entry;
use pickle::Pickle;
use value::{Id, Tensor, Value};

const FORMAT: &str = "PyTorch";
/// The pickle of PyTorch's magic number, which begins an older file.
const MAGIC: [u8; 15] = *b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
/// Deepest nesting of containers that is looked into.
const DEPTH: usize = 12;

/// Whether a file that begins so is one of before PyTorch 1.6.
pub(crate) fn is_legacy(first: &[u8]) -> bool {
    first.starts_with(&MAGIC)
}

/// Reads the pickle and finds its tensors.
pub(crate) fn parse(input: &Input) -> Result<Vec<Entry>, ImportError> {
    let (pickle, storages) = match is_legacy(&input.first(MAGIC.len() as u64)?) {
        true => legacy(input)?,
        false => zipped(input)?,
    };
    Finder {
        input,
        pickle: &pickle,
        storages: &storages,
        visits: 0,
        entries: Vec::new(),
    }
    .run()
}

/// Where the storages lie, by key.
type Storages = HashMap<String, Range<u64>>;

fn zipped(input: &Input) -> Result<(Pickle, Storages), ImportError> {
    let refuse = |reason: &str| ImportError::malformed(input.name(), FORMAT, reason);
    let listing = zip::list(input)?;
    // Before members are looked at: a program's source is packed.
    let is_script = |name: &str| {
        let inside = name.split_once('/').map_or(name, |(_, inside)| inside);
        inside == "constants.pkl" || inside.starts_with("code/")
    };
    if listing.names().any(is_script) {
        return Err(ImportError::TorchScript {
            file: input.name().to_owned(),
        });
    }
    let members = listing.members(input)?;
    let mut roots = members.iter().filter_map(|member| {
        let root = member.name.strip_suffix("data.pkl")?;
        (root.is_empty() || root.ends_with('/')).then_some((root, &member.span))
    });
    let found = (roots.next(), roots.next());
    let (Some((root, span)), None) = found else {
        return Err(refuse("it is a zip archive without one `data.pkl`"));
    };
    let mut storages = HashMap::new();
    for member in &members {
        let Some(name) = member.name.strip_prefix(root) else {
            continue;
        };
        if name == "byteorder" && input.read(bounded(&member.span, 16))? == b"big" {
            return Err(refuse("its numbers are big-endian; save it again on a PC"));
        }
        if let Some(key) = name.strip_prefix("data/") {
            storages.insert(key.to_owned(), member.span.clone());
        }
    }
    if span.end - span.start > limits::PICKLE_BYTES {
        return Err(refuse("its pickle is too long"));
    }
    let pickle = pickle::load(input.name(), &input.read(span.clone())?)?;
    Ok((pickle, storages))
}

/// `span`, of at most `most` bytes.
fn bounded(span: &Range<u64>, most: u64) -> Range<u64> {
    span.start..span.end.min(span.start.saturating_add(most))
}

/// Magic number, version, system, the object, the keys of its storages in order, then for each
/// its number of elements in eight bytes and the elements.
fn legacy(input: &Input) -> Result<(Pickle, Storages), ImportError> {
    let refuse = |reason: &str| ImportError::malformed(input.name(), FORMAT, reason);
    let bytes = input.first(limits::PICKLE_BYTES)?;
    let mut at = MAGIC.len();
    let mut next = || {
        let pickle = pickle::load(input.name(), bytes.get(at..).unwrap_or_default())?;
        at += pickle.length;
        Ok::<_, ImportError>(pickle)
    };
    let version = next()?;
    if !matches!(version.values[version.root], Value::Int(1001)) {
        return Err(refuse("its version is not 1001"));
    }
    let system = next()?;
    if !is_little_endian(&system) {
        return Err(refuse(
            "its numbers are not little-endian; save it again on a PC",
        ));
    }
    let object = next()?;
    let keys = next()?;
    let Value::List(ids) = keys.values[keys.root].clone() else {
        return Err(refuse("it has no list of storages"));
    };
    let sizes: HashMap<&str, u64> = object
        .values
        .iter()
        .filter_map(|value| match value {
            Value::Storage(it) => Some((it.key.as_str(), it.dtype.block().1)),
            _ => None,
        })
        .collect();
    let mut storages = HashMap::new();
    let mut place = at as u64;
    for id in ids {
        let Value::Text(key) = &keys.values[id] else {
            return Err(refuse("a storage's key is no text"));
        };
        let start = place + 8;
        if start > input.length() {
            return Err(refuse(
                "it ends before its storages do; copy the file again",
            ));
        }
        let mut count = [0; 8];
        count.copy_from_slice(&input.read(place..start)?);
        let size = sizes.get(key.as_str()).copied();
        let end = size
            .and_then(|size| u64::from_le_bytes(count).checked_mul(size))
            .and_then(|bytes| start.checked_add(bytes))
            .filter(|end| *end <= input.length());
        let Some(end) = end else {
            let reason = format!("storage `{}` goes beyond the file's end", excerpt(key));
            return Err(refuse(&reason));
        };
        storages.insert(key.clone(), start..end);
        place = end;
    }
    Ok((object, storages))
}

fn is_little_endian(system: &Pickle) -> bool {
    let Value::Dict(pairs) = &system.values[system.root] else {
        return false;
    };
    pairs.iter().any(|(key, value)| {
        matches!(&system.values[*key], Value::Text(key) if key == "little_endian")
            && matches!(system.values[*value], Value::Bool(true))
    })
}

/// Walks a pickle's containers for tensors.
struct Finder<'a> {
    input: &'a Input,
    pickle: &'a Pickle,
    storages: &'a Storages,
    /// Values looked at. A container can be in itself, or in another many times.
    visits: usize,
    entries: Vec<Entry>,
}

impl Finder<'_> {
    fn run(mut self) -> Result<Vec<Entry>, ImportError> {
        self.visit(self.pickle.root, String::new(), 0)?;
        Ok(self.entries)
    }

    fn visit(&mut self, id: Id, path: String, depth: usize) -> Result<(), ImportError> {
        self.visits += 1;
        if depth > DEPTH || self.visits > limits::VISITS {
            let reason = "its containers are nested too deeply, or in themselves";
            return Err(ImportError::malformed(self.input.name(), FORMAT, reason));
        }
        let below = |key: &str| match path.is_empty() {
            true => key.to_owned(),
            false => format!("{path}.{key}"),
        };
        let pickle = self.pickle;
        match &pickle.values[id] {
            Value::Tensor(tensor) => {
                let name = match path.is_empty() {
                    true => "tensor".to_owned(),
                    false => path,
                };
                self.tensor(name, tensor)?;
            }
            Value::Tuple(items) | Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.visit(*item, below(&index.to_string()), depth + 1)?;
                }
            }
            Value::Dict(pairs) => {
                for (key, value) in pairs {
                    let key = match &pickle.values[*key] {
                        Value::Text(key) => below(key),
                        Value::Int(key) => below(&key.to_string()),
                        _ => continue,
                    };
                    if key.len() > limits::NAME_BYTES {
                        let reason = "has a name that is too long";
                        return Err(ImportError::tensor(self.input.name(), &key, reason));
                    }
                    self.visit(*value, key, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn tensor(&mut self, name: String, tensor: &Tensor) -> Result<(), ImportError> {
        let file = self.input.name();
        if self.entries.len() == limits::TENSORS {
            let reason = format!("it has more than {} tensors", limits::TENSORS);
            return Err(ImportError::malformed(file, FORMAT, reason));
        }
        let storage = &tensor.storage;
        let held = self.storages.get(&storage.key).ok_or_else(|| {
            let reason = format!("its storage `{}` is missing", excerpt(&storage.key));
            ImportError::tensor(file, &name, reason)
        })?;
        // The storage's elements are within the file, so that offsets in bytes can be counted.
        let bytes = storage.dtype.bytes(storage.elements);
        let within = bytes.is_some_and(|bytes| bytes <= held.end - held.start);
        let extent = tensor.extent().filter(|_| within).ok_or_else(|| {
            let reason = format!(
                "shape {:?}, strides {:?} from element {} on are not within its storage of {} elements, {} bytes of the file",
                tensor.shape, tensor.strides, tensor.offset, storage.elements, held.end - held.start
            );
            ImportError::tensor(file, &name, reason)
        })?;
        let size = storage.dtype.block().1;
        let start = held.start + tensor.offset * size;
        let entry = match tensor.is_contiguous() || tensor.shape.contains(&0) {
            true => Entry::new(self.input, name, storage.dtype, tensor.shape.clone(), start)?,
            false => Entry {
                name,
                dtype: storage.dtype,
                shape: tensor.shape.clone(),
                span: start..start + extent * size,
                contiguous: false,
                scales: None,
            },
        };
        self.entries.push(entry);
        Ok(())
    }
}
