//! What a run reads before anything is computed.

use std::path::Path;
use std::sync::Arc;

use adem_data::datasets::{Captions, DatasetConfig, Mark, Order, Part, Prompt};
use adem_model::ModelConfig;
use adem_package::Task;

use super::cache::FeatureCache;
use super::config::TaskConfig;
use super::run::Reporter;
use super::texts::{Language, Opened, tokenizer_json};
use super::tune::{Trained, Tune};
use crate::error::TrainError;
use crate::schedule::{Rate, Schedule};
use crate::weights::WeightFiles;

/// Data that is not trained on.
#[derive(Clone)]
pub(crate) struct HeldOut {
    /// What the loss is taken of.
    pub data: Opened,
    /// So many batches of it.
    pub batches: usize,
    /// The same pictures, each with all its captions, where they are captioned.
    pub described: Option<Opened>,
    /// So many of them.
    pub captions: u64,
}

/// Everything that is read before anything is computed.
pub(crate) struct Prepared {
    pub config: TaskConfig,
    /// The model with the tokeniser's vocabulary.
    pub model: ModelConfig,
    pub language: Arc<Language>,
    pub data: Opened,
    pub validation: Option<HeldOut>,
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
        let open = |data: &DatasetConfig| {
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
            Some(v) => Some(HeldOut {
                data: open(&v.data)?,
                batches: v.batches,
                described: match v.captions {
                    0 => None,
                    _ => Some(open(&DatasetConfig {
                        captions: Captions::All,
                        ..v.data.clone()
                    })?),
                },
                captions: v.captions,
            }),
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
            data,
            validation,
            files,
            samples,
        })
    }

    /// The data with the changes of pictures that captions are learned under, each picture once with
    /// all its captions.
    pub(crate) fn described(&self) -> Result<Opened, TrainError> {
        let config = DatasetConfig {
            captions: Captions::All,
            augment: self.config.tune_augment(),
            ..self.data.config.clone()
        };
        self.data.with(config)
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

    pub(crate) fn tune_stage(
        &self,
        trained: Trained,
        cache: Option<Arc<FeatureCache>>,
        folder: Option<&Path>,
    ) -> Tune {
        Tune {
            trained,
            config: self.config.clone(),
            model: self.model.clone(),
            language: Arc::clone(&self.language),
            data: Opened {
                config: DatasetConfig {
                    augment: self.config.tune_augment(),
                    ..self.data.config.clone()
                },
                ..self.data.clone()
            },
            validation: self.validation.clone(),
            cache,
            folder: folder.map(Path::to_owned),
        }
    }

    /// Questions, captions or both, by the data set's first sample.
    pub(crate) fn tasks(&self) -> Result<Vec<Task>, TrainError> {
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
