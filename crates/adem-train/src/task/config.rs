//! Settings of a run on a data set.

use std::path::PathBuf;

use adem_data::datasets::DatasetConfig;
use adem_data::image::{Augment, Normalisation};
use adem_data::prompt::PromptTemplates;
use adem_data::rows::Truncation;
use adem_model::ModelConfig;
use serde::{Deserialize, Serialize};

use crate::optimiser::{AdamWSettings, Rule};
use crate::progress::REPORT_EVERY;
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
    /// A stage in which everything learns together.
    pub joint: Option<JointConfig>,
    /// A last stage in which everything learns from how its own captions are judged.
    pub self_critical: Option<SelfCriticalConfig>,
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

impl TaskConfig {
    /// Random changes of the pictures that captions are learned of.
    pub(crate) fn tune_augment(&self) -> Option<Augment> {
        let data = self.data.as_ref();
        self.tune.augment.or(data.and_then(|data| data.augment))
    }
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
    /// Batches of which the loss is taken.
    #[serde(default = "validation_batches")]
    pub batches: usize,
    /// Pictures that are captioned, for CIDEr-D; none for no captions.
    #[serde(default)]
    pub captions: u64,
    /// Steps between two looks; an epoch when left out.
    #[serde(default)]
    pub every_steps: Option<u64>,
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
    /// An encoder whose features are learned beside them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
}

/// A vision encoder that is there already: it looks once at every picture of the data, and the one
/// that learns says what it saw of what a crop shows (arXiv 2205.14141). Nothing of it is left in
/// the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Package with the encoder, as `adem import` makes it: its sizes, the size and normalisation
    /// of its pictures, and its weights under this project's names.
    pub package: PathBuf,
    /// Weight of this beside the comparison.
    #[serde(default = "teacher_weight")]
    pub weight: f64,
}

fn teacher_weight() -> f64 {
    10.0
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
            teacher: None,
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
    /// How hidden matrices step.
    pub rule: Rule,
    /// Longest sequence in tokens, the picture's included; at most the model's.
    pub max_tokens: usize,
    /// What becomes of longer ones; `compat` is what published checkpoints were trained with.
    pub truncation: Truncation,
    /// Random changes of the pictures from here on; those of the data when left out. An encoder
    /// gains by stronger ones than captions bear, which must still be true of what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
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
            rule: Rule::AdamW,
            max_tokens: 512,
            truncation: Truncation::KeepEos,
            augment: None,
            adapter_dropout: 0.1,
            clip: None,
            pool: 32,
            recompute: false,
            cache_features: false,
            epoch_samples: None,
        }
    }
}

/// Encoder, decoder and what was tuned learn together, at a low rate and in single precision.
/// Batches, sequences and clipping are those of the tuning; nothing is recomputed. The paper has no
/// such stage: it is for small models whose parts were trained on little data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointConfig {
    /// Passes over the data.
    pub epochs: f64,
    /// Of these, linear warm-up.
    pub warmup_epochs: f64,
    /// Highest learning rate.
    pub lr: f64,
    /// How hidden matrices step.
    pub rule: Rule,
}

impl Default for JointConfig {
    fn default() -> Self {
        Self {
            epochs: 5.0,
            warmup_epochs: 0.5,
            lr: 2e-4,
            rule: Rule::Muon,
        }
    }
}

/// Encoder, decoder and what was tuned learn from the CIDEr-D of captions that the model draws
/// itself (self-critical sequence training, arXiv 1612.00563). A caption is held against the mean of
/// the others that were drawn of the same picture (arXiv 2003.09971). Batches, augmentation and
/// clipping are those of the tuning. The paper has no such stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelfCriticalConfig {
    /// Passes over the pictures.
    pub epochs: f64,
    /// Of these, linear warm-up.
    pub warmup_epochs: f64,
    /// Highest learning rate.
    pub lr: f64,
    /// How hidden matrices step.
    pub rule: Rule,
    /// Captions drawn of each picture, at least 2.
    pub samples: usize,
    /// How much a caption's mean CIDEr-D for the other pictures of a batch counts against it; 0 for
    /// not at all. Meant to keep captions from becoming alike; on Flickr8k it did not.
    pub contrast: f64,
}

impl Default for SelfCriticalConfig {
    fn default() -> Self {
        Self {
            epochs: 2.0,
            warmup_epochs: 0.1,
            lr: 5e-5,
            rule: Rule::Muon,
            samples: 5,
            contrast: 0.0,
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
    /// Seconds between reports; 0 for one of every step.
    pub report_seconds: u64,
    /// Whether a finished run is written as a package.
    pub package: bool,
    /// Folder of the features that `tune.cache_features` keeps, for runs one after the other that
    /// can share them; the run's own when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub features: Option<PathBuf>,
}

impl Default for SaveConfig {
    fn default() -> Self {
        Self {
            every_seconds: 300,
            every_steps: None,
            keep: 2,
            report_seconds: REPORT_EVERY.as_secs(),
            package: true,
            features: None,
        }
    }
}
