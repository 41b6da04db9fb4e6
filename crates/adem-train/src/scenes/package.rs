//! What the package of the recipe says.

use adem_data::image::Normalisation;
use adem_model::ModelConfig;
use adem_package::{ImageSpec, Prompts, Task};

use super::config::ScenesConfig;
use super::text::prompts;
use crate::export::{Blueprint, tuning};

/// Longest answer, in tokens.
const MAX_NEW_TOKENS: u32 = 40;

/// The plan of the run's package.
pub(super) fn blueprint(config: &ScenesConfig, model: &ModelConfig) -> Blueprint {
    let p = prompts();
    let normalisation = Normalisation::CLIP;
    Blueprint {
        name: "scenes".to_owned(),
        model: model.clone(),
        image: ImageSpec {
            size: model.clip.image_size as u32,
            mean: normalisation.mean,
            std: normalisation.std,
        },
        prompts: Prompts {
            image_prefix: p.image_prefix,
            no_image_prefix: p.no_image_prefix,
            caption: p.caption,
            question: p.question,
        },
        tasks: vec![Task::Caption, Task::Question],
        max_new_tokens: MAX_NEW_TOKENS,
        training: format!(
            "adem train --recipe scenes, seed {}: {} steps of seeing, {} of reading, ",
            config.seed, config.see.steps, config.read.steps
        ),
        last: tuning(),
        data: "pictures drawn by adem-data's scene generator; nothing else".to_owned(),
        licence: "MIT OR Apache-2.0".to_owned(),
        // The checkpoint of the tuning holds every weight.
        stages: Vec::new(),
        weights: Vec::new(),
        tokenizer: None,
    }
}
