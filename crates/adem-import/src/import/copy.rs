//! A tensor's values from where they are to where they go, some rows at a time.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use adem_package::quant::{ScaleType, Scheme};
use adem_package::{PackageError, Sink, StreamTensor, StreamWriter};

use super::ImportProgress;
use crate::dtype::Dtype;
use crate::error::ImportError;
use crate::gguf::blocks;
use crate::input::Window;
use crate::quantised::{self, Scales};
use crate::report::TensorReport;
use crate::resolve::{Join, Part, Resolved};
use crate::tensors::Entry;

/// Bytes looked at at once by all threads together, unless a row is longer.
const AT_ONCE: u64 = 64 << 20;
/// Least and most of them that one thread looks at.
const CHUNK: [u64; 2] = [1 << 20, 8 << 20];

/// Copying, as it proceeds.
pub(super) struct Copy<'a, P> {
    resolved: &'a [Resolved<'a>],
    /// Bytes that one thread looks at at once.
    chunk: u64,
    now: Mutex<Now<P>>,
}

struct Now<P> {
    progress: P,
    now: ImportProgress,
    /// Bytes read, which do not count what was there.
    read: u64,
}

/// How values are given, so that most of them are kept as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Floats, bit by bit.
    Stored,
    /// Codes and scales, bit by bit.
    Blocks,
    /// Numbers, which are stored in another way.
    Values,
}

impl Way {
    /// The way of a tensor that is found as `entry` to one of type `stored`, or quantised.
    fn of(entry: &Entry, stored: adem_package::Dtype, scheme: Option<(Scheme, ScaleType)>) -> Self {
        let dtype = entry.dtype;
        let blocks = dtype.blocks().zip(entry.scales.as_ref().map(|it| it.kind));
        match (dtype, scheme) {
            (_, Some(_)) if blocks == scheme => Self::Blocks,
            (Dtype::Q4_0, Some((Scheme::Q4, ScaleType::F16)))
            | (Dtype::Q8_0, Some((Scheme::Q8, ScaleType::F16))) => Self::Blocks,
            (_, None) if dtype.stored() == Some(stored) => Self::Stored,
            _ => Self::Values,
        }
    }
}

impl<'a, P: FnMut(ImportProgress)> Copy<'a, P> {
    /// `resolved` is sorted by name.
    pub fn new(
        resolved: &'a [Resolved<'a>],
        writer: &StreamWriter<'_>,
        jobs: Option<NonZeroUsize>,
        mut progress: P,
    ) -> Self {
        let bytes = |it: &Resolved<'_>| it.parts.iter().map(|part| part.entry.bytes()).sum::<u64>();
        let kept = resolved.iter().filter(|it| writer.is_kept(&it.name));
        let found = writer.found();
        let now = ImportProgress {
            bytes: kept.clone().map(bytes).sum(),
            total_bytes: resolved.iter().map(bytes).sum(),
            tensors: kept.count(),
            total_tensors: resolved.len(),
            shards: found.kept,
            found,
        };
        progress(now);
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let jobs = jobs.unwrap_or_else(cores).get() as u64;
        Self {
            resolved,
            chunk: (AT_ONCE / jobs).clamp(CHUNK[0], CHUNK[1]),
            now: Mutex::new(Now {
                progress,
                now,
                read: 0,
            }),
        }
    }

    /// What becomes of each tensor; `tensors` are in the order of what they are made of.
    pub fn reports(
        &self,
        writer: &StreamWriter<'_>,
        tensors: &[StreamTensor],
    ) -> Vec<TensorReport> {
        let report = |(resolved, tensor): (&Resolved<'_>, &StreamTensor)| {
            let scheme = writer.scheme(&tensor.name);
            let found = resolved.parts.first().map(|part| part.entry.dtype);
            let exact = |part: &Part<'_>| {
                let dtype = part.entry.dtype;
                // Wider floats hold the values of narrower ones.
                let wider = tensor.dtype == adem_package::Dtype::F32 && dtype.stored().is_some();
                let way = Way::of(part.entry, tensor.dtype, scheme);
                way != Way::Values || (scheme.is_none() && wider)
            };
            TensorReport {
                name: resolved.name.clone(),
                shape: resolved.shape.clone(),
                found: found.map_or("", Dtype::name),
                stored: scheme.map_or(tensor.dtype.name(), |(scheme, _)| scheme.name()),
                exact: resolved.parts.iter().all(exact),
            }
        };
        self.resolved.iter().zip(tensors).map(report).collect()
    }

    /// Gives `sink` all values of `tensor`.
    pub fn tensor(&self, tensor: &StreamTensor, sink: &mut Sink<'_>) -> Result<(), ImportError> {
        let found = self
            .resolved
            .binary_search_by(|it| it.name.as_str().cmp(&tensor.name));
        let resolved = found.map(|index| &self.resolved[index]).map_err(|_| {
            ImportError::Sources(format!("`{}` is written and was not found", tensor.name))
        })?;
        match resolved.join {
            Join::Rows => {
                for part in &resolved.parts {
                    self.rows(std::slice::from_ref(part), tensor, sink)?;
                }
            }
            Join::Columns => self.rows(&resolved.parts, tensor, sink)?,
        }
        self.report(|now| now.tensors += 1);
        Ok(())
    }

    /// Tells that so many shards are complete.
    pub fn shard_made(&self, shards: usize) {
        self.report(|now| now.shards = shards);
    }

    /// Bytes of weights read.
    pub fn bytes_read(&self) -> u64 {
        self.lock().read
    }

    /// Gives the rows of `parts`, which stand side by side.
    fn rows(
        &self,
        parts: &[Part<'_>],
        tensor: &StreamTensor,
        sink: &mut Sink<'_>,
    ) -> Result<(), ImportError> {
        let Some(first) = parts.first() else {
            return Ok(());
        };
        let dtype = first.entry.dtype;
        if let Some(other) = parts.iter().find(|part| part.entry.dtype != dtype) {
            let reason = format!(
                "is {} here and {} in other files",
                other.entry.dtype.name(),
                dtype.name()
            );
            return Err(ImportError::tensor(
                other.file.name(),
                &other.entry.name,
                reason,
            ));
        }
        let all = first.entry.rows();
        let bytes: u64 = parts.iter().map(|part| part.entry.bytes()).sum();
        let step = (self.chunk / (bytes / all.max(1)).max(1)).max(1);
        let mut row = 0;
        while row < all {
            let end = all.min(row.saturating_add(step));
            let read = match (&first.entry.scales, parts) {
                (Some(scales), [part]) => give_blocks(part, scales, row..end, tensor, sink)?,
                _ => give(parts, row..end, tensor, sink)?,
            };
            self.lock().read += read;
            self.report(|now| now.bytes += read);
            row = end;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Now<P>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, change: impl FnOnce(&mut ImportProgress)) {
        let mut guard = self.lock();
        let Now { progress, now, .. } = &mut *guard;
        change(now);
        progress(*now);
    }
}

/// Says which file a value that was refused is from.
fn named(error: PackageError, part: &Part<'_>) -> ImportError {
    match error {
        PackageError::NonFinite { .. }
        | PackageError::Overflow { .. }
        | PackageError::Unscalable { .. } => {
            ImportError::tensor(part.file.name(), &part.entry.name, error.to_string())
        }
        other => other.into(),
    }
}

/// Rows of several matrices as rows of one.
fn side_by_side<'a>(parts: &'a [Window<'_>], rows: usize) -> Cow<'a, [u8]> {
    if let [one] = parts {
        return Cow::Borrowed(one);
    }
    let mut all = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for row in 0..rows {
        for part in parts {
            let width = part.len() / rows;
            all.extend(&part[row * width..(row + 1) * width]);
        }
    }
    Cow::Owned(all)
}

/// Gives these rows of `parts`, which stand side by side and have one type, in the way that keeps
/// most of them; the bytes that were read.
fn give(
    parts: &[Part<'_>],
    rows: Range<u64>,
    tensor: &StreamTensor,
    sink: &mut Sink<'_>,
) -> Result<u64, ImportError> {
    let Some(first) = parts.first() else {
        return Ok(0);
    };
    let read = parts
        .iter()
        .map(|part| part.file.rows(part.entry, rows.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = side_by_side(&read, (rows.end - rows.start) as usize);
    let dtype = first.entry.dtype;
    let given = match Way::of(first.entry, tensor.dtype, sink.scheme()) {
        Way::Stored => sink.stored(&bytes),
        Way::Blocks => {
            let blocks = match dtype {
                Dtype::Q4_0 => blocks::q4_0_stored(&bytes),
                _ => blocks::q8_0_stored(&bytes),
            };
            sink.blocks(&blocks.words, &blocks.scales)
        }
        Way::Values => sink.values(&dtype.decode(&bytes)),
    };
    given.map_err(|error| named(error, first))?;
    Ok(bytes.len() as u64)
}

/// Gives these rows of a package's quantised weight; the bytes that were read.
fn give_blocks(
    part: &Part<'_>,
    scales: &Scales,
    rows: Range<u64>,
    tensor: &StreamTensor,
    sink: &mut Sink<'_>,
) -> Result<u64, ImportError> {
    let Part { file, entry } = *part;
    let share = |span: &Range<u64>| (span.end - span.start) / entry.rows().max(1);
    let read = (rows.end - rows.start) * (share(&entry.span) + share(&scales.span));
    let given = match Way::of(entry, tensor.dtype, sink.scheme()) {
        Way::Blocks => {
            let words = file.rows(entry, rows.clone())?;
            sink.blocks(&words, &file.scales(entry, scales, rows)?)
        }
        Way::Stored | Way::Values => sink.values(&quantised::values(file, entry, scales, rows)?),
    };
    given.map_err(|error| named(error, part))?;
    Ok(read)
}
