//! Captions of pictures that are not trained on, while a model is trained.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use adem_data::image::pixels;
use adem_data::prompt::prompt_room;
use adem_eval::captions::{Captioned, Pictures, score};
use adem_model::{AdemVl, Generation, GenerationOptions, Sampling};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::config::TaskConfig;
use super::package::longest_answer;
use super::texts::{Language, Opened};
use crate::checkpoint::write_atomically;
use crate::error::TrainError;

/// The file of a run's folder that keeps the captions of its last look.
pub const CAPTIONS: &str = "captions.jsonl";

/// A caption of a picture that was not trained on; a line of [`CAPTIONS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The picture's name in its data set.
    pub picture: String,
    /// The model's caption.
    pub caption: String,
    /// Those of people.
    pub captions: Vec<String>,
}

/// What the run in `folder` wrote of validation pictures when it last looked; nothing where it
/// never did.
///
/// # Errors
/// [`TrainError::File`] where the file is there and cannot be read.
pub fn captions(folder: &Path) -> Result<Vec<Written>, TrainError> {
    let path = folder.join(CAPTIONS);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|e| TrainError::file(&path, e))?,
    };
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .map_err(|e| TrainError::file(&path, e))
}

fn keep(folder: &Path, written: &[Written]) -> Result<(), TrainError> {
    let path = folder.join(CAPTIONS);
    let mut text = String::new();
    for one in written {
        text += &serde_json::to_string(one).map_err(|e| TrainError::file(&path, e))?;
        text.push('\n');
    }
    write_atomically(&path, text.as_bytes())
}

/// CIDEr-D of the model's captions of the first `count` pictures of `data`, which gives each with
/// all its captions; `None` where there is nothing to caption. The captions are kept in `folder`,
/// where one is given.
pub(crate) fn cider(
    config: &TaskConfig,
    language: &Language,
    data: &Opened,
    count: u64,
    model: &AdemVl,
    device: &Device,
    folder: Option<&Path>,
) -> Result<Option<f64>, TrainError> {
    let mut pictures = Pictures::new(&*data.source, &data.bad, Some(count))?;
    let (mut items, mut written) = (Vec::new(), Vec::new());
    loop {
        let batch = pictures.batch(config.tune.micro_batch)?;
        if batch.is_empty() {
            break;
        }
        let (samples, images): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        let side = model.config().clip.image_size;
        let values: Vec<f32> = images
            .iter()
            .flat_map(|image| pixels(image, side as u32, &config.normalisation.values()))
            .collect();
        let shape = [images.len(), 3, side, side];
        let seen = Tensor::from_data(TensorData::new(values, shape), device);
        let texts = write(language, model, seen)?;
        for (sample, text) in samples.iter().zip(&texts) {
            items.push(Captioned::new(text, &sample.targets));
            written.push(Written {
                picture: sample.id.clone(),
                caption: text.clone(),
                captions: sample.targets.clone(),
            });
        }
    }
    if let Some(folder) = folder {
        keep(folder, &written)?;
    }
    Ok((!items.is_empty()).then(|| score(&items).corpus.cider))
}

/// How captions are asked for.
pub(super) struct Asking {
    /// The prompt in token ids.
    pub prompt: Vec<u32>,
    /// Greedy.
    pub options: GenerationOptions,
}

impl Asking {
    pub fn new(language: &Language, model: &AdemVl) -> Result<Self, TrainError> {
        let config = model.config();
        let answer = longest_answer(config.llama.max_seq_len);
        let visual = config.adem.text_tokens();
        let prefix = match visual {
            0 => 0,
            _ => language.prefix.with_picture.len(),
        };
        let room = prompt_room(config.llama.max_seq_len, prefix, visual, answer)?;
        let special = language.tokenizer.special();
        Ok(Self {
            prompt: language.prompts.caption_ids(&language.tokenizer, room)?,
            options: GenerationOptions {
                bos: special.bos,
                eos: Some(special.eos),
                max_new_tokens: answer,
                sampling: Sampling::Greedy,
            },
        })
    }
}

/// A caption of each picture, greedily.
fn write(
    language: &Language,
    model: &AdemVl,
    pictures: Tensor<4>,
) -> Result<Vec<String>, TrainError> {
    let rows = pictures.dims()[0];
    let Asking { prompt, options } = Asking::new(language, model)?;
    let seen = model.see(model.encode(pictures, None), &vec![true; rows]);
    let prompts = vec![prompt; rows];
    let mut generation = Generation::new(model, seen, &prompts, &language.prefix, options)?;
    let mut ids = vec![Vec::new(); rows];
    while let Some(step) = pollster::block_on(generation.step())? {
        for (row, token) in ids.iter_mut().zip(step.tokens) {
            row.extend(token);
        }
    }
    let texts = ids.iter().map(|row| language.tokenizer.decode(row));
    Ok(texts.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_damage_is_named() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(captions(place.path()).unwrap(), []);
        let one = Written {
            picture: "a.jpg".to_owned(),
            caption: "two\nlines".to_owned(),
            captions: vec!["one".to_owned()],
        };
        for written in [vec![], vec![one.clone()], vec![one.clone(), one]] {
            keep(place.path(), &written).unwrap();
            assert_eq!(captions(place.path()).unwrap(), written);
        }
        std::fs::write(place.path().join(CAPTIONS), "{\"picture\":").unwrap();
        let error = captions(place.path()).unwrap_err().to_string();
        assert!(error.contains(CAPTIONS), "{error}");
    }
}
