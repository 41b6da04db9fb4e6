//! Settings of a run on a data set.

use std::path::PathBuf;

use adem_data::datasets::DatasetConfig;
use adem_data::image::Normalisation;
use adem_data::prompt::PromptTemplates;
use adem_model::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::optimiser::{AdamWSettings, Rule};
use crate::run::NotFinite;
use crate::weights::Precision;

/// Everything a run on a data set depends on. Paths that are not absolute start at the folder the
/// program runs in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TaskConfig {
    /// The model's name.
    pub name: String,
    /// Seed of weights, order and augmentation.
    pub seed: u64,
    /// The model. Where the tokeniser is trained, its vocabulary sets `llama.vocab_size`.
    pub model: ModelConfig,
    /// What the frozen parts and the tokeniser come from.
    pub weights: WeightsConfig,
    /// Words around picture, question and answer.
    pub prompts: PromptTemplates,
    /// Constants of the encoder's input.
    pub normalisation: Constants,
    /// What is trained on.
    pub data: Option<DatasetConfig>,
    /// What a checkpoint is chosen by.
    pub validation: Option<ValidationConfig>,
    /// Pre-training of the encoder, where it is not given.
    pub see: Option<SeeConfig>,
    /// Pre-training of the decoder, where it is not given.
    pub read: Option<ReadConfig>,
    /// ADEM-VL tuning.
    pub tune: TuneConfig,
    /// The optimiser's numbers.
    pub adamw: AdamWSettings,
    /// Checkpoints.
    pub save: SaveConfig,
    /// What happens when a loss is NaN or infinite.
    pub not_finite: NotFinite,
}

/// Where given weights lie.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeightsConfig {
    /// Safetensors files, or folders of them, with this project's tensor names; none where the
    /// encoder and the decoder are trained first.
    pub files: Vec<PathBuf>,
    /// `tokenizer.json` of the decoder.
    pub tokenizer: Option<PathBuf>,
    /// Tokens of a tokeniser to be trained on the data set's texts, where none is given.
    pub train_tokenizer: Option<usize>,
    /// Element type of the frozen matrices while tuning.
    pub precision: Precision,
}

/// Constants that pixels are normalised with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Constants {
    /// CLIP's, for captions.
    #[default]
    Clip,
    /// ImageNet's, for ScienceQA and instructions.
    Imagenet,
}

impl Constants {
    /// The numbers.
    pub fn values(self) -> Normalisation {
        match self {
            Self::Clip => Normalisation::CLIP,
            Self::Imagenet => Normalisation::IMAGENET,
        }
    }
}

/// Data that is not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationConfig {
    /// The data set.
    pub data: DatasetConfig,
    /// Batches that are looked at.
    #[serde(default = "validation_batches")]
    pub batches: usize,
}

fn validation_batches() -> usize {
    50
}

/// Pre-training of the encoder: pictures and their captions find one another (arXiv 2103.00020),
/// and the words of the captions are named.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeeConfig {
    /// Passes over the data.
    pub epochs: f64,
    /// Of these, linear warm-up.
    pub warmup_epochs: f64,
    /// Pictures a step.
    pub batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// How hidden matrices step.
    pub rule: Rule,
    /// Channels of the space in which pictures and texts are compared.
    pub channels: usize,
    /// Sharpness of the comparison, 1 / temperature.
    pub sharpness: f64,
    /// Weight of naming the captions' words beside the comparison.
    pub words: f64,
}

impl Default for SeeConfig {
    fn default() -> Self {
        Self {
            epochs: 30.0,
            warmup_epochs: 1.0,
            batch: 64,
            lr: 1e-3,
            rule: Rule::Muon,
            channels: 128,
            sharpness: 10.0,
            words: 1.0,
        }
    }
}

/// Pre-training of the decoder on the data set's texts, and on others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadConfig {
    /// Passes over the texts.
    pub epochs: f64,
    /// Of these, linear warm-up.
    pub warmup_epochs: f64,
    /// Texts a step.
    pub batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// How hidden matrices step.
    pub rule: Rule,
    /// Text files whose lines are captions, too.
    pub texts: Vec<PathBuf>,
}

impl Default for ReadConfig {
    fn default() -> Self {
        Self {
            epochs: 10.0,
            warmup_epochs: 0.5,
            batch: 64,
            lr: 2e-3,
            rule: Rule::Muon,
            texts: Vec::new(),
        }
    }
}

/// ADEM-VL tuning; the authors' numbers (paper, section 4) by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuneConfig {
    /// Passes over the data.
    pub epochs: f64,
    /// Of these, linear warm-up from 0.
    pub warmup_epochs: f64,
    /// Samples a step, over all devices.
    pub batch: usize,
    /// Samples at once, over all devices; divides `batch`.
    pub micro_batch: usize,
    /// Base learning rate: the highest one is this times `batch` / 256.
    pub blr: f64,
    /// Learning rate at the end.
    pub min_lr: f64,
    /// Longest sequence in tokens, the picture's included; at most the model's.
    pub max_tokens: usize,
    /// Dropout inside the encoder's adapters.
    pub adapter_dropout: f64,
    /// Longest the gradients of a step may be together; no limit when left out.
    pub clip: Option<f64>,
    /// Batches whose rows are sorted by length together; 1 takes the rows as they come.
    pub pool: usize,
    /// Run blocks again in the backward pass instead of keeping what they computed.
    pub recompute: bool,
    /// Keep the encoder's features on disk; possible where neither the encoder's adapters nor an
    /// augmentation change them.
    pub cache_features: bool,
    /// Samples of an epoch, where the data set cannot say.
    pub epoch_samples: Option<u64>,
}

impl Default for TuneConfig {
    fn default() -> Self {
        Self {
            epochs: 5.0,
            warmup_epochs: 0.1,
            batch: 32,
            micro_batch: 4,
            blr: 9e-3,
            min_lr: 0.0,
            max_tokens: 512,
            adapter_dropout: 0.1,
            clip: None,
            pool: 32,
            recompute: false,
            cache_features: false,
            epoch_samples: None,
        }
    }
}

/// When checkpoints are made and which are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaveConfig {
    /// Seconds between checkpoints.
    pub every_seconds: u64,
    /// Steps between checkpoints, where that is sooner.
    pub every_steps: Option<u64>,
    /// Checkpoints that are kept.
    pub keep: usize,
    /// Whether a finished run is written as a package.
    pub package: bool,
}

impl Default for SaveConfig {
    fn default() -> Self {
        Self {
            every_seconds: 300,
            every_steps: None,
            keep: 2,
            package: true,
        }
    }
}

impl TaskConfig {
    /// Refuses settings that cannot be run, before anything is read or computed.
    ///
    /// # Errors
    /// [`TrainError::Config`] or [`TrainError::Model`], naming the field.
    pub fn validate(&self) -> Result<(), TrainError> {
        let refuse = |field, message: String| Err(TrainError::Config { field, message });
        self.model.validate()?;
        if self.data.is_none() {
            return refuse(
                "data",
                "is not given; name a data set's layout and place".to_owned(),
            );
        }
        let t = &self.tune;
        span("tune.epochs", t.epochs, t.warmup_epochs)?;
        count("tune.batch", t.batch)?;
        count("tune.micro_batch", t.micro_batch)?;
        count("tune.pool", t.pool)?;
        rate("tune.blr", t.blr)?;
        if !t.batch.is_multiple_of(t.micro_batch) {
            let message = format!("{} must divide batch {}", t.micro_batch, t.batch);
            return refuse("tune.micro_batch", message);
        }
        if !(0.0..1.0).contains(&t.adapter_dropout) {
            let message = format!("is {}, must be in 0..1", t.adapter_dropout);
            return refuse("tune.adapter_dropout", message);
        }
        if t.max_tokens == 0 || t.max_tokens > self.model.llama.max_seq_len {
            let message = format!(
                "is {}, must be in 1..={} (model.llama.max_seq_len)",
                t.max_tokens, self.model.llama.max_seq_len
            );
            return refuse("tune.max_tokens", message);
        }
        if t.clip.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
            return refuse("tune.clip", "must be greater than 0".to_owned());
        }
        if t.cache_features {
            self.may_cache()?;
        }
        if let Some(see) = &self.see {
            span("see.epochs", see.epochs, see.warmup_epochs)?;
            count("see.batch", see.batch)?;
            count("see.channels", see.channels)?;
            rate("see.lr", see.lr)?;
        }
        if let Some(read) = &self.read {
            span("read.epochs", read.epochs, read.warmup_epochs)?;
            count("read.batch", read.batch)?;
            rate("read.lr", read.lr)?;
        }
        let w = &self.weights;
        match (&w.tokenizer, w.train_tokenizer) {
            (None, None) => refuse(
                "weights.tokenizer",
                "is not given; name the decoder's tokenizer.json".to_owned(),
            ),
            (Some(_), Some(_)) => refuse(
                "weights.train_tokenizer",
                "makes no sense beside `tokenizer`; leave one out".to_owned(),
            ),
            (None, Some(_)) if self.read.is_none() => refuse(
                "weights.train_tokenizer",
                "needs a decoder that is trained (`read`), as a given one has its own".to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// Refuses to train with frozen parts that come from nowhere.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub(crate) fn validate_weights(&self) -> Result<(), TrainError> {
        let all_trained = self.see.is_some() && self.read.is_some();
        match self.weights.files.is_empty() && !all_trained {
            false => Ok(()),
            true => Err(TrainError::Config {
                field: "weights.files",
                message: "is empty, and `see` or `read` is left out: name the weights of what is \
                          not trained first"
                    .to_owned(),
            }),
        }
    }

    fn may_cache(&self) -> Result<(), TrainError> {
        let refuse = |message: &str| {
            Err(TrainError::Config {
                field: "tune.cache_features",
                message: message.to_owned(),
            })
        };
        if self.model.adem.clip_adapter_dim > 0 {
            return refuse(
                "the encoder's adapters are trained, so its features change; set \
                 model.adem.clip_adapter_dim to 0 or leave the cache out",
            );
        }
        if self.data.as_ref().is_some_and(|d| d.augment.is_some()) {
            return refuse("pictures are augmented, so no two features are the same");
        }
        Ok(())
    }

    /// The highest learning rate of the tuning.
    pub fn lr(&self) -> f64 {
        self.tune.blr * self.tune.batch as f64 / 256.0
    }
}

fn count(field: &'static str, value: usize) -> Result<(), TrainError> {
    match value {
        0 => Err(TrainError::Config {
            field,
            message: "is 0, must be at least 1".to_owned(),
        }),
        _ => Ok(()),
    }
}

fn rate(field: &'static str, value: f64) -> Result<(), TrainError> {
    match value.is_finite() && value > 0.0 {
        true => Ok(()),
        false => Err(TrainError::Config {
            field,
            message: format!("is {value}, must be greater than 0"),
        }),
    }
}

fn span(field: &'static str, epochs: f64, warmup: f64) -> Result<(), TrainError> {
    match epochs.is_finite() && warmup >= 0.0 && epochs > warmup {
        true => Ok(()),
        false => Err(TrainError::Config {
            field,
            message: format!("{epochs} epochs must be more than {warmup} of warm-up"),
        }),
    }
}
