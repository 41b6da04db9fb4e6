//! Writing a trained model as a package.

use std::path::Path;

use adem_data::image::Normalisation;
use adem_data::prompt::PromptTemplates;
use adem_data::tokenizer::Tokenizer;
use adem_model::ModelConfig;
use adem_package::{
    Draft, ImageSpec, NewTensor, Prompts, Provenance, Task, TokenIds, WriteOptions, write,
};

use crate::checkpoint::Tensors;
use crate::error::TrainError;

/// What a package says of itself.
pub(crate) struct About {
    pub name: String,
    pub prompts: PromptTemplates,
    pub normalisation: Normalisation,
    pub tasks: Vec<Task>,
    /// Longest answer, in tokens.
    pub max_new_tokens: u32,
    /// How the weights were made.
    pub training: String,
    /// On what.
    pub data: String,
    pub licence: String,
}

/// Writes the package of a finished run to `folder`, weights in f16. Blocks of the encoder that
/// ADEM-VL never runs are left out.
///
/// # Errors
/// [`TrainError`] when a weight is not finite or the disk refuses.
pub(crate) fn export(
    about: About,
    model: &ModelConfig,
    tokenizer_json: &[u8],
    trained: Tensors,
    folder: &Path,
) -> Result<(), TrainError> {
    let special = Tokenizer::from_bytes(tokenizer_json)?.special();
    let run = model.clip.blocks_run();
    let all = model.clip.layers;
    let mut model = model.clone();
    (model.clip.layers, model.clip.run_layers) = (run, run as i64);
    let p = about.prompts;
    let draft = Draft {
        name: about.name,
        model: serde_json::to_value(&model).map_err(|e| TrainError::file(folder, e))?,
        image: ImageSpec {
            size: model.clip.image_size as u32,
            mean: about.normalisation.mean,
            std: about.normalisation.std,
        },
        prompts: Prompts {
            image_prefix: p.image_prefix,
            no_image_prefix: p.no_image_prefix,
            caption: p.caption,
            question: p.question,
        },
        tasks: about.tasks,
        max_new_tokens: about.max_new_tokens,
        provenance: Provenance {
            created: String::new(),
            training: about.training,
            data: about.data,
            licence: about.licence,
            ..Provenance::default()
        },
        token_ids: TokenIds {
            bos: special.bos,
            eos: special.eos,
            pad: special.pad.unwrap_or(special.eos),
        },
    };
    let unused = |name: &str| (run..all).any(|i| name.contains(&format!("resblocks.{i}.")));
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
