//! A batch: rows of ids and labels, and the planes of their pictures.

use std::sync::Arc;

use super::Position;
use super::draw::Draft;
use crate::datasets::bad::BadRows;
use crate::datasets::error::{DataError, RowFault};
use crate::datasets::sample::Sample;
use crate::datasets::seeds::{derive, text_word};
use crate::image::{Augment, Limits, Normalisation, View, normalise, resize_bicubic};
use crate::rows::Row;

/// What becomes of the pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PicturePlan {
    /// Side of the encoder's input, in pixels.
    pub size: u32,
    /// The encoder's constants.
    pub normalisation: Normalisation,
    /// Random changes; `None` resizes the whole picture, as when evaluating.
    pub augment: Option<Augment>,
    /// Bounds of what is decoded.
    pub limits: Limits,
}

/// A row of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// The sample, less the bytes of its picture once that is decoded.
    pub sample: Sample,
    /// Ids and labels.
    pub row: Row,
    /// Whether it has a picture.
    pub has_picture: bool,
    /// What its pixels show of the picture, as far as crop and flip go.
    pub view: View,
}

/// Rows to train on together.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The epoch it belongs to, from 0.
    pub epoch: u64,
    /// The rows: as many as the plan says, less bad ones, or fewer at an epoch's end.
    pub examples: Vec<Example>,
    /// `[examples, 3, size, size]`, zero where there is no picture; empty without a picture plan.
    pub pixels: Vec<f32>,
    /// Positions of the longest row.
    pub width: usize,
    /// The place after this batch, to continue from.
    pub position: Position,
}

impl Batch {
    /// Share of `[examples, width]` that is padding.
    pub fn padding(&self) -> f64 {
        let used: usize = self.examples.iter().map(|e| e.row.len).sum();
        let all = self.examples.len() * self.width;
        1.0 - used as f64 / all.max(1) as f64
    }
}

/// Decodes the pictures of drafts.
pub(super) struct Maker {
    pub pictures: Option<PicturePlan>,
    pub seed: u64,
    pub bad: Arc<BadRows>,
}

impl Maker {
    /// The batch of a draft, less rows whose picture is bad.
    pub(super) fn make(&self, draft: Draft) -> Result<Batch, DataError> {
        let mut batch = Batch {
            epoch: draft.epoch,
            examples: Vec::with_capacity(draft.rows.len()),
            pixels: Vec::new(),
            width: 0,
            position: draft.position,
        };
        for (mut sample, row) in draft.rows {
            let has_picture = sample.picture.is_some();
            let mut view = View::WHOLE;
            if let Some(plan) = &self.pictures {
                match self.planes(plan, &sample, draft.epoch) {
                    Ok((planes, seen)) => {
                        batch.pixels.extend(planes);
                        view = seen;
                    }
                    Err(fault) => {
                        self.bad.add(sample.origin, fault)?;
                        continue;
                    }
                }
                sample.picture = None;
            }
            batch.width = batch.width.max(row.len);
            batch.examples.push(Example {
                sample,
                row,
                has_picture,
                view,
            });
        }
        Ok(batch)
    }

    fn planes(
        &self,
        plan: &PicturePlan,
        sample: &Sample,
        epoch: u64,
    ) -> Result<(Vec<f32>, View), RowFault> {
        let side = plan.size;
        let Some(picture) = &sample.picture else {
            let nothing = vec![0.0; 3 * side as usize * side as usize];
            return Ok((nothing, View::WHOLE));
        };
        let picture = picture.decode(&plan.limits)?;
        let (picture, view) = match &plan.augment {
            Some(augment) => {
                let words = [epoch, text_word(&sample.id), u64::from(sample.turn)];
                augment.apply(&picture, side, derive(self.seed, &words))
            }
            None => (resize_bicubic(&picture, side, side), View::WHOLE),
        };
        Ok((normalise(&picture, &plan.normalisation), view))
    }
}
