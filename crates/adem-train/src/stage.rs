//! What is trained step by step.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

/// Something that can be trained step by step.
pub trait Stage: Send + Sync + 'static {
    /// The parameters.
    type Model: Module + Sync + 'static;
    /// What one pass learns from.
    type Batch: Send + 'static;

    /// Name, for reports and files.
    fn name(&self) -> &'static str;

    /// The batches of the rest of the run.
    ///
    /// # Errors
    /// When the data cannot be had, or `from` is a place in other data.
    fn batches(self: Arc<Self>, from: &Start) -> Result<Box<dyn Batches<Self::Batch>>, TrainError>;

    /// Samples in a batch.
    fn samples(&self, batch: &Self::Batch) -> usize;

    /// What the samples of a batch are called, for a message about a loss that is not finite.
    fn names(&self, _: &Self::Batch) -> Vec<String> {
        Vec::new()
    }

    /// The loss of a batch as far as it is a mean over the batch's samples, and what the rest of
    /// the loss is about.
    ///
    /// # Errors
    /// Those of the model.
    fn forward(
        &self,
        model: &Self::Model,
        batch: Self::Batch,
        context: &Context,
    ) -> Result<Forward, TrainError>;

    /// The part of the loss that compares the samples of a batch with one another, from what
    /// [`forward`](Self::forward) shared of all of them; `None` where there is no such part.
    fn joint(&self, _: Vec<Tensor<2>>) -> Option<Tensor<1>> {
        None
    }

    /// Loss and gradients by a way of the stage's own, as one that recomputes; `None` for the
    /// ordinary backward pass of [`forward`](Self::forward).
    ///
    /// # Errors
    /// Those of the model.
    fn gradients(
        &self,
        _: &Self::Model,
        _: &Self::Batch,
        _: &Context,
    ) -> Result<Option<(Tensor<1>, GradientsParams)>, TrainError> {
        Ok(None)
    }

    /// A batch in at most `parts` parts, none of them empty, whose shares add up to 1.
    fn split(&self, batch: Self::Batch, parts: usize) -> Vec<Part<Self::Batch>>;

    /// Whether the parameter of this name is trained.
    fn trains(&self, name: &str) -> bool;

    /// Whether the parameter of this name goes into checkpoints.
    fn saves(&self, _: &str) -> bool {
        true
    }

    /// How good the model is on data it is not trained on. `None` where there is no such data.
    ///
    /// # Errors
    /// Those of the data and the model.
    fn validate(&self, _: &Self::Model, _: &Device) -> Result<Option<Quality>, TrainError> {
        Ok(None)
    }
}

/// How good a model is on data it is not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Mean loss; lower is better.
    pub loss: f64,
    /// CIDEr-D of its captions, where it wrote any; higher is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cider: Option<f64>,
}

/// Batches one after the other.
pub trait Batches<B> {
    /// The next batch.
    ///
    /// # Errors
    /// When the data cannot be had.
    fn next(&mut self) -> Result<B, TrainError>;

    /// The place after the last batch, for a checkpoint; `None` where the batch's number is all
    /// there is to know.
    fn place(&self) -> Option<String> {
        None
    }
}

/// Where batches begin.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Number of the first batch.
    pub number: u64,
    /// One past the number of the last batch.
    pub end: u64,
    /// What [`Batches::place`] said after the batch before.
    pub place: Option<String>,
    /// Threads that prepare batches.
    pub threads: usize,
}

/// Where and for which batch a stage computes.
#[derive(Debug, Clone)]
pub struct Context {
    /// Number of the batch, for what is drawn at random.
    pub number: u64,
    /// Which part of the batch.
    pub part: u64,
    /// Where tensors go; tracks gradients.
    pub device: Device,
}

/// A forward pass.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Mean over the batch, one value.
    pub loss: Tensor<1>,
    /// What [`Stage::joint`] needs to know of every sample, `[samples, channels]` each.
    pub shared: Vec<Tensor<2>>,
}

impl From<Tensor<1>> for Forward {
    fn from(loss: Tensor<1>) -> Self {
        Self {
            loss,
            shared: Vec::new(),
        }
    }
}

/// A part of a batch.
#[derive(Debug)]
pub struct Part<B> {
    /// Its weight in the whole batch's mean.
    pub share: f64,
    /// Its samples.
    pub batch: B,
}

/// The lengths of at most `parts` almost equal parts of `count` things; none is 0.
pub(crate) fn shares(count: usize, parts: usize) -> Vec<usize> {
    let parts = parts.clamp(1, count.max(1));
    (0..parts)
        .map(|i| count / parts + usize::from(i < count % parts))
        .collect()
}
