//! Settings of the recipe `scenes`.

use std::time::Duration;

use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig, RopeStyle};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::optimiser::{AdamWSettings, Rule};
use crate::schedule::{Rate, Schedule};
use crate::task::MOST;

/// Settings of one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Steps.
    pub steps: u64,
    /// Samples a step: pictures, or texts in the reading stage.
    pub batch: usize,
    /// Highest learning rate.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// How hidden matrices step.
    #[serde(default)]
    pub rule: Rule,
}

impl StageConfig {
    pub(crate) fn rate(&self) -> Rate {
        Rate {
            schedule: Schedule {
                lr: self.lr,
                min_lr: self.lr * 0.01,
                warmup: self.warmup as f64,
                total: self.steps as f64,
            },
            steps_per_unit: 1.0,
            lead: 1,
        }
    }
}

/// Everything a run depends on. The defaults take about two hours of one core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScenesConfig {
    /// Seed of weights, scenes and texts.
    pub seed: u64,
    /// The model; `vocab_size` is set by the tokeniser.
    pub model: ModelConfig,
    /// Most tokens in the vocabulary.
    pub vocab_size: usize,
    /// Vision encoder's pre-training.
    pub see: StageConfig,
    /// Decoder's pre-training.
    pub read: StageConfig,
    /// ADEM-VL tuning.
    pub tune: StageConfig,
    /// Texts about each picture of the tuning stage: one caption, the rest questions.
    pub texts_per_picture: usize,
    /// Dropout inside the encoder's adapters while tuning.
    pub adapter_dropout: f64,
    /// The optimiser's numbers.
    pub adamw: AdamWSettings,
    /// Seconds between checkpoints.
    pub save_every_seconds: u64,
}

impl Default for ScenesConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            model: ModelConfig {
                llama: LlamaConfig {
                    dim: 160,
                    n_layers: 4,
                    n_heads: 5,
                    n_kv_heads: None,
                    vocab_size: 512,
                    ffn_hidden: 432,
                    norm_eps: 1e-6,
                    rope_theta: 10000.0,
                    rope_scaling: None,
                    rope_style: RopeStyle::Half,
                    tie_embeddings: false,
                    max_seq_len: 128,
                },
                clip: ClipConfig {
                    image_size: 64,
                    patch: 8,
                    width: 128,
                    layers: 6,
                    heads: 4,
                    ln_eps: 1e-5,
                    run_layers: -1,
                    ..ClipConfig::default()
                },
                adem: AdemConfig {
                    hidden_proj: 256,
                    down_sample: vec![64, 16],
                    beta: 0.1,
                    ..AdemConfig::default()
                },
            },
            vocab_size: 448,
            see: StageConfig {
                steps: 12000,
                batch: 16,
                lr: 2e-3,
                warmup: 200,
                rule: Rule::Muon,
            },
            read: StageConfig {
                steps: 6000,
                batch: 16,
                lr: 2e-3,
                warmup: 100,
                rule: Rule::Muon,
            },
            tune: StageConfig {
                steps: 4500,
                batch: 16,
                lr: 2e-3,
                warmup: 100,
                rule: Rule::Muon,
            },
            texts_per_picture: 4,
            adapter_dropout: 0.0,
            adamw: AdamWSettings::default(),
            save_every_seconds: 120,
        }
    }
}

impl ScenesConfig {
    /// Refuses settings that cannot be run, before anything is computed. The vocabulary is the
    /// tokeniser's, once that is trained.
    ///
    /// # Errors
    /// [`TrainError::Config`] or [`TrainError::Model`], naming the field.
    pub fn validate(&self) -> Result<(), TrainError> {
        /// Most steps of a stage.
        const STEPS: u64 = 1 << 40;
        let refuse = |field, message: String| Err(TrainError::Config { field, message });
        self.model.validate()?;
        for (field, stage) in [
            ("see", &self.see),
            ("read", &self.read),
            ("tune", &self.tune),
        ] {
            if !(1..=MOST).contains(&stage.batch) {
                let message = format!("batch is {}, must be in 1..={MOST}", stage.batch);
                return refuse(field, message);
            }
            if stage.steps > STEPS {
                let message = format!("steps is {}, must be at most {STEPS}", stage.steps);
                return refuse(field, message);
            }
            if stage.steps == 0 || stage.warmup >= stage.steps {
                return refuse(
                    field,
                    format!(
                        "{} steps must be more than {} of warm-up",
                        stage.steps, stage.warmup
                    ),
                );
            }
            if !(stage.lr.is_finite() && stage.lr > 0.0) {
                return refuse(field, format!("lr is {}, must be greater than 0", stage.lr));
            }
        }
        if !(1..=MOST).contains(&self.texts_per_picture) {
            let message = format!("is {}, must be in 1..={MOST}", self.texts_per_picture);
            return refuse("texts_per_picture", message);
        }
        if !(0.0..1.0).contains(&self.adapter_dropout) {
            let message = format!("is {}, must be in 0..1", self.adapter_dropout);
            return refuse("adapter_dropout", message);
        }
        Ok(())
    }

    pub(crate) fn save_every(&self) -> Duration {
        Duration::from_secs(self.save_every_seconds)
    }
}
