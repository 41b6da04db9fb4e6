//! The tensors a mapping asks for, found in a source's files.

use std::collections::{HashMap, HashSet};

use adem_package::quant::matches;

use crate::error::ImportError;
use crate::map::{Mapping, Wanted};
use crate::report::{LeftOut, Mismatch};
use crate::source::Source;
use crate::tensors::{Entry, TensorFile};

/// Longest tensor that several files each have whole and that is compared among them, bytes.
const COMPARED: u64 = 16 << 20;

/// How parts make a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    /// One below the other.
    Rows,
    /// Side by side: matrices of equally many rows.
    Columns,
}

/// A tensor of the package, and where its values are.
pub(crate) struct Resolved<'a> {
    pub name: String,
    pub shape: Vec<u64>,
    pub join: Join,
    pub parts: Vec<Part<'a>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    pub file: &'a TensorFile,
    pub entry: &'a Entry,
}

/// Finds what `mappings` want in `source`, and leaves out what they know or `ignore` names.
pub(crate) fn resolve<'a>(
    source: &'a Source,
    mappings: &[&Mapping],
    ignore: &[String],
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Resolved<'a>>, ImportError> {
    let mut found: HashMap<&str, Vec<Part<'a>>> = HashMap::new();
    for file in &source.files {
        for entry in file.entries() {
            let parts = found.entry(entry.name.as_str()).or_default();
            if !source.divided && !parts.is_empty() {
                let reason = format!("is in `{}` too", parts[0].file.name());
                return Err(ImportError::tensor(file.name(), &entry.name, reason));
            }
            parts.push(Part { file, entry });
        }
    }
    let mut resolver = Resolver {
        found,
        used: HashSet::new(),
        mismatch: Mismatch {
            source: source.path.clone(),
            ..Mismatch::default()
        },
    };
    let mut resolved = Vec::new();
    for wanted in mappings.iter().flat_map(|mapping| &mapping.wanted) {
        resolved.extend(resolver.tensor(wanted)?);
    }
    resolver.leave_out(source, mappings, ignore, left_out);
    match resolver.mismatch.is_empty() {
        true => Ok(resolved),
        false => Err(ImportError::Mismatch(Box::new(resolver.mismatch))),
    }
}

struct Resolver<'a> {
    found: HashMap<&'a str, Vec<Part<'a>>>,
    used: HashSet<&'a str>,
    mismatch: Mismatch,
}

impl<'a> Resolver<'a> {
    /// The tensor, unless something is wrong with it, which is noted.
    fn tensor(&mut self, wanted: &Wanted) -> Result<Option<Resolved<'a>>, ImportError> {
        let mut parts: Vec<Part<'a>> = Vec::new();
        let mut join = Some(Join::Rows);
        for (name, shape) in &wanted.parts {
            let Some((&key, held)) = self.found.get_key_value(name.as_str()) else {
                self.mismatch.missing.push(name.clone());
                join = None;
                continue;
            };
            self.used.insert(key);
            let fits = together(held, shape, wanted.divided);
            if fits.is_none() {
                let shapes: Vec<_> = held.iter().map(|part| &part.entry.shape).collect();
                let wrong = match shapes.as_slice() {
                    [one] => format!("{name} {one:?}, the model's is {shape:?}"),
                    all => format!(
                        "{name} {all:?} in {} files, the model's is {shape:?}",
                        all.len()
                    ),
                };
                self.mismatch.shapes.push(wrong);
            }
            match fits {
                Some((way, count)) => {
                    if count == 1 {
                        same(held)?;
                    }
                    join = join.map(|_| way);
                    parts.extend(held.iter().take(count));
                }
                None => join = None,
            }
        }
        for part in &parts {
            if !part.entry.dtype.is_float() {
                let reason = format!("is of type {}, not a float", part.entry.dtype.name());
                return Err(ImportError::tensor(
                    part.file.name(),
                    &part.entry.name,
                    reason,
                ));
            }
        }
        Ok(join.map(|join| Resolved {
            name: wanted.name.clone(),
            shape: wanted.shape.clone(),
            join,
            parts,
        }))
    }

    /// Sorts what was not used into what is known and what is not.
    fn leave_out(
        &mut self,
        source: &Source,
        mappings: &[&Mapping],
        ignore: &[String],
        left_out: &mut Vec<LeftOut>,
    ) {
        let mut seen = HashSet::new();
        for file in &source.files {
            for Entry { name, .. } in file.entries() {
                if self.used.contains(name.as_str()) || !seen.insert(name.as_str()) {
                    continue;
                }
                let mut known = mappings.iter().flat_map(|mapping| &mapping.known);
                let reason = match known.find(|known| (known.is)(name)) {
                    Some(known) => known.reason,
                    None if ignore.iter().any(|pattern| matches(pattern, name)) => "asked for",
                    None => {
                        self.mismatch.unused.push(name.clone());
                        continue;
                    }
                };
                left_out.push(LeftOut {
                    file: file.name().to_owned(),
                    tensor: name.clone(),
                    reason: reason.to_owned(),
                });
            }
        }
    }
}

/// How these parts are a tensor of `shape`, and how many of them are taken: all of them, divided
/// along `divided` or, as embeddings are in some releases, along the other dimension; or the first
/// of several equal ones.
fn together(parts: &[Part<'_>], shape: &[u64], divided: Option<usize>) -> Option<(Join, usize)> {
    let shapes = || parts.iter().map(|part| part.entry.shape.as_slice());
    if shapes().all(|found| found == shape) {
        return Some((Join::Rows, 1));
    }
    divided?;
    let along = |dim: usize| {
        let others = |found: &[u64]| {
            found.len() == shape.len() && (0..shape.len()).all(|i| i == dim || found[i] == shape[i])
        };
        let sum = shapes()
            .filter_map(|found| found.get(dim))
            .try_fold(0u64, |sum, size| sum.checked_add(*size));
        shapes().all(others) && sum == shape.get(dim).copied()
    };
    let order = match divided {
        Some(1) => [(1, Join::Columns), (0, Join::Rows)],
        _ => [(0, Join::Rows), (1, Join::Columns)],
    };
    let way = order.into_iter().find(|(dim, _)| along(*dim))?;
    Some((way.1, parts.len()))
}

/// Refuses tensors that several files have whole and not alike.
fn same<'a>(parts: &[Part<'a>]) -> Result<(), ImportError> {
    let Some((first, others)) = parts.split_first() else {
        return Ok(());
    };
    let bytes = |part: &Part<'a>| part.file.rows(part.entry, 0..part.entry.rows());
    if others.is_empty() || first.entry.bytes() > COMPARED {
        return Ok(());
    }
    let wanted = bytes(first)?;
    for other in others {
        if *bytes(other)? != *wanted {
            let reason = format!("is not the same in `{}`", first.file.name());
            return Err(ImportError::tensor(
                other.file.name(),
                &other.entry.name,
                reason,
            ));
        }
    }
    Ok(())
}
