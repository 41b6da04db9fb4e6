//! Many pictures and many questions at once, for evaluation.

use adem_data::image::RgbImage;
use adem_model::{
    BeamSearch, Beams, Generation, ModelError, Sampling, Sight, TrainRow, VisualPrompt,
};
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
        self.texts(&self.answer_ids(features, asks).await?)
    }

    /// The texts of rows of token ids, without white space at the end.
    ///
    /// # Errors
    /// [`PipelineError`] for ids that are not in the vocabulary.
    pub fn texts(&self, ids: &[Vec<u32>]) -> Result<Vec<String>, PipelineError> {
        let texts = ids.iter().map(|row| self.tokenizer().decode(row));
        texts.map(|text| Ok(text?.trim_end().to_owned())).collect()
    }

    /// [`answer`](Self::answer) in token ids, the ending one left out.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer).
    pub async fn answer_ids(
        &self,
        features: &Features,
        asks: &[Ask],
    ) -> Result<Vec<Vec<u32>>, PipelineError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let (prompts, seen) = self.prepare(features, asks)?;
        let options = self.options(self.most_new_tokens(), Sampling::Greedy);
        let mut generation = Generation::new(self.model(), seen, &prompts, self.prefix(), options)?;
        let mut ids = vec![Vec::new(); asks.len()];
        while let Some(step) = generation.step().await? {
            for (row, token) in ids.iter_mut().zip(step.tokens) {
                row.extend(token);
            }
        }
        Ok(ids)
    }

    /// [`answer_ids`](Self::answer_ids) by beam search.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer), and [`ModelError::Argument`] for beams that are impossible.
    pub async fn search_ids(
        &self,
        features: &Features,
        asks: &[Ask],
        beams: Beams,
    ) -> Result<Vec<Vec<u32>>, PipelineError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let (prompts, seen) = self.prepare(features, asks)?;
        let options = self.options(self.most_new_tokens(), Sampling::Greedy);
        let (model, prefix) = (self.model(), self.prefix());
        let mut search = BeamSearch::new(model, seen, &prompts, prefix, &options, beams)?;
        while search.step().await? {}
        Ok(search.best())
    }

    /// What each token of `texts`, answers to `asks` in token ids, looked at.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer); [`ModelError::Argument`] unless there is a text for each
    /// ask.
    pub async fn sights(
        &self,
        features: &Features,
        asks: &[Ask],
        texts: Vec<Vec<u32>>,
    ) -> Result<Vec<Vec<Sight>>, PipelineError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let (prompts, seen) = self.prepare(features, asks)?;
        let options = self.options(self.most_new_tokens(), Sampling::Greedy);
        let mut generation = Generation::new(self.model(), seen, &prompts, self.prefix(), options)?;
        generation.trace();
        generation.follow(texts)?;
        let mut sights = vec![Vec::new(); asks.len()];
        while let Some(step) = generation.step().await? {
            let now = step.tokens.iter().zip(generation.last_sights());
            for (row, (token, sight)) in sights.iter_mut().zip(now) {
                row.extend(token.map(|_| sight.clone()));
            }
        }
        Ok(sights)
    }

    /// The most likely token at every place of each of the given `answers` to `asks`, and after its
    /// last, whatever the places before it would have been: as many as the answer has tokens, and
    /// one.
    ///
    /// # Errors
    /// Those of [`answer`](Self::answer).
    pub async fn predict(
        &self,
        features: &Features,
        asks: &[Ask],
        answers: &[Vec<u32>],
    ) -> Result<Vec<Vec<u32>>, PipelineError> {
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let (prompts, seen) = self.prepare(features, asks)?;
        let options = self.options(self.most_new_tokens(), Sampling::Greedy);
        let end = options.eos.unwrap_or(options.bos);
        let rows: Vec<TrainRow> = prompts
            .into_iter()
            .zip(answers)
            .map(|(prompt, answer)| {
                let before = vec![None; 1 + prompt.len()];
                let said = || answer.iter().copied().chain([end]);
                TrainRow {
                    ids: [options.bos]
                        .into_iter()
                        .chain(prompt)
                        .chain(said())
                        .collect(),
                    labels: before.into_iter().chain(said().map(Some)).collect(),
                    picture: true,
                }
            })
            .collect();
        let (hidden, labels) = self
            .model()
            .forward(&seen, &rows, self.prefix(), usize::MAX)?;
        let best = self
            .model()
            .llama
            .logits(hidden)
            .argmax(2)
            .squeeze_dim::<2>(2);
        let tokens = best.dims()[1];
        let best = best
            .into_data_async()
            .await
            .map_err(|error| ModelError::Read(error.to_string()))?;
        let best: Vec<u32> = best.iter::<i64>().map(|id| id as u32).collect();
        // What stands at a place was predicted at the one before.
        let places = best.chunks(tokens).zip(labels).map(|(best, labels)| {
            let learned = best.iter().zip(labels.into_iter().skip(1));
            learned
                .filter_map(|(id, label)| label.map(|_| *id))
                .collect()
        });
        Ok(places.collect())
    }

    fn most_new_tokens(&self) -> usize {
        self.manifest().max_new_tokens as usize
    }

    /// Token ids of each ask, and what the decoder sees in its row.
    fn prepare(
        &self,
        features: &Features,
        asks: &[Ask],
    ) -> Result<(Vec<Vec<u32>>, VisualPrompt), PipelineError> {
        let most = self.most_new_tokens();
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
        Ok((prompts, seen))
    }
}
