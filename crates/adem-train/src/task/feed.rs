//! Batches of a data set as a stage takes them.

use std::sync::Arc;

use adem_data::datasets::{Batch, Encoder, LoadPlan, Loaded, Loader, PicturePlan, Position};
use adem_data::image::Limits;

use super::config::TaskConfig;
use super::texts::Opened;
use crate::error::TrainError;
use crate::stage::{Batches, Start};

/// Yields batches of exactly `size` rows and remembers the place after each. What is left at an
/// epoch's end is left out, as it would make the mean of a step one of other weight.
pub(crate) struct Feed<B> {
    loader: Loader,
    size: usize,
    place: Position,
    make: Box<dyn FnMut(Batch) -> Result<B, TrainError>>,
}

impl<B> Feed<B> {
    pub(crate) fn new(
        data: &Opened,
        encoder: Encoder,
        pictures: Option<PicturePlan>,
        plan: &LoadPlan,
        from: &Start,
        make: impl FnMut(Batch) -> Result<B, TrainError> + 'static,
    ) -> Result<Self, TrainError> {
        let place = match &from.place {
            None => Position::default(),
            Some(text) => serde_json::from_str(text).map_err(|e| TrainError::Place {
                message: e.to_string(),
            })?,
        };
        let plan = LoadPlan {
            threads: from.threads,
            ..plan.clone()
        };
        let loader = Loader::new(
            Arc::clone(&data.source),
            Arc::new(encoder),
            pictures,
            &plan,
            &place,
            Arc::clone(&data.bad),
        )?;
        Ok(Self {
            loader,
            size: plan.batch,
            place,
            make: Box::new(make),
        })
    }
}

impl<B> Feed<B> {
    /// The next batch, whatever its size; `None` after the last epoch.
    pub(crate) fn next_or_end(&mut self) -> Result<Option<B>, TrainError> {
        loop {
            match self.loader.next().transpose()? {
                None => return Ok(None),
                Some(Loaded::EpochEnd { .. }) => {}
                Some(Loaded::Batch(batch)) => return (self.make)(*batch).map(Some),
            }
        }
    }
}

impl<B> Batches<B> for Feed<B> {
    fn next(&mut self) -> Result<B, TrainError> {
        let mut short = 0;
        loop {
            match self.loader.next().transpose()? {
                None => return Err(TrainError::Loader),
                Some(Loaded::EpochEnd { position, .. }) => self.place = position,
                Some(Loaded::Batch(batch)) if batch.examples.len() < self.size => {
                    self.place = batch.position;
                    short += 1;
                    if short > 1000 {
                        return Err(TrainError::Config {
                            field: "batch",
                            message: format!(
                                "the data set has fewer than {} usable rows",
                                self.size
                            ),
                        });
                    }
                }
                Some(Loaded::Batch(batch)) => {
                    self.place = batch.position.clone();
                    return (self.make)(*batch);
                }
            }
        }
    }

    fn place(&self) -> Option<String> {
        serde_json::to_string(&self.place).ok()
    }
}

/// What becomes of the pictures of a data set.
pub(crate) fn pictures(config: &TaskConfig, data: &Opened) -> PicturePlan {
    PicturePlan {
        size: config.model.clip.image_size as u32,
        normalisation: config.normalisation.values(),
        augment: data.config.augment,
        limits: Limits::default(),
    }
}

/// Names of a batch's samples.
pub(crate) fn names(batch: &Batch) -> Vec<String> {
    batch
        .examples
        .iter()
        .map(|e| match e.sample.turn {
            0 => e.sample.id.clone(),
            turn => format!("{} ({turn})", e.sample.id),
        })
        .collect()
}
