//! Settings that cannot be run, named before anything is read or computed.

use super::config::TaskConfig;
use crate::error::TrainError;

impl TaskConfig {
    /// Refuses settings that cannot be run, before anything is read or computed.
    ///
    /// # Errors
    /// [`TrainError::Config`] or [`TrainError::Model`], naming the field.
    pub fn validate(&self) -> Result<(), TrainError> {
        let refuse = |field, message: String| Err(TrainError::Config { field, message });
        if self.data.is_none() {
            return refuse(
                "data",
                "is not given; name a data set's layout and place".to_owned(),
            );
        }
        self.validate_numbers()?;
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

    /// Refuses sizes, rates and lengths that cannot be run, whether data and weights are given or not.
    ///
    /// # Errors
    /// [`TrainError::Config`] or [`TrainError::Model`], naming the field.
    pub(crate) fn validate_numbers(&self) -> Result<(), TrainError> {
        let refuse = |field, message: String| Err(TrainError::Config { field, message });
        self.model.validate()?;
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
        if t.epoch_samples.is_some_and(|n| n > SAMPLES) {
            return refuse("tune.epoch_samples", format!("must be at most {SAMPLES}"));
        }
        if t.clip.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
            return refuse("tune.clip", "must be greater than 0".to_owned());
        }
        if let Some(augment) = &t.augment {
            augment.validate().map_err(|e| TrainError::Config {
                field: "tune.augment",
                message: e.to_string(),
            })?;
        }
        if t.cache_features {
            self.may_cache()?;
        }
        if let Some(v) = &self.validation {
            count("validation.batches", v.batches)?;
            if v.every_steps == Some(0) {
                let message = "is 0, must be at least 1".to_owned();
                return refuse("validation.every_steps", message);
            }
        }
        if let Some(see) = &self.see {
            span("see.epochs", see.epochs, see.warmup_epochs)?;
            count("see.batch", see.batch)?;
            count("see.channels", see.channels)?;
            rate("see.lr", see.lr)?;
            self.may_be_taught()?;
        }
        if let Some(read) = &self.read {
            span("read.epochs", read.epochs, read.warmup_epochs)?;
            count("read.batch", read.batch)?;
            rate("read.lr", read.lr)?;
        }
        if let Some(joint) = &self.joint {
            span("joint.epochs", joint.epochs, joint.warmup_epochs)?;
            rate("joint.lr", joint.lr)?;
        }
        if let Some(critical) = &self.self_critical {
            let span_of = (critical.epochs, critical.warmup_epochs);
            span("self_critical.epochs", span_of.0, span_of.1)?;
            rate("self_critical.lr", critical.lr)?;
            if critical.samples < 2 {
                return refuse(
                    "self_critical.samples",
                    "must be at least 2: each is held against the others".to_owned(),
                );
            }
            if !(critical.contrast.is_finite() && critical.contrast >= 0.0) {
                return refuse(
                    "self_critical.contrast",
                    format!("is {}, but must be 0 or more", critical.contrast),
                );
            }
        }
        Ok(())
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

    fn may_be_taught(&self) -> Result<(), TrainError> {
        let Some(teacher) = self.see.as_ref().and_then(|see| see.teacher.as_ref()) else {
            return Ok(());
        };
        rate("see.teacher.weight", teacher.weight)?;
        let augment = self.data.as_ref().and_then(|data| data.augment);
        match augment.is_some_and(|augment| augment.operations > 0) {
            false => Ok(()),
            true => Err(TrainError::Config {
                field: "data.augment.operations",
                message: "must be 0 beside `see.teacher`: they move what pictures show to places \
                          that the teacher did not see it in; take brightness, contrast and \
                          saturation"
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
        if self.tune_augment().is_some() {
            return refuse("pictures are augmented, so no two features are the same");
        }
        Ok(())
    }

    /// The highest learning rate of the tuning.
    pub fn lr(&self) -> f64 {
        self.tune.blr * self.tune.batch as f64 / 256.0
    }
}

/// Most that a count may be: far beyond what fits into any memory.
pub(crate) const MOST: usize = 1 << 20;
/// Longest training, in passes over the data.
const EPOCHS: f64 = 1e6;
/// Most samples of a pass.
const SAMPLES: u64 = 1 << 40;

fn count(field: &'static str, value: usize) -> Result<(), TrainError> {
    match value {
        1..=MOST => Ok(()),
        _ => Err(TrainError::Config {
            field,
            message: format!("is {value}, must be in 1..={MOST}"),
        }),
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
    let message = if !(0.0..=EPOCHS).contains(&epochs) {
        format!("is {epochs}, must be in 0..={EPOCHS}")
    } else if !(warmup >= 0.0 && epochs > warmup) {
        format!("{epochs} epochs must be more than {warmup} of warm-up")
    } else {
        return Ok(());
    };
    Err(TrainError::Config { field, message })
}
