//! The loop of one training stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::Tensor;

use crate::checkpoint::{Checkpoint, Tensors};
use crate::error::TrainError;
use crate::named::{freeze, named_tensors};
use crate::optimiser::{AdamWSettings, NamedAdamW, Rule};
use crate::progress::{Log, Meter, Report};
use crate::schedule::Schedule;

/// Something that can be trained step by step.
pub trait Stage: Send + Sync + 'static {
    /// The parameters.
    type Model: Module;
    /// What one step learns from.
    type Batch: Send + 'static;

    /// Name, for reports and files.
    fn name(&self) -> &'static str;
    /// The batch of a step; follows from the step's number alone.
    ///
    /// # Errors
    /// When the data cannot be had.
    fn batch(&self, step: u64) -> Result<Self::Batch, TrainError>;
    /// Samples in a batch.
    fn samples(&self, batch: &Self::Batch) -> usize;
    /// The loss of a batch, one value.
    ///
    /// # Errors
    /// Those of the model.
    fn loss(
        &self,
        model: &Self::Model,
        batch: Self::Batch,
        step: u64,
    ) -> Result<Tensor<1>, TrainError>;
    /// Whether the parameter of this name is trained.
    fn trains(&self, name: &str) -> bool;
}

/// How a stage is run.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// Steps in all.
    pub steps: u64,
    /// Learning rate by step.
    pub schedule: Schedule,
    /// The optimiser's numbers.
    pub adamw: AdamWSettings,
    /// How hidden matrices step.
    pub rule: Rule,
    /// Where the checkpoint stands.
    pub checkpoint: PathBuf,
    /// Time between checkpoints.
    pub save_every: Duration,
    /// Identifies everything the run depends on.
    pub settings: String,
}

/// How a stage ended.
#[derive(Debug)]
pub enum Outcome {
    /// All steps are done; the trained parameters.
    Finished(Tensors),
    /// It was asked to stop; its checkpoint is saved.
    Stopped,
}

/// Batches made on a thread of their own, a few ahead.
struct Loader<B> {
    batches: Receiver<Result<B, TrainError>>,
}

impl<B: Send + 'static> Loader<B> {
    fn start<S: Stage<Batch = B>>(stage: Arc<S>, from: u64, to: u64) -> Self {
        let (send, batches) = sync_channel(4);
        std::thread::spawn(move || {
            for step in from..to {
                // A closed channel means that the run has ended.
                if send.send(stage.batch(step)).is_err() {
                    break;
                }
            }
        });
        Self { batches }
    }

    fn next(&self) -> Result<B, TrainError> {
        self.batches.recv().map_err(|_| TrainError::Loader)?
    }
}

/// Trains a stage, going on from its checkpoint where there is one. `build` makes the model from
/// saved weights, or from the beginning where it is given none. Setting `stop` ends the run after
/// the step at hand, with a checkpoint.
///
/// # Errors
/// [`TrainError`]; a loss that is not finite ends the run with the last good checkpoint kept.
pub fn run_stage<S: Stage>(
    stage: Arc<S>,
    plan: &StagePlan,
    build: impl FnOnce(Option<Tensors>) -> Result<S::Model, TrainError>,
    log: &mut Log,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let saved = Checkpoint::load(&plan.checkpoint, &plan.settings)?;
    let (start, weights, moments) = match saved {
        Some(c) if c.step >= plan.steps => return Ok(Outcome::Finished(c.weights)),
        Some(c) => (c.step, Some(c.weights), c.moments),
        None => (0, None, Default::default()),
    };
    let mut model = freeze(build(weights)?, |name| stage.trains(name));
    let mut optimiser = NamedAdamW::new(&plan.adamw)
        .with_rule(plan.rule)
        .with_moments(moments);
    let loader = Loader::start(stage.clone(), start, plan.steps);
    let mut meter = Meter::new(Duration::from_secs(10));
    let mut saved_at = Instant::now();
    for step in start..plan.steps {
        let batch = loader.next()?;
        let samples = stage.samples(&batch);
        let loss = stage.loss(&model, batch, step)?;
        let value = loss
            .clone()
            .inner()
            .try_into_scalar::<f32>()
            .map_err(|e| TrainError::Read(format!("{e:?}")))?;
        if !value.is_finite() {
            return Err(TrainError::LossNotFinite {
                stage: stage.name(),
                step,
                loss: value,
            });
        }
        let mut gradients = loss.backward();
        let lr = plan.schedule.at((step + 1) as f64);
        model = optimiser.step(lr, model, &mut gradients);
        let (done, last) = (step + 1, step + 1 == plan.steps);
        let stopping = stop.load(Ordering::Relaxed);
        let report = Report {
            stage: stage.name(),
            step: done,
            steps: plan.steps,
            loss: value,
            lr,
            samples_per_second: 0.0,
            seconds_left: 0.0,
        };
        meter.step(log, report, samples, last || stopping);
        if last || stopping || saved_at.elapsed() >= plan.save_every {
            save(&model, &optimiser, plan, done)?;
            saved_at = Instant::now();
        }
        if stopping && !last {
            return Ok(Outcome::Stopped);
        }
    }
    let origin = plan.checkpoint.display().to_string();
    Ok(Outcome::Finished(Tensors {
        map: named_tensors(&model)?,
        origin,
    }))
}

fn save<M: Module>(
    model: &M,
    optimiser: &NamedAdamW,
    plan: &StagePlan,
    step: u64,
) -> Result<(), TrainError> {
    Checkpoint {
        step,
        settings: plan.settings.clone(),
        weights: Tensors {
            map: named_tensors(model)?,
            origin: String::new(),
        },
        moments: optimiser.moments()?,
    }
    .save(&plan.checkpoint)
}
