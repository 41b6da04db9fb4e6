//! Whether the parts of a package belong together.

use adem_data::image::Normalisation;
use adem_data::prompt::{PromptTemplates, prompt_room};
use adem_data::tokenizer::{SpecialIds, Tokenizer};
use adem_model::{ModelConfig, Prefix};
use adem_package::{Manifest, Package, WeightSource, json};

use crate::error::PipelineError;

/// A package's settings, checked against each other and in the terms of the crates that use them.
#[derive(Debug)]
pub(crate) struct Settings {
    pub manifest: Manifest,
    pub tokenizer: Tokenizer,
    pub templates: PromptTemplates,
    pub normalisation: Normalisation,
    pub prefix: Prefix,
}

/// Checks what an open package says of itself, as loading it would: that config, picture, tokenizer
/// and prompts fit one another. Its weights are not looked at.
///
/// # Errors
/// What [`Captioner::load`](crate::Captioner::load) would refuse, naming the field.
pub fn check<S: WeightSource>(package: &Package<S>) -> Result<(), PipelineError> {
    let config = model_config(package.manifest())?;
    settings(package.manifest().clone(), package.tokenizer(), &config).map(drop)
}

/// The model's configuration in a manifest.
pub(crate) fn model_config(manifest: &Manifest) -> Result<ModelConfig, PipelineError> {
    let text = manifest.model.to_string();
    let config: ModelConfig = json::parse(text.as_bytes()).map_err(|misfit| {
        PipelineError::manifest(&format!("model.{}", misfit.path), misfit.reason)
    })?;
    config.validate()?;
    Ok(config)
}

/// Reads the tokenizer and checks every size that two parts of a package must agree on.
pub(crate) fn settings(
    manifest: Manifest,
    tokenizer: &[u8],
    config: &ModelConfig,
) -> Result<Settings, PipelineError> {
    let (size, expected) = (manifest.image.size as usize, config.clip.image_size);
    if size != expected {
        return Err(PipelineError::manifest(
            "image.size",
            format!("is {size}, `model.clip.image_size` is {expected}"),
        ));
    }
    let tokenizer = tokenizer_of(&manifest, tokenizer, config.llama.vocab_size)?;
    let p = &manifest.prompts;
    let templates = PromptTemplates {
        image_prefix: p.image_prefix.clone(),
        no_image_prefix: p.no_image_prefix.clone(),
        caption: p.caption.clone(),
        question: p.question.clone(),
    };
    let prefix = Prefix {
        with_picture: templates.prefix_ids(&tokenizer, true),
        without_picture: templates.prefix_ids(&tokenizer, false),
    };
    let normalisation = Normalisation {
        mean: manifest.image.mean,
        std: manifest.image.std,
    };
    let settings = Settings {
        manifest,
        tokenizer,
        templates,
        normalisation,
        prefix,
    };
    // A package that could never answer is refused when it is loaded, not when it is asked.
    let words = settings
        .prefix
        .with_picture
        .len()
        .max(settings.prefix.without_picture.len());
    let most = settings.manifest.max_new_tokens as usize;
    let room = prompt_room(
        config.llama.max_seq_len,
        words,
        config.adem.text_tokens(),
        most,
    )?;
    settings.templates.caption_ids(&settings.tokenizer, room)?;
    Ok(settings)
}

/// The package's tokenizer with the manifest's special ids; the model must know every id.
fn tokenizer_of(
    manifest: &Manifest,
    bytes: &[u8],
    vocabulary: usize,
) -> Result<Tokenizer, PipelineError> {
    let tokenizer = Tokenizer::from_bytes(bytes)?;
    let entry = &manifest.tokenizer;
    let known = tokenizer.vocab_size();
    for (field, id) in [
        ("tokenizer.bos", entry.bos),
        ("tokenizer.eos", entry.eos),
        ("tokenizer.pad", entry.pad),
    ] {
        if id as usize >= known {
            return Err(PipelineError::manifest(
                field,
                format!("is {id}, `{}` has {known} tokens", entry.file),
            ));
        }
    }
    if known > vocabulary {
        return Err(PipelineError::manifest(
            "model.llama.vocab_size",
            format!("is {vocabulary}, `{}` has {known} tokens", entry.file),
        ));
    }
    let special = SpecialIds {
        bos: entry.bos,
        eos: entry.eos,
        pad: Some(entry.pad),
        unk: tokenizer.special().unk,
    };
    Ok(tokenizer.with_special_ids(special)?)
}
