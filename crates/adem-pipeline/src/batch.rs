//! Many pictures and many questions at once, for evaluation.

use adem_data::image::RgbImage;
use adem_model::{Generation, Sampling};
use burn::tensor::{Tensor, TensorData};

use crate::captioner::Captioner;
use crate::error::PipelineError;
use crate::request::Task;

/// Encoder features of a batch of pictures, `[pictures, 1 + G*G, width]`. They do not depend on
/// the fusion, so captioners that differ in it alone can share them.
#[derive(Debug, Clone)]
pub struct Features(Tensor<3>);

impl Features {
    /// Number of pictures.
    pub fn pictures(&self) -> usize {
        self.0.dims()[0]
    }
}

/// Something asked about one picture of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Index of the picture.
    pub picture: usize,
    /// What to do.
    pub task: Task,
}

impl Captioner {
    /// Encodes a batch of decoded pictures, resized and normalised as a picture file's are.
    ///
    /// # Errors
    /// [`PipelineError::Argument`] without any picture.
    pub fn encode(&self, pictures: &[RgbImage]) -> Result<Features, PipelineError> {
        if pictures.is_empty() {
            return Err(PipelineError::argument(
                "pictures",
                "are none, give at least one",
            ));
        }
        let pixels = pictures
            .iter()
            .flat_map(|picture| self.pixels(picture))
            .collect();
        Ok(Features(self.features(pixels, pictures.len())))
    }

    /// Answers all `asks` greedily as one batch, in their order.
    ///
    /// # Errors
    /// Those of [`start`](Self::start) and of the device; [`PipelineError::Argument`] for the
    /// index of a picture that is not in `features`.
    pub async fn answer(
        &self,
        features: &Features,
        asks: &[Ask],
    ) -> Result<Vec<String>, PipelineError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let most = self.manifest().max_new_tokens as usize;
        let mut prompts = Vec::with_capacity(asks.len());
        let mut rows = Vec::with_capacity(asks.len());
        for ask in asks {
            if ask.picture >= features.pictures() {
                let reason = format!("is {}, there are {}", ask.picture, features.pictures());
                return Err(PipelineError::argument("picture", reason));
            }
            prompts.push(self.prompt_ids(&ask.task, true, most)?);
            rows.push(ask.picture as i32);
        }
        let index = TensorData::new(rows, [asks.len()]);
        let index = Tensor::from_data(index, self.device());
        let seen = self.see(features.0.clone().select(0, index));
        let options = self.options(most, Sampling::Greedy);
        let mut generation = Generation::new(self.model(), seen, &prompts, self.prefix(), options)?;
        let mut ids = vec![Vec::new(); asks.len()];
        while let Some(step) = generation.step().await? {
            for (row, token) in ids.iter_mut().zip(step.tokens) {
                row.extend(token);
            }
        }
        let texts = ids.iter().map(|row| self.tokenizer().decode(row));
        texts.map(|text| Ok(text?.trim_end().to_owned())).collect()
    }
}
