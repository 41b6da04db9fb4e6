//! Changing the fusion of a loaded model, for ablations.

use std::ops::Range;

use adem_model::config::AdemConfig;

use crate::error::PipelineError;

/// What to change in the fusion of a trained model; `None` leaves a setting as it was trained.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FusionChange {
    /// Weight alpha of the fusion's output; 0 switches the cross-attention off.
    pub alpha: Option<f64>,
    /// Scale beta of the visual features, before the position embeddings.
    pub beta: Option<f64>,
    /// Share gamma of the visual tokens that the adaptive masking drops; 0 drops none.
    pub gamma: Option<f64>,
    /// Whether the picture's `[cls]` token is put into the text. Without it (and without other
    /// visual tokens in the text) there is no `Image:` prefix either.
    pub with_cls: Option<bool>,
    /// Index of the only scale whose keys and values are kept; the others' are taken away after
    /// they were computed.
    pub only_scale: Option<usize>,
}

impl FusionChange {
    /// The changed settings.
    pub(crate) fn applied_to(&self, config: &AdemConfig) -> AdemConfig {
        let mut changed = config.clone();
        changed.alpha = self.alpha.unwrap_or(config.alpha);
        changed.beta = self.beta.unwrap_or(config.beta);
        changed.drop_ratio = self.gamma.unwrap_or(config.drop_ratio);
        changed.with_cls = self.with_cls.unwrap_or(config.with_cls);
        changed
    }

    /// The visual tokens that are kept; `None` for all.
    pub(crate) fn kept(&self, config: &AdemConfig) -> Result<Option<Range<usize>>, PipelineError> {
        let Some(index) = self.only_scale else {
            return Ok(None);
        };
        let scales = &config.down_sample;
        let Some(tokens) = scales.get(index) else {
            return Err(PipelineError::argument(
                "only_scale",
                format!(
                    "is {index}, the model has scales 0 to {}",
                    scales.len().saturating_sub(1)
                ),
            ));
        };
        let start = scales[..index].iter().sum();
        Ok(Some(start..start + tokens))
    }
}
