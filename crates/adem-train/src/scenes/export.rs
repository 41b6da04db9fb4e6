//! Writing the trained model as a package.

use std::path::Path;

use adem_data::image::Normalisation;
use adem_model::ModelConfig;
use adem_package::Task;

use super::config::ScenesConfig;
use super::text::prompts;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::export::About;

/// Longest answer, in tokens.
const MAX_NEW_TOKENS: u32 = 40;

/// Writes the package of a finished run to `folder`.
///
/// # Errors
/// [`TrainError`] when a weight is not finite or the disk refuses.
pub fn export(
    config: &ScenesConfig,
    model: &ModelConfig,
    tokenizer_json: &[u8],
    trained: Tensors,
    folder: &Path,
) -> Result<(), TrainError> {
    let about = About {
        name: "scenes".to_owned(),
        prompts: prompts(),
        normalisation: Normalisation::CLIP,
        tasks: vec![Task::Caption, Task::Question],
        max_new_tokens: MAX_NEW_TOKENS,
        training: format!(
            "adem train --recipe scenes, seed {}: {} steps of seeing, {} of reading, {} of \
             ADEM-VL tuning",
            config.seed, config.see.steps, config.read.steps, config.tune.steps
        ),
        data: "pictures drawn by adem-data's scene generator; nothing else".to_owned(),
        licence: "MIT OR Apache-2.0".to_owned(),
    };
    crate::export::export(about, model, tokenizer_json, trained, folder)
}
