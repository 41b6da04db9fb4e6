//! A tensor's values from where they are to where they go, some rows at a time.

use std::sync::atomic::{AtomicBool, Ordering};

use adem_package::quant::Scheme;
use adem_package::{PackageError, Sink, StreamTensor};

use super::ImportProgress;
use crate::dtype::Dtype;
use crate::error::ImportError;
use crate::gguf::blocks;
use crate::report::TensorReport;
use crate::resolve::{Join, Part, Resolved};

/// Bytes read at once, unless a row is longer.
const CHUNK: u64 = 8 << 20;

/// Copying, as it proceeds.
pub(super) struct Copy<'a, P> {
    resolved: &'a [Resolved<'a>],
    progress: P,
    stop: &'a AtomicBool,
    pub now: ImportProgress,
    pub made: Vec<TensorReport>,
}

impl<'a, P: FnMut(ImportProgress)> Copy<'a, P> {
    /// `resolved` is sorted by name.
    pub fn new(resolved: &'a [Resolved<'a>], progress: P, stop: &'a AtomicBool) -> Self {
        let parts = resolved.iter().flat_map(|it| &it.parts);
        Self {
            resolved,
            progress,
            stop,
            now: ImportProgress {
                total_bytes: parts.map(|part| part.entry.bytes()).sum(),
                total_tensors: resolved.len(),
                ..ImportProgress::default()
            },
            made: Vec::with_capacity(resolved.len()),
        }
    }

    /// Gives `sink` all values of `tensor`.
    pub fn tensor(
        &mut self,
        tensor: &StreamTensor,
        sink: &mut Sink<'_>,
    ) -> Result<(), ImportError> {
        let found = self
            .resolved
            .binary_search_by(|it| it.name.as_str().cmp(&tensor.name));
        let resolved = found.map(|index| &self.resolved[index]).map_err(|_| {
            ImportError::Sources(format!("`{}` is written and was not found", tensor.name))
        })?;
        let mut exact = true;
        match resolved.join {
            Join::Rows => {
                for part in &resolved.parts {
                    exact &= self.rows(std::slice::from_ref(part), tensor, sink)?;
                }
            }
            Join::Columns => exact &= self.rows(&resolved.parts, tensor, sink)?,
        }
        let first = resolved.parts.first().map(|part| part.entry.dtype);
        self.made.push(TensorReport {
            name: resolved.name.clone(),
            shape: resolved.shape.clone(),
            found: first.map_or("", Dtype::name),
            stored: match sink.scheme() {
                Some(scheme) => scheme.name(),
                None => tensor.dtype.name(),
            },
            exact,
        });
        self.now.tensors += 1;
        self.go_on(0)
    }

    /// Gives the rows of `parts`, which stand side by side; whether every bit is kept.
    fn rows(
        &mut self,
        parts: &[Part<'_>],
        tensor: &StreamTensor,
        sink: &mut Sink<'_>,
    ) -> Result<bool, ImportError> {
        let Some(first) = parts.first() else {
            return Ok(true);
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
        let step = (CHUNK / (bytes / all.max(1)).max(1)).max(1);
        let mut exact = true;
        let mut row = 0;
        while row < all {
            let end = all.min(row.saturating_add(step));
            let read = parts
                .iter()
                .map(|part| part.file.rows(part.entry, row..end))
                .collect::<Result<Vec<_>, _>>()?;
            let bytes = side_by_side(read, (end - row) as usize);
            exact &= give(dtype, &bytes, tensor, sink).map_err(|error| self.named(error, first))?;
            self.go_on(bytes.len() as u64)?;
            row = end;
        }
        Ok(exact)
    }

    /// Says which file a value that was refused is from.
    fn named(&self, error: PackageError, part: &Part<'_>) -> ImportError {
        match error {
            PackageError::NonFinite { .. }
            | PackageError::Overflow { .. }
            | PackageError::Unscalable { .. } => {
                ImportError::tensor(part.file.name(), &part.entry.name, error.to_string())
            }
            other => other.into(),
        }
    }

    fn go_on(&mut self, bytes: u64) -> Result<(), ImportError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(PackageError::Stopped.into());
        }
        self.now.bytes += bytes;
        (self.progress)(self.now);
        Ok(())
    }
}

/// Rows of several matrices as rows of one.
fn side_by_side(mut parts: Vec<Vec<u8>>, rows: usize) -> Vec<u8> {
    if parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut all = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    for row in 0..rows {
        for part in &parts {
            let width = part.len() / rows;
            all.extend(&part[row * width..(row + 1) * width]);
        }
    }
    all
}

/// Gives `bytes` of `dtype` in the way that keeps most of them; whether that is every bit.
fn give(
    dtype: Dtype,
    bytes: &[u8],
    tensor: &StreamTensor,
    sink: &mut Sink<'_>,
) -> Result<bool, PackageError> {
    let blocks = match (dtype, sink.scheme()) {
        (Dtype::Q4_0, Some(Scheme::Q4)) => Some(blocks::q4_0_stored(bytes)),
        (Dtype::Q8_0, Some(Scheme::Q8)) => Some(blocks::q8_0_stored(bytes)),
        (_, None) if dtype.stored() == Some(tensor.dtype) => {
            return sink.stored(bytes).map(|()| true);
        }
        _ => None,
    };
    match blocks {
        Some(blocks) => sink.blocks(&blocks.words, &blocks.scales).map(|()| true),
        None => {
            sink.values(&dtype.decode(bytes))?;
            // Wider floats hold the values of narrower ones.
            let wider = tensor.dtype == adem_package::Dtype::F32 && dtype.stored().is_some();
            Ok(sink.scheme().is_none() && wider)
        }
    }
}
