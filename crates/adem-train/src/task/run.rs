//! A run on a data set, from the beginning to the package, resumable at any step.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adem_model::language::Llama;
use adem_model::nn::Builder;
use adem_model::{AdemVl, RandomInit, TensorSource};
use burn::tensor::Device;
use serde_json::{Value, json};

use super::config::TaskConfig;
use super::features::Filling;
use super::prepared::Prepared;
use super::read::Read;
use super::see::{See, Seer};
use super::teacher::{Teacher, TeacherFiles};
use super::texts::lines;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::loader::cores;
use crate::optimiser::Rule;
use crate::progress::Log;
use crate::reading::Reading;
use crate::run::{Outcome, StagePlan, run_stage};
use crate::scenes::Stopped;
use crate::schedule::{Rate, Schedule};
use crate::stage::Stage;
use crate::store::Store;
use crate::weights::{Layers, Precision};

/// Hears of rows that are skipped and of what is being prepared.
pub type Reporter = Arc<dyn Fn(&str) + Send + Sync>;

/// Runs the recipe in `folder` on `devices` and writes `folder/package` where the config asks for
/// it. An earlier run with the same settings is continued. Setting `stop` ends the run after the
/// step at hand. Several devices share every batch.
///
/// # Errors
/// [`TrainError`]; what is wrong with config, data, tokeniser or weights is found before anything
/// is computed.
pub fn train(
    config: &TaskConfig,
    folder: &Path,
    devices: &[Device],
    log: &mut Log,
    report: &Reporter,
    stop: &AtomicBool,
) -> Result<Stopped, TrainError> {
    config.validate()?;
    config.validate_weights()?;
    let first = devices.first().cloned().unwrap_or_default();
    can_hold(&first, config.weights.precision)?;
    fs::create_dir_all(folder).map_err(|e| TrainError::file(folder, e))?;
    let prepared = Prepared::new(config, Some(folder), report, true)?;
    let mut run = Run {
        prepared,
        folder,
        devices,
        device: first.autodiff(),
        report,
        stop,
    };
    let Some(encoder) = run.see(log)? else {
        return Ok(Stopped::Yes);
    };
    let Some(decoder) = run.read(log)? else {
        return Ok(Stopped::Yes);
    };
    run.fuse([encoder, decoder].into_iter().flatten().collect(), log)
}

/// Refuses a precision that a device has not.
pub(crate) fn can_hold(device: &Device, precision: Precision) -> Result<(), TrainError> {
    let dtype = precision.dtype();
    match precision == Precision::F32 || device.supports_dtype(dtype) {
        true => Ok(()),
        false => Err(TrainError::Config {
            field: "weights.precision",
            message: format!(
                "{dtype:?} matrices cannot be multiplied on this device; take f16 where it can do \
                 that, or f32"
            ),
        }),
    }
}

/// A run at work.
pub(super) struct Run<'a> {
    pub prepared: Prepared,
    pub folder: &'a Path,
    devices: &'a [Device],
    /// The first of them, tracking gradients.
    pub device: Device,
    pub report: &'a Reporter,
    pub stop: &'a AtomicBool,
}

impl Run<'_> {
    /// A stage's plan as far as all stages have it.
    pub(super) fn plan(&self, stage: &str, steps: u64, rate: Rate, settings: &Value) -> StagePlan {
        let (config, save) = (&self.prepared.config, &self.prepared.config.save);
        StagePlan {
            steps,
            rate,
            adamw: config.adamw,
            rule: Rule::AdamW,
            accumulate: 1,
            clip: None,
            not_finite: config.not_finite,
            checkpoint: self.folder.join(format!("{stage}.safetensors")),
            report_every: Duration::from_secs(save.report_seconds),
            save_every: Duration::from_secs(save.every_seconds),
            save_steps: save.every_steps,
            keep: save.keep,
            validate_steps: None,
            devices: self.devices.to_vec(),
            loaders: cores(),
            settings: settings.to_string(),
            package: None,
        }
    }

    fn stage<S: Stage>(
        &mut self,
        stage: S,
        plan: &StagePlan,
        log: &mut Log,
        build: impl FnOnce(&mut dyn TensorSource, Option<Tensors>) -> Result<S::Model, TrainError>,
    ) -> Result<Option<Tensors>, TrainError> {
        let mut files = self.prepared.files.take();
        let seed = self.prepared.config.seed;
        let outcome = run_stage(
            Arc::new(stage),
            plan,
            |saved| {
                let mut source = Layers {
                    trained: Vec::new(),
                    files: files.as_mut(),
                    random: RandomInit::new(seed),
                    may_draw: |_| true,
                };
                build(&mut source, saved)
            },
            log,
            self.stop,
        );
        self.prepared.files = files;
        match outcome? {
            Outcome::Finished(tensors) => Ok(Some(tensors)),
            Outcome::Stopped => Ok(None),
        }
    }

    /// Pre-trains the encoder where the config asks for it. The outer option is empty when the run
    /// was stopped.
    fn see(&mut self, log: &mut Log) -> Result<Option<Option<Tensors>>, TrainError> {
        let p = &self.prepared;
        let Some(see) = p.config.see.clone() else {
            return Ok(Some(None));
        };
        let per_epoch = (p.samples / see.batch as u64).max(1);
        let rate = epochs_rate(see.lr, see.warmup_epochs, see.epochs, per_epoch);
        let steps = (see.epochs * per_epoch as f64).round() as u64;
        let teacher = see.teacher.as_ref().map(TeacherFiles::open).transpose()?;
        let mut settings = json!({
            "seed": p.config.seed, "see": see, "adamw": p.config.adamw,
            "clip": p.model.clip, "adapters": p.model.adem.clip_adapter_dim,
            "vocabulary": p.model.llama.vocab_size, "data": p.data.source.name(),
            "augment": p.data.config.augment, "normalisation": p.config.normalisation,
        });
        if let (Some(settings), Some(teacher)) = (settings.as_object_mut(), &teacher) {
            settings.insert("teacher".to_owned(), teacher.fingerprint().into());
        }
        let plan = StagePlan {
            rule: see.rule,
            ..self.plan("see", steps, rate, &settings)
        };
        let taught = teacher.as_ref().map(TeacherFiles::width);
        let teacher = match teacher {
            Some(teacher) if !is_finished(&plan)? => match self.teach(teacher)? {
                None => return Ok(None),
                teacher => teacher.map(Arc::new),
            },
            _ => None,
        };
        let stage = See {
            config: p.config.clone(),
            see: see.clone(),
            model: p.model.clone(),
            language: Arc::clone(&p.language),
            data: p.data.clone(),
            teacher,
        };
        let (model, device) = (p.model.clone(), self.device.clone());
        let seen = self.stage(stage, &plan, log, |given, saved| match saved {
            Some(mut saved) => Seer::new(&model, see.channels, taught, &mut saved, &device),
            None => Seer::new(&model, see.channels, taught, given, &device),
        })?;
        Ok(seen.map(|mut tensors| {
            tensors.map.retain(|name, _| {
                name.starts_with("backbone.visual.") && !AdemVl::is_trained(name)
            });
            Some(tensors)
        }))
    }

    /// The teacher, once it has looked at all pictures; `None` when it was stopped.
    fn teach(&self, teacher: TeacherFiles) -> Result<Option<Teacher>, TrainError> {
        (self.report)("the teacher looks at the pictures of the data set");
        let filling = Filling {
            prepared: &self.prepared,
            planes: teacher.planes(),
            device: self.device.clone().inner(),
            report: self.report,
            stop: self.stop,
        };
        teacher.teach(&filling, self.folder)
    }

    /// Pre-trains the decoder where the config asks for it.
    fn read(&mut self, log: &mut Log) -> Result<Option<Option<Tensors>>, TrainError> {
        let p = &self.prepared;
        let Some(read) = p.config.read.clone() else {
            return Ok(Some(None));
        };
        let mut texts = p.data.captions()?;
        texts.extend(lines(&read.texts, &p.data.config.caption_style)?);
        if texts.len() < read.batch {
            return Err(TrainError::Config {
                field: "read.batch",
                message: format!("is {}, but there are {} texts", read.batch, texts.len()),
            });
        }
        let settings = json!({
            "seed": p.config.seed, "read": read, "adamw": p.config.adamw,
            "llama": p.model.llama, "texts": texts.len(), "prompts": p.config.prompts,
        });
        let texts = Read {
            seed: p.config.seed,
            width: p.config.tune.max_tokens,
            language: Arc::clone(&p.language),
            order: Mutex::new(None),
            texts,
            read: read.clone(),
        };
        let per_epoch = texts.batches_per_epoch().max(1);
        let rate = epochs_rate(read.lr, read.warmup_epochs, read.epochs, per_epoch);
        let steps = (read.epochs * per_epoch as f64).round() as u64;
        let plan = StagePlan {
            rule: read.rule,
            ..self.plan("read", steps, rate, &settings)
        };
        let (llama, device) = (p.model.llama.clone(), self.device.clone());
        let reading = Reading {
            pad: p.language.tokenizer.special().pad.unwrap_or(0),
            texts: Arc::new(texts),
        };
        let decoder = self.stage(reading, &plan, log, |given, mut saved| {
            let source: &mut dyn TensorSource = match &mut saved {
                Some(saved) => saved,
                None => given,
            };
            Llama::new(&mut Builder::new(source, &device), &llama)
                .map_err(|e| TrainError::Model(e.into()))
        })?;
        Ok(decoder.map(Some))
    }
}

/// Whether a stage's checkpoint is its last.
fn is_finished(plan: &StagePlan) -> Result<bool, TrainError> {
    let saved = Store::new(&plan.checkpoint, plan.keep).load(&plan.settings)?;
    Ok(saved.is_some_and(|saved| saved.step >= plan.steps))
}

/// Learning rate of a stage of so many epochs, down to a hundredth.
pub(super) fn epochs_rate(lr: f64, warmup: f64, epochs: f64, per_epoch: u64) -> Rate {
    Rate {
        schedule: Schedule {
            lr,
            min_lr: lr * 0.01,
            warmup,
            total: epochs,
        },
        steps_per_unit: per_epoch as f64,
        lead: 1,
    }
}
