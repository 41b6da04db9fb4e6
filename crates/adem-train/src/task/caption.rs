//! Captions of pictures that are not trained on, while a model is trained.

use adem_data::image::pixels;
use adem_data::prompt::prompt_room;
use adem_eval::captions::{Captioned, Pictures, score};
use adem_model::{AdemVl, Generation, GenerationOptions, Sampling};
use burn::tensor::{Device, Tensor, TensorData};

use super::config::TaskConfig;
use super::package::longest_answer;
use super::texts::{Language, Opened};
use crate::error::TrainError;

/// CIDEr-D of the model's captions of the first `count` pictures of `data`, which gives each with
/// all its captions; `None` where there is nothing to caption.
pub(crate) fn cider(
    config: &TaskConfig,
    language: &Language,
    data: &Opened,
    count: u64,
    model: &AdemVl,
    device: &Device,
) -> Result<Option<f64>, TrainError> {
    let mut pictures = Pictures::new(&*data.source, &data.bad, Some(count))?;
    let mut items = Vec::new();
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
        }
    }
    Ok((!items.is_empty()).then(|| score(&items).corpus.cider))
}

/// A caption of each picture, greedily.
fn write(
    language: &Language,
    model: &AdemVl,
    pictures: Tensor<4>,
) -> Result<Vec<String>, TrainError> {
    let rows = pictures.dims()[0];
    let config = model.config();
    let answer = longest_answer(config.llama.max_seq_len);
    let visual = config.adem.text_tokens();
    let prefix = match visual {
        0 => 0,
        _ => language.prefix.with_picture.len(),
    };
    let room = prompt_room(config.llama.max_seq_len, prefix, visual, answer)?;
    let prompt = language.prompts.caption_ids(&language.tokenizer, room)?;
    let special = language.tokenizer.special();
    let options = GenerationOptions {
        bos: special.bos,
        eos: Some(special.eos),
        max_new_tokens: answer,
        sampling: Sampling::Greedy,
    };
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
