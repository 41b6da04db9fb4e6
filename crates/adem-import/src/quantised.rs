//! Quantised weights of a package: two stored tensors as the one they are.

use std::ops::Range;

use adem_package::quant::{Geometry, QuantTensor, QuantView, ScaleType, Scheme};

use crate::dtype::Dtype;
use crate::error::ImportError;
use crate::tensors::{Entry, TensorFile};

/// Where the scales of a quantised weight are, row after row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scales {
    /// Their type.
    pub kind: ScaleType,
    /// Bytes of the file, within it.
    pub span: Range<u64>,
}

/// The codes and scales of `weight`, two of the file's `entries`, as the weight; `None` where neither
/// is among them.
pub(crate) fn joined(
    file: &str,
    entries: &[Entry],
    weight: &QuantTensor,
) -> Result<Option<Entry>, ImportError> {
    let find = |name: &String| entries.iter().find(|entry| entry.name == *name);
    let names = weight.stored_names();
    let fault = |reason: String| ImportError::tensor(file, &weight.name, reason);
    let [words, scales] = names.each_ref().map(find);
    let (words, scales) = match (words, scales) {
        (None, None) => return Ok(None),
        (Some(words), Some(scales)) => (words, scales),
        _ => return Err(fault("has codes without scales, or the reverse".to_owned())),
    };
    let Some(geometry) = Geometry::of(&weight.shape) else {
        return Err(fault(format!("of shape {:?} is no matrix", weight.shape)));
    };
    let stored = match weight.scale {
        ScaleType::F16 => Dtype::F16,
        ScaleType::F32 => Dtype::F32,
    };
    let sizes = [geometry.row_words(weight.scheme), geometry.blocks()];
    for ((entry, dtype), columns) in [(words, Dtype::U32), (scales, stored)]
        .into_iter()
        .zip(sizes)
    {
        let shape = [geometry.rows as u64, columns as u64];
        if entry.dtype != dtype || entry.shape != shape {
            return Err(fault(format!(
                "needs `{}` of {} {shape:?}, which is {} {:?}",
                entry.name,
                dtype.name(),
                entry.dtype.name(),
                entry.shape
            )));
        }
    }
    Ok(Some(Entry {
        name: weight.name.clone(),
        dtype: match weight.scheme {
            Scheme::Q4 => Dtype::Q4,
            Scheme::Q8 => Dtype::Q8,
        },
        shape: weight.shape.iter().map(|dim| *dim as u64).collect(),
        span: words.span.clone(),
        contiguous: true,
        scales: Some(Scales {
            kind: weight.scale,
            span: scales.span.clone(),
        }),
    }))
}

/// The weights of the rows `rows` of `entry`, whose scales are `scales`, in single precision.
pub(crate) fn values(
    file: &TensorFile,
    entry: &Entry,
    scales: &Scales,
    rows: Range<u64>,
) -> Result<Vec<f32>, ImportError> {
    let fault = || ImportError::tensor(file.name(), &entry.name, "has no whole rows of blocks");
    let mut shape: Vec<_> = entry.shape.iter().map(|dim| *dim as usize).collect();
    if let Some(first) = shape.first_mut() {
        *first = (rows.end - rows.start) as usize;
    }
    let scheme = entry.dtype.blocks().ok_or_else(fault)?;
    let geometry = Geometry::of(&shape).ok_or_else(fault)?;
    let words = file.rows(entry, rows.clone())?;
    let scales_read = file.scales(entry, scales, rows)?;
    let view = QuantView::new(scheme, scales.kind, geometry, &words, &scales_read);
    Ok(view.ok_or_else(fault)?.to_f32())
}
