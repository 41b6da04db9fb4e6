//! The recipe from the beginning to the package, resumable at any step.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use adem_model::{AdemVl, RandomInit};
use burn::tensor::Device;

use super::config::{ScenesConfig, StageConfig};
use super::package::blueprint;
use super::read::Read;
use super::see::{See, Seer, encoder_of};
use super::text::{Texts, train_tokenizer};
use super::tune::Tune;
use serde_json::json;

use crate::checkpoint::{Tensors, write_atomically};
use crate::error::TrainError;
use crate::export::export;
use crate::loader::cores;
use crate::progress::{Log, REPORT_EVERY};
use crate::reading::Reading;
use crate::run::{NotFinite, Outcome, StagePlan, run_stage};
use crate::stage::Stage;
use crate::weights::Layers;

/// Whether a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// The package is written.
    No,
    /// It was asked to stop; the same command goes on from there.
    Yes,
}

/// Runs the recipe in `folder` on `devices` and writes `folder/package`. An earlier run with the
/// same settings is continued. Setting `stop` ends the run after the step at hand. Several devices
/// share every batch.
///
/// # Errors
/// [`TrainError`].
pub fn train(
    config: &ScenesConfig,
    folder: &Path,
    devices: &[Device],
    log: &mut Log,
    stop: &AtomicBool,
) -> Result<Stopped, TrainError> {
    config.validate()?;
    fs::create_dir_all(folder).map_err(|e| TrainError::file(folder, e))?;
    let tokenizer = tokenizer(config, folder)?;
    let texts = Arc::new(Texts::new(&tokenizer)?);
    let mut model = config.model.clone();
    model.llama.vocab_size = texts.tokenizer.vocab_size();
    model.validate()?;
    let run = Run {
        config,
        folder,
        devices,
        stop,
    };
    let device = devices.first().cloned().unwrap_or_default().autodiff();

    let see = See {
        config: config.clone(),
        model: model.clone(),
        texts: texts.clone(),
    };
    let depends_on = json!({
        "clip": model.clip, "adapters": model.adem.clip_adapter_dim,
        "vocabulary": model.llama.vocab_size,
    });
    let Some(seen) = run.stage(see, &config.see, depends_on, None, log, |saved| {
        Seer::new(&model, &mut start(saved, Vec::new(), config.seed), &device)
    })?
    else {
        return Ok(Stopped::Yes);
    };
    let encoder = encoder_of(seen);

    let reading = Reading {
        pad: texts.tokenizer.special().pad.unwrap_or(0),
        texts: Arc::new(Read::new(config.clone(), texts.clone())),
    };
    let Some(decoder) = run.stage(
        reading,
        &config.read,
        json!({"llama": model.llama}),
        None,
        log,
        |saved| {
            let mut source = start(saved, Vec::new(), config.seed);
            let builder = &mut adem_model::nn::Builder::new(&mut source, &device);
            adem_model::language::Llama::new(builder, &model.llama)
                .map_err(|e| TrainError::Model(e.into()))
        },
    )?
    else {
        return Ok(Stopped::Yes);
    };

    let tune = Tune {
        config: config.clone(),
        model: model.clone(),
        texts,
    };
    let depends_on = json!({
        "model": model, "see": config.see, "read": config.read,
        "texts_per_picture": config.texts_per_picture,
        "adapter_dropout": config.adapter_dropout,
    });
    let package = Some(blueprint(config, &model).to_text()?);
    let tuned = run.stage(tune, &config.tune, depends_on, package, log, |saved| {
        let mut source = start(saved, vec![encoder, decoder], config.seed);
        Ok(AdemVl::new(&model, &mut source, &device)?)
    })?;
    if tuned.is_none() {
        return Ok(Stopped::Yes);
    }
    export(folder, None, &folder.join("package"))?;
    Ok(Stopped::No)
}

/// The run's tokeniser: trained once, then kept.
fn tokenizer(config: &ScenesConfig, folder: &Path) -> Result<Vec<u8>, TrainError> {
    let path = folder.join("tokenizer.json");
    match fs::read(&path) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes = train_tokenizer(config.seed, config.vocab_size)?;
            write_atomically(&path, &bytes)?;
            Ok(bytes)
        }
        Err(error) => Err(TrainError::file(path, error)),
    }
}

/// What all stages of a run share.
struct Run<'a> {
    config: &'a ScenesConfig,
    folder: &'a Path,
    devices: &'a [Device],
    stop: &'a AtomicBool,
}

impl Run<'_> {
    /// Runs a stage to its end; `None` when it was stopped. A checkpoint is continued only if
    /// `depends_on`, beside what every stage depends on, is what it was: another fusion needs no
    /// other encoder.
    fn stage<S: Stage>(
        &self,
        stage: S,
        plan: &StageConfig,
        depends_on: serde_json::Value,
        package: Option<String>,
        log: &mut Log,
        build: impl FnOnce(Option<Tensors>) -> Result<S::Model, TrainError>,
    ) -> Result<Option<Tensors>, TrainError> {
        let name = stage.name();
        let settings = json!({
            "seed": self.config.seed, "stage": plan, "adamw": self.config.adamw,
            "depends_on": depends_on,
        });
        let plan = StagePlan {
            steps: plan.steps,
            rate: plan.rate(),
            adamw: self.config.adamw,
            rule: plan.rule,
            accumulate: 1,
            clip: None,
            not_finite: NotFinite::Stop,
            checkpoint: self.folder.join(format!("{name}.safetensors")),
            report_every: REPORT_EVERY,
            save_every: self.config.save_every(),
            save_steps: None,
            keep: 1,
            validate_steps: None,
            devices: self.devices.to_vec(),
            loaders: cores(),
            settings: settings.to_string(),
            package,
        };
        match run_stage(Arc::new(stage), &plan, build, log, self.stop)? {
            Outcome::Finished(tensors) => Ok(Some(tensors)),
            Outcome::Stopped => Ok(None),
        }
    }
}

/// Weights a stage starts from: its own checkpoint, else those of earlier stages, else random.
fn start(saved: Option<Tensors>, earlier: Vec<Tensors>, seed: u64) -> Layers<'static> {
    Layers {
        trained: saved.map_or(earlier, |s| vec![s]),
        files: None,
        random: RandomInit::new(seed),
        may_draw: |_| true,
    }
}
