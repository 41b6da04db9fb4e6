//! The loop of one training stage.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Tensors, Validation};
use crate::devices::Replicas;
use crate::error::TrainError;
use crate::gradients;
use crate::named::{freeze, named_tensors};
use crate::optimiser::{AdamWSettings, NamedAdamW, Rule};
use crate::progress::{Log, Look, Meter, Report, Told};
use crate::schedule::Rate;
use crate::stage::{Batches, Quality, Stage, Start};
use crate::store::Store;

/// What happens when a loss is NaN or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotFinite {
    /// The run stops and keeps the last good checkpoint.
    #[default]
    Stop,
    /// The batch is left out and counted.
    Skip,
}

/// How a stage is run.
#[derive(Debug, Clone)]
pub struct StagePlan {
    /// Steps in all.
    pub steps: u64,
    /// Learning rate by step.
    pub rate: Rate,
    /// The optimiser's numbers.
    pub adamw: AdamWSettings,
    /// How hidden matrices step.
    pub rule: Rule,
    /// Batches whose gradients make one step; their mean is taken.
    pub accumulate: u64,
    /// Longest the gradients of a step may be together, as a Euclidean norm; none for no limit.
    pub clip: Option<f64>,
    /// What to do about a loss that is not finite.
    pub not_finite: NotFinite,
    /// Where the checkpoint stands.
    pub checkpoint: PathBuf,
    /// Time between reports.
    pub report_every: Duration,
    /// Time between checkpoints.
    pub save_every: Duration,
    /// Steps between checkpoints, where that is sooner.
    pub save_steps: Option<u64>,
    /// Checkpoints that are kept, the newest included.
    pub keep: usize,
    /// Steps between validations; none for no validation.
    pub validate_steps: Option<u64>,
    /// Where to compute; with several devices each takes a part of every batch.
    pub devices: Vec<Device>,
    /// Threads that prepare batches.
    pub loaders: usize,
    /// Identifies everything the run's results depend on.
    pub settings: String,
    /// What a package of the stage's weights says, as [`export`](crate::export) reads it; none for
    /// weights that are no whole model.
    pub package: Option<String>,
}

/// How a stage ended.
#[derive(Debug)]
pub enum Outcome {
    /// All steps are done; what the stage saves of its parameters.
    Finished(Tensors),
    /// It was asked to stop; its checkpoint is saved.
    Stopped,
}

/// Trains a stage, going on from its checkpoint where there is one. `build` makes the model, on the
/// first of the plan's devices, from what the stage saved, or from the beginning where it is given
/// none. Setting `stop` ends the run after the step at hand, with a checkpoint.
///
/// # Errors
/// [`TrainError`]; a loss that is not finite ends the run with the last good checkpoint kept,
/// unless the plan says otherwise.
pub fn run_stage<S: Stage>(
    stage: Arc<S>,
    plan: &StagePlan,
    build: impl FnOnce(Option<Tensors>) -> Result<S::Model, TrainError>,
    log: &mut Log,
    stop: &AtomicBool,
) -> Result<Outcome, TrainError> {
    let store = Store::new(&plan.checkpoint, plan.keep);
    let saved = store.load(&plan.settings)?;
    let mut run = match saved {
        Some(c) if c.step >= plan.steps => return Ok(Outcome::Finished(c.weights)),
        Some(c) => Run {
            step: c.step,
            skipped: c.skipped,
            place: c.place,
            validation: c.validation,
            optimiser: NamedAdamW::new(&plan.adamw)
                .with_rule(plan.rule)
                .with_moments(c.moments),
            replicas: replicas(&*stage, plan, build(Some(c.weights))?)?,
            stage,
            plan,
            store,
        },
        None => Run {
            step: 0,
            skipped: 0,
            place: None,
            validation: None,
            optimiser: NamedAdamW::new(&plan.adamw).with_rule(plan.rule),
            replicas: replicas(&*stage, plan, build(None)?)?,
            stage,
            plan,
            store,
        },
    };
    let accumulate = plan.accumulate.max(1);
    let mut batches = Arc::clone(&run.stage).batches(&Start {
        number: run.step * accumulate,
        end: plan.steps * accumulate,
        place: run.place.take(),
        threads: plan.loaders,
    })?;
    let mut meter = Meter::new(plan.report_every);
    let mut saved_at = Instant::now();
    while run.step < plan.steps {
        let learned = run.step(&mut *batches, accumulate)?;
        let last = run.step == plan.steps;
        let stopping = stop.load(Ordering::Relaxed);
        let report = Report {
            stage: run.stage.name(),
            step: run.step,
            steps: plan.steps,
            loss: learned.loss,
            lr: learned.lr,
            skipped: run.skipped,
            samples_per_second: 0.0,
            seconds_left: 0.0,
        };
        meter.step(log, report, learned.samples, last || stopping);
        let step = run.step;
        let due = |every: Option<u64>| every.is_some_and(|n| step.is_multiple_of(n.max(1)));
        if (due(plan.validate_steps) || (last && plan.validate_steps.is_some())) && !stopping {
            run.validate(log)?;
        }
        let passed = saved_at.elapsed() >= plan.save_every;
        if last || stopping || passed || due(plan.save_steps) {
            run.store.save(&run.checkpoint()?)?;
            saved_at = Instant::now();
        }
        if stopping && !last {
            return Ok(Outcome::Stopped);
        }
    }
    let origin = plan.checkpoint.display().to_string();
    Ok(Outcome::Finished(Tensors {
        map: run.saved_tensors()?,
        origin,
    }))
}

fn replicas<S: Stage>(
    stage: &S,
    plan: &StagePlan,
    model: S::Model,
) -> Result<Replicas<S::Model>, TrainError> {
    Replicas::new(freeze(model, |name| stage.trains(name)), &plan.devices)
}

/// A stage at work.
struct Run<'a, S: Stage> {
    stage: Arc<S>,
    plan: &'a StagePlan,
    store: Store,
    replicas: Replicas<S::Model>,
    optimiser: NamedAdamW,
    step: u64,
    skipped: u64,
    place: Option<String>,
    validation: Option<Validation>,
}

/// What a step has to tell.
struct Stepped {
    loss: f32,
    lr: f64,
    samples: usize,
}

impl<S: Stage> Run<'_, S> {
    /// One step of the optimiser.
    fn step(
        &mut self,
        batches: &mut dyn Batches<S::Batch>,
        accumulate: u64,
    ) -> Result<Stepped, TrainError> {
        let mut sum = gradients::Sum::new();
        let (mut loss, mut used, mut samples) = (0.0f32, 0u64, 0);
        for i in 0..accumulate {
            let batch = batches.next()?;
            let names = self.stage.names(&batch);
            samples += self.stage.samples(&batch);
            let number = self.step * accumulate + i;
            let learned = self.replicas.learn(&self.stage, batch, number)?;
            if !learned.loss.is_finite() {
                self.not_finite(learned.loss, names)?;
                continue;
            }
            loss += learned.loss;
            used += 1;
            sum.add(self.replicas.main(), learned.gradients);
        }
        let lr = self.plan.rate.of(self.step);
        if used > 0 {
            let share = 1.0 / used as f64;
            let mean = gradients::scale(self.replicas.main(), sum.take(), share);
            self.update(lr, mean)?;
        }
        self.step += 1;
        self.place = batches.place();
        Ok(Stepped {
            loss: loss / used.max(1) as f32,
            lr,
            samples,
        })
    }

    fn update(&mut self, lr: f64, gradients: GradientsParams) -> Result<(), TrainError> {
        let model = self.replicas.main();
        let mut gradients = match self.plan.clip {
            None => gradients,
            Some(most) => {
                let norm = gradients::norm(model, &gradients)?;
                if !norm.is_finite() {
                    return self.not_finite(norm as f32, vec!["gradients".to_owned()]);
                }
                // As PyTorch's `clip_grad_norm_`.
                gradients::scale(model, gradients, (most / (norm + 1e-6)).min(1.0))
            }
        };
        let optimiser = &mut self.optimiser;
        self.replicas
            .step(|model| optimiser.step(lr, model, &mut gradients));
        Ok(())
    }

    fn not_finite(&mut self, loss: f32, samples: Vec<String>) -> Result<(), TrainError> {
        if self.plan.not_finite == NotFinite::Skip {
            self.skipped += 1;
            return Ok(());
        }
        Err(TrainError::LossNotFinite {
            stage: self.stage.name(),
            step: self.step,
            loss,
            samples: samples.join(", "),
            checkpoint: self.store.newest(),
        })
    }

    /// Measures the model on data it is not trained on, and keeps it if it is the best so far.
    fn validate(&mut self, log: &mut Log) -> Result<(), TrainError> {
        let device = self.plan.devices.first().cloned().unwrap_or_default();
        let model = self.replicas.main().valid();
        let Some(now) = self.stage.validate(&model, &device.inner())? else {
            return Ok(());
        };
        log.tell(Told::Look(&Look {
            stage: self.stage.name(),
            step: self.step,
            steps: self.plan.steps,
            validation: now,
        }));
        let best = self.validation.map(|v| v.best);
        let lower = best.is_none_or(|b| now.loss < b.loss);
        let higher = now.cider > best.and_then(|b| b.cider);
        self.validation = Some(Validation {
            last: now,
            best: Quality {
                loss: best.map_or(now.loss, |b| b.loss.min(now.loss)),
                cider: if higher {
                    now.cider
                } else {
                    best.and_then(|b| b.cider)
                },
            },
        });
        if lower {
            self.store.save_best(&self.checkpoint()?)?;
        }
        if higher {
            self.store.save_best_cider(&self.checkpoint()?)?;
        }
        Ok(())
    }

    fn saved_tensors(
        &self,
    ) -> Result<std::collections::BTreeMap<String, burn::tensor::TensorData>, TrainError> {
        named_tensors(self.replicas.main(), |name| self.stage.saves(name))
    }

    fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        Ok(Checkpoint {
            step: self.step,
            settings: self.plan.settings.clone(),
            skipped: self.skipped,
            place: self.place.clone(),
            validation: self.validation,
            package: self.plan.package.clone(),
            weights: Tensors {
                map: self.saved_tensors()?,
                origin: String::new(),
            },
            moments: self.optimiser.moments()?,
        })
    }
}
