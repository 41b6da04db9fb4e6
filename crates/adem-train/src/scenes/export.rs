//! Writing the trained model as a package.

use std::path::Path;

use adem_data::image::Normalisation;
use adem_data::tokenizer::Tokenizer;
use adem_model::ModelConfig;
use adem_package::{
    Draft, ImageSpec, NewTensor, Prompts, Provenance, Task, TokenIds, WriteOptions, write,
};

use super::config::ScenesConfig;
use super::text::prompts;
use crate::checkpoint::Tensors;
use crate::error::TrainError;

/// Longest answer, in tokens.
const MAX_NEW_TOKENS: u32 = 40;

/// Writes the package of a finished run to `folder`, weights in f16. Blocks of the encoder that
/// ADEM-VL never runs are left out.
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
    let tokenizer = Tokenizer::from_bytes(tokenizer_json)?;
    let special = tokenizer.special();
    let run = model.clip.blocks_run();
    let mut model = model.clone();
    (model.clip.layers, model.clip.run_layers) = (run, run as i64);
    let p = prompts();
    let draft = Draft {
        name: "scenes".to_owned(),
        model: serde_json::to_value(&model).map_err(|e| TrainError::file(folder, e))?,
        image: ImageSpec {
            size: model.clip.image_size as u32,
            mean: Normalisation::CLIP.mean,
            std: Normalisation::CLIP.std,
        },
        prompts: Prompts {
            image_prefix: p.image_prefix,
            no_image_prefix: p.no_image_prefix,
            caption: p.caption,
            question: p.question,
        },
        tasks: vec![Task::Caption, Task::Question],
        max_new_tokens: MAX_NEW_TOKENS,
        provenance: Provenance {
            created: String::new(),
            training: format!(
                "adem train --recipe scenes, seed {}: {} steps of seeing, {} of reading, {} of \
                 ADEM-VL tuning",
                config.seed, config.see.steps, config.read.steps, config.tune.steps
            ),
            data: "pictures drawn by adem-data's scene generator; nothing else".to_owned(),
            licence: "MIT OR Apache-2.0".to_owned(),
            ..Provenance::default()
        },
        token_ids: TokenIds {
            bos: special.bos,
            eos: special.eos,
            pad: special.pad.unwrap_or(special.eos),
        },
    };
    let unused = |name: &str| {
        (run..)
            .take(1)
            .any(|i| name.contains(&format!("resblocks.{i}.")))
    };
    let mut tensors = Vec::with_capacity(trained.map.len());
    for (name, data) in trained.map.into_iter().filter(|(name, _)| !unused(name)) {
        let shape = data.shape().to_vec();
        let data = data
            .try_to_vec::<f32>()
            .map_err(|e| TrainError::Read(format!("{name}: {e:?}")))?;
        tensors.push(NewTensor { name, shape, data });
    }
    write(
        folder,
        draft,
        tokenizer_json,
        tensors,
        &WriteOptions::default(),
    )?;
    Ok(())
}
