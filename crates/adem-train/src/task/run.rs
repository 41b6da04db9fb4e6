//! A run on a data set, from the beginning to the package, resumable at any step.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adem_data::datasets::{LoadPlan, Prompt};
use adem_model::language::Llama;
use adem_model::nn::Builder;
use adem_model::{AdemVl, ModelConfig, RandomInit, TensorSource};
use adem_package::Task;
use burn::tensor::{Device, Tensor};
use serde_json::{Value, json};

use super::cache::FeatureCache;
use super::config::TaskConfig;
use super::feed::{Feed, pictures};
use super::read::Read;
use super::see::{See, Seer};
use super::texts::{Language, Opened, lines, tokenizer_json};
use super::tune::Tune;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::export::{About, export};
use crate::loader::cores;
use crate::optimiser::Rule;
use crate::progress::Log;
use crate::run::{Outcome, StagePlan, run_stage};
use crate::scenes::Stopped;
use crate::schedule::{Rate, Schedule};
use crate::stage::{Stage, Start};
use crate::weights::{Layers, Precision, WeightFiles};

/// Hears of rows that are skipped and of what is being prepared.
pub type Reporter = Arc<dyn Fn(&str) + Send + Sync>;

/// Longest answer that a package allows, in tokens.
const MAX_NEW_TOKENS: u32 = 64;

/// Everything that is read before anything is computed.
pub(crate) struct Prepared {
    pub config: TaskConfig,
    /// The model with the tokeniser's vocabulary.
    pub model: ModelConfig,
    pub language: Arc<Language>,
    pub tokenizer_json: Vec<u8>,
    pub data: Opened,
    pub validation: Option<(Opened, usize)>,
    pub files: Option<WeightFiles>,
    /// Samples of an epoch.
    pub samples: u64,
}

impl Prepared {
    /// Opens data, tokeniser and weights; `folder` keeps a tokeniser that is trained here.
    ///
    /// # Errors
    /// Whatever is wrong with them, by name.
    pub(crate) fn new(
        config: &TaskConfig,
        folder: Option<&Path>,
        report: &Reporter,
        with_weights: bool,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let files = match config.weights.files.as_slice() {
            files if files.is_empty() || !with_weights => None,
            files => Some(WeightFiles::open(files)?),
        };
        let open = |data: &adem_data::datasets::DatasetConfig| {
            let report = Arc::clone(report);
            Opened::new(data, move |row| report(row))
        };
        let Some(data) = &config.data else {
            return Err(TrainError::Config {
                field: "data",
                message: "is not given".to_owned(),
            });
        };
        let data = open(data)?;
        let validation = match &config.validation {
            None => None,
            Some(v) => Some((open(&v.data)?, v.batches)),
        };
        let tokenizer_json = tokenizer_json(config, folder, || data.captions())?;
        let language = Arc::new(Language::new(&tokenizer_json, &config.prompts)?);
        let mut model = config.model.clone();
        let vocabulary = language.tokenizer.vocab_size();
        match config.read {
            Some(_) => model.llama.vocab_size = vocabulary,
            None if model.llama.vocab_size != vocabulary => {
                return Err(TrainError::Config {
                    field: "weights.tokenizer",
                    message: format!(
                        "has {vocabulary} tokens, the decoder's vocabulary \
                         (model.llama.vocab_size) {}: it belongs to another model",
                        model.llama.vocab_size
                    ),
                });
            }
            None => {}
        }
        model.validate()?;
        let samples = match (config.tune.epoch_samples, data.source.samples()?) {
            (Some(n), _) | (None, Some(n)) => n,
            (None, None) => {
                return Err(TrainError::Config {
                    field: "tune.epoch_samples",
                    message: "is not given, and the data set does not know how many samples it has"
                        .to_owned(),
                });
            }
        };
        let largest = [
            config.tune.batch,
            config.see.as_ref().map_or(0, |s| s.batch),
        ];
        let most = largest.into_iter().max().unwrap_or(0) as u64;
        if samples < most {
            return Err(TrainError::Config {
                field: "tune.batch",
                message: format!("is up to {most}, but the data set has {samples} samples"),
            });
        }
        Ok(Self {
            config: config.clone(),
            model,
            language,
            tokenizer_json,
            data,
            validation,
            files,
            samples,
        })
    }

    /// Steps of an epoch of the tuning.
    pub(crate) fn steps_per_epoch(&self) -> u64 {
        (self.samples / self.config.tune.batch as u64).max(1)
    }

    /// Learning rate of the tuning, the authors' way: by the share of epochs done before the step.
    pub(crate) fn tune_rate(&self) -> Rate {
        let t = &self.config.tune;
        Rate {
            schedule: Schedule {
                lr: self.config.lr(),
                min_lr: t.min_lr,
                warmup: t.warmup_epochs,
                total: t.epochs,
            },
            steps_per_unit: self.steps_per_epoch() as f64,
            lead: 0,
        }
    }

    pub(crate) fn tune_stage(&self, cache: Option<Arc<FeatureCache>>) -> Tune {
        Tune {
            config: self.config.clone(),
            model: self.model.clone(),
            language: Arc::clone(&self.language),
            data: self.data.clone(),
            validation: self.validation.clone(),
            cache,
        }
    }

    /// Questions, captions or both, by the data set's first sample.
    fn tasks(&self) -> Result<Vec<Task>, TrainError> {
        use adem_data::datasets::{Mark, Order, Part};
        let order = Order {
            seed: 0,
            epoch: 0,
            shuffle: false,
            part: Part::WHOLE,
        };
        let bad = &self.data.bad;
        let mut records = self.data.source.records(&order, &Mark::default(), bad)?;
        Ok(match records.next()?.map(|s| s.prompt) {
            None | Some(Prompt::Caption) => vec![Task::Caption],
            Some(_) => vec![Task::Caption, Task::Question],
        })
    }
}

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
    let frozen = [encoder, decoder].into_iter().flatten().collect();
    run.tune(frozen, log)
}

/// Refuses a precision that a device has not.
fn can_hold(device: &Device, precision: Precision) -> Result<(), TrainError> {
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

struct Run<'a> {
    prepared: Prepared,
    folder: &'a Path,
    devices: &'a [Device],
    device: Device,
    report: &'a Reporter,
    stop: &'a AtomicBool,
}

impl Run<'_> {
    fn plan(&self, stage: &str, steps: u64, rate: Rate, settings: &Value) -> StagePlan {
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
            save_every: Duration::from_secs(save.every_seconds),
            save_steps: save.every_steps,
            keep: save.keep,
            validate_steps: None,
            devices: self.devices.to_vec(),
            loaders: cores(),
            settings: settings.to_string(),
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
        let settings = json!({
            "seed": p.config.seed, "see": see, "adamw": p.config.adamw,
            "clip": p.model.clip, "adapters": p.model.adem.clip_adapter_dim,
            "vocabulary": p.model.llama.vocab_size, "data": p.data.source.name(),
            "augment": p.data.config.augment, "normalisation": p.config.normalisation,
        });
        let plan = StagePlan {
            rule: see.rule,
            ..self.plan("see", steps, rate, &settings)
        };
        let stage = See {
            config: p.config.clone(),
            see: see.clone(),
            model: p.model.clone(),
            language: Arc::clone(&p.language),
            data: p.data.clone(),
        };
        let (model, device) = (p.model.clone(), self.device.clone());
        let seen = self.stage(stage, &plan, log, |given, saved| match saved {
            Some(mut saved) => Seer::new(&model, see.channels, &mut saved, &device),
            None => Seer::new(&model, see.channels, given, &device),
        })?;
        Ok(seen.map(|mut tensors| {
            tensors.map.retain(|name, _| {
                name.starts_with("backbone.visual.") && !AdemVl::is_trained(name)
            });
            Some(tensors)
        }))
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
        let stage = Read {
            seed: p.config.seed,
            width: p.config.tune.max_tokens,
            language: Arc::clone(&p.language),
            order: Mutex::new(None),
            texts,
            read: read.clone(),
        };
        let per_epoch = stage.batches_per_epoch().max(1);
        let rate = epochs_rate(read.lr, read.warmup_epochs, read.epochs, per_epoch);
        let steps = (read.epochs * per_epoch as f64).round() as u64;
        let plan = StagePlan {
            rule: read.rule,
            ..self.plan("read", steps, rate, &settings)
        };
        let (llama, device) = (p.model.llama.clone(), self.device.clone());
        let decoder = self.stage(stage, &plan, log, |given, mut saved| {
            let source: &mut dyn TensorSource = match &mut saved {
                Some(saved) => saved,
                None => given,
            };
            Llama::new(&mut Builder::new(source, &device), &llama)
                .map_err(|e| TrainError::Model(e.into()))
        })?;
        Ok(decoder.map(Some))
    }

    fn tune(&mut self, frozen: Vec<Tensors>, log: &mut Log) -> Result<Stopped, TrainError> {
        let p = &self.prepared;
        let c = &p.config;
        let (t, per_epoch) = (&c.tune, p.steps_per_epoch());
        let steps = (t.epochs * per_epoch as f64).round() as u64;
        let settings = json!({
            "seed": c.seed, "adamw": c.adamw, "model": p.model, "see": c.see, "read": c.read,
            "weights": p.files.as_ref().map(WeightFiles::fingerprint),
            "precision": c.weights.precision, "prompts": c.prompts,
            "normalisation": c.normalisation, "data": p.data.source.name(),
            "samples": p.samples, "augment": p.data.config.augment,
            "captions": p.data.config.captions, "caption_style": p.data.config.caption_style,
            "epochs": t.epochs, "warmup_epochs": t.warmup_epochs, "batch": t.batch,
            "micro_batch": t.micro_batch, "blr": t.blr, "min_lr": t.min_lr,
            "max_tokens": t.max_tokens, "adapter_dropout": t.adapter_dropout, "clip": t.clip,
            "pool": t.pool, "not_finite": c.not_finite,
        });
        let plan = StagePlan {
            accumulate: (t.batch / t.micro_batch) as u64,
            clip: t.clip,
            validate_steps: p.validation.as_ref().map(|_| per_epoch),
            ..self.plan("tune", steps, p.tune_rate(), &settings)
        };
        let cache = match t.cache_features {
            false => None,
            true => match self.cache(&frozen)? {
                Some(cache) => Some(Arc::new(cache)),
                None => return Ok(Stopped::Yes),
            },
        };
        let stage = self.prepared.tune_stage(cache);
        let (model, device) = (self.prepared.model.clone(), self.device.clone());
        let mut files = self.prepared.files.take();
        let seed = self.prepared.config.seed;
        let precision = self.prepared.config.weights.precision;
        let outcome = run_stage(
            Arc::new(stage),
            &plan,
            |saved| {
                let mut trained = frozen.clone();
                trained.extend(saved);
                let mut source = Layers {
                    trained,
                    files: files.as_mut(),
                    random: RandomInit::new(seed),
                    may_draw: AdemVl::is_trained,
                };
                let mut b = Builder::new(&mut source, &device).with_frozen(precision.dtype());
                Ok(AdemVl::build(&model, &mut b)?)
            },
            log,
            self.stop,
        )?;
        let adapters = match outcome {
            Outcome::Finished(adapters) => adapters,
            Outcome::Stopped => return Ok(Stopped::Yes),
        };
        if self.prepared.config.save.package {
            (self.report)("writing the package");
            let source = Layers {
                trained: frozen.into_iter().chain([adapters]).collect(),
                files: files.as_mut(),
                random: RandomInit::new(seed),
                may_draw: |_| false,
            };
            self.export(source, steps)?;
        }
        Ok(Stopped::No)
    }

    /// The features of all pictures of the data set: those that are not there yet are computed.
    /// `None` when the run was stopped.
    fn cache(&mut self, frozen: &[Tensors]) -> Result<Option<FeatureCache>, TrainError> {
        let p = &mut self.prepared;
        let c = &p.config;
        let clip = &p.model.clip;
        let depends_on = json!({
            "weights": p.files.as_ref().map(WeightFiles::fingerprint), "see": c.see,
            "seed": c.seed, "clip": clip, "normalisation": c.normalisation,
            "data": c.see.as_ref().map(|_| p.data.source.name()),
            "precision": c.weights.precision,
        });
        let fingerprint = depends_on
            .to_string()
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let shape = [1 + clip.grid() * clip.grid(), clip.width];
        let cache = FeatureCache::open(self.folder, fingerprint, shape)?;
        let device = self.device.clone().inner();
        let mut source = Layers {
            trained: frozen.to_vec(),
            files: p.files.as_mut(),
            random: RandomInit::new(c.seed),
            may_draw: |_| false,
        };
        let mut b = Builder::new(&mut source, &device).with_frozen(c.weights.precision.dtype());
        let visual = adem_model::vision::ClipVision::new(&mut b, "backbone.visual", &p.model)
            .map_err(|e| TrainError::Model(e.into()))?;
        (self.report)("encoding the pictures of the data set");
        let encoder = p
            .language
            .encoder(c.tune.max_tokens, 0, p.data.config.caption_style);
        let plan = LoadPlan {
            shuffle: false,
            epochs: Some(1),
            pool: 1,
            batch: 16,
            ..LoadPlan::default()
        };
        let start = Start {
            threads: cores(),
            ..Start::default()
        };
        let planes = pictures(c, &p.data);
        let mut feed = Feed::new(&p.data, encoder, Some(planes), &plan, &start, Ok)?;
        let side = clip.image_size;
        while let Some(batch) = feed.next_or_end()? {
            let each = 3 * side * side;
            for (i, example) in batch.examples.iter().enumerate() {
                let id = &example.sample.id;
                if !example.has_picture || cache.holds(id) {
                    continue;
                }
                let own = batch
                    .pixels
                    .get(i * each..(i + 1) * each)
                    .unwrap_or_default();
                let data = burn::tensor::TensorData::new(own.to_vec(), [1, 3, side, side]);
                let features = visual.forward(Tensor::from_data(data, &device), None);
                let values = features
                    .try_into_data()
                    .map_err(|e| TrainError::Read(e.to_string()))?
                    .try_to_vec::<f32>()
                    .map_err(|e| TrainError::Read(format!("{e:?}")))?;
                cache.add(id, &values)?;
            }
            if self.stop.load(std::sync::atomic::Ordering::Relaxed) {
                return Ok(None);
            }
        }
        Ok(Some(cache))
    }

    fn export(&self, source: Layers, steps: u64) -> Result<(), TrainError> {
        let p = &self.prepared;
        let tensors = collect(&p.model, source)?;
        let stages = [
            p.config
                .see
                .as_ref()
                .map(|s| format!("{} epochs of seeing, ", s.epochs)),
            p.config
                .read
                .as_ref()
                .map(|r| format!("{} epochs of reading, ", r.epochs)),
        ];
        let stages: String = stages.into_iter().flatten().collect();
        let about = About {
            name: p.config.name.clone(),
            prompts: p.config.prompts.clone(),
            normalisation: p.config.normalisation.values(),
            tasks: p.tasks()?,
            max_new_tokens: MAX_NEW_TOKENS.min(p.model.llama.max_seq_len as u32 / 2),
            training: format!(
                "adem train, seed {}: {stages}{steps} steps of ADEM-VL tuning",
                p.config.seed
            ),
            data: p.data.source.name().to_owned(),
            licence: "that of the data set and of the weights it started from".to_owned(),
        };
        let folder = self.folder.join("package");
        export(about, &p.model, &p.tokenizer_json, tensors, &folder)
    }
}

/// Every tensor of the model that is run, on the host.
fn collect(model: &ModelConfig, source: Layers) -> Result<Tensors, TrainError> {
    struct Recorder<'a> {
        source: Layers<'a>,
        found: Tensors,
    }
    impl TensorSource for Recorder<'_> {
        fn tensor(
            &mut self,
            name: &str,
            shape: &[usize],
        ) -> Result<burn::tensor::TensorData, adem_model::SourceError> {
            let data = self.source.tensor(name, shape)?;
            self.found.map.insert(name.to_owned(), data.clone());
            Ok(data)
        }
    }
    let mut recorder = Recorder {
        source,
        found: Tensors::default(),
    };
    AdemVl::new(model, &mut recorder, &Device::flex())?;
    Ok(recorder.found)
}

fn epochs_rate(lr: f64, warmup: f64, epochs: f64, per_epoch: u64) -> Rate {
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
