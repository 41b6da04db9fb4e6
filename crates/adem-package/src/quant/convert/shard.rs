//! One shard of the new package.

use tempfile::NamedTempFile;

use super::plan::{Fate, Plan, Planned};
use super::{Activations, QuantProgress, Run};
use crate::digest::Digest;
use crate::error::PackageError;
use crate::limits;
use crate::package::check_finite;
use crate::quant::encode::{EncodeError, Errors, Importance, Recipe, encode};
use crate::quant::{Feedback, Geometry, Scheme, TensorReport};
use crate::source::WeightSource;
use crate::write::{Layout, put, sealed};

/// A shard on disk under a temporary name.
pub(super) struct Written {
    pub staged: NamedTempFile,
    pub sha256: Digest,
}

impl<S: WeightSource, P: FnMut(QuantProgress)> Run<'_, S, P> {
    /// Writes the shard `layout` to `staged` and reports on its tensors.
    pub(super) async fn shard(
        &mut self,
        plan: &Plan<'_>,
        layout: &Layout,
        mut staged: NamedTempFile,
        reports: &mut [Option<TensorReport>],
    ) -> Result<Written, PackageError> {
        put(&mut staged, 0, &layout.header)?;
        let mut start = vec![0; plan.slots.len()];
        let mut tensors = Vec::new();
        for placed in &layout.tensors {
            start[placed.slot] = placed.start;
            tensors.push(plan.owner[placed.slot]);
        }
        // In the order of the source, which reads best.
        tensors.sort_unstable_by_key(|&tensor| {
            let Planned { file, span, .. } = &plan.tensors[tensor];
            (*file, span.start, tensor)
        });
        tensors.dedup();
        for tensor in tensors {
            let planned = &plan.tensors[tensor];
            let slots = &plan.slots[planned.slots.clone()];
            let places = &start[planned.slots.clone()];
            let (kind, kept, errors) = match (planned.fate, places) {
                (Fate::Quantised(geometry, scheme), &[words, scales]) => {
                    let places = (words as u64, scales as u64);
                    let kind = (geometry, scheme);
                    let errors = self.blocks(planned, kind, places, &mut staged).await?;
                    (scheme.name(), None, errors)
                }
                (Fate::Kept(reason), &[place]) => {
                    self.floats(planned, place as u64, &mut staged).await?;
                    (planned.dtype.name(), Some(reason), Errors::default())
                }
                // A plan gives every tensor the slots of its fate.
                _ => continue,
            };
            let bytes = slots.iter().map(|slot| slot.bytes).sum();
            reports[tensor] = Some(TensorReport::new(
                &planned.name,
                &planned.shape,
                kind,
                kept,
                bytes,
                &errors,
            ));
            self.now.tensors += 1;
        }
        let sha256 = sealed(&mut staged)?;
        Ok(Written { staged, sha256 })
    }

    /// Copies a tensor as it is.
    async fn floats(
        &mut self,
        tensor: &Planned<'_>,
        mut place: u64,
        staged: &mut NamedTempFile,
    ) -> Result<(), PackageError> {
        let Planned { span, dtype, .. } = tensor;
        let mut start = span.start;
        while start < span.end {
            let end = span.end.min(start + limits::PART_BYTES);
            let bytes = self.part(tensor, start, end).await?;
            let first = (start - span.start) as usize / dtype.size();
            check_finite(tensor.file, &tensor.name, *dtype, &bytes, first)?;
            put(staged, place, &bytes)?;
            place += end - start;
            start = end;
        }
        Ok(())
    }

    /// Quantises a weight, some rows at a time.
    async fn blocks(
        &mut self,
        tensor: &Planned<'_>,
        (geometry, scheme): (Geometry, Scheme),
        (mut words_place, mut scales_place): (u64, u64),
        staged: &mut NamedTempFile,
    ) -> Result<Errors, PackageError> {
        let options = self.options;
        let Planned {
            file,
            name,
            span,
            dtype,
            ..
        } = tensor;
        let (squares, feedback) = match options.activations.get(name) {
            None => (None, None),
            Some(Activations::Squares(squares)) => (Some(squares.as_slice()), None),
            Some(Activations::Products(products)) => (None, Feedback::new(products, geometry.cols)),
        };
        let of_product = feedback.as_ref().map(Importance::Product);
        let recipe = Recipe {
            scheme,
            scale: options.scale_type,
            method: options.method,
            importance: squares.map(Importance::Columns).or(of_product),
        };
        let row_bytes = (geometry.cols * dtype.size()) as u64;
        let rows = (limits::PART_BYTES / row_bytes).max(1);
        let mut errors = Errors::default();
        let mut start = span.start;
        while start < span.end {
            let end = span.end.min(start + rows * row_bytes);
            let bytes = self.part(tensor, start, end).await?;
            let first = (start - span.start) as usize / dtype.size();
            check_finite(file, name, *dtype, &bytes, first)?;
            let blocks = encode(&dtype.decode(&bytes), geometry.cols, &recipe)
                .map_err(|error| refused(tensor, first, error))?;
            errors.add(&blocks.errors);
            let words: Vec<u8> = blocks.words.iter().flat_map(|w| w.to_le_bytes()).collect();
            let scales = options.scale_type.dtype().encode(&blocks.scales);
            put(staged, words_place, &words)?;
            put(staged, scales_place, &scales)?;
            words_place += words.len() as u64;
            scales_place += scales.len() as u64;
            start = end;
        }
        Ok(errors)
    }

    /// Some bytes of a tensor.
    async fn part(
        &mut self,
        tensor: &Planned<'_>,
        start: u64,
        end: u64,
    ) -> Result<Vec<u8>, PackageError> {
        let bytes = self.package.source().read(tensor.file, start..end).await?;
        self.go_on(end - start)?;
        Ok(bytes)
    }
}

/// What to say of weights from element `first` of `tensor` on that cannot be quantised.
fn refused(tensor: &Planned<'_>, first: usize, error: EncodeError) -> PackageError {
    match error {
        EncodeError::Unfit {
            index,
            value,
            largest,
        } => PackageError::Unscalable {
            file: tensor.file.to_owned(),
            tensor: tensor.name.clone(),
            index: first + index,
            value,
            largest,
        },
        EncodeError::Ragged { .. } => PackageError::Unwritable {
            tensor: tensor.name.clone(),
            reason: error.to_string(),
        },
        EncodeError::Importance { .. } => PackageError::Importance {
            tensor: tensor.name.clone(),
            reason: error.to_string(),
        },
    }
}
