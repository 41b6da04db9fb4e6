//! Captions learned on a data set: by ADEM-VL's small part, encoder and decoder frozen, or by
//! everything together.

use std::path::PathBuf;
use std::sync::Arc;

use adem_data::datasets::{Batch, LoadPlan};
use adem_model::vision::Dropout;
use adem_model::{AdemVl, ModelConfig, TrainRow};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::cache::FeatureCache;
use super::caption::cider;
use super::config::TaskConfig;
use super::feed::{Feed, names, pictures};
use super::prepared::HeldOut;
use super::texts::{Language, Opened, train_row};
use crate::error::TrainError;
use crate::gradients::value;
use crate::recompute::{Lesson, Sight, gradients};
use crate::stage::{Batches, Context, Forward, Part, Quality, Stage, Start, shares};
use crate::tensors::rows;

/// Pictures and the text about each.
pub(crate) struct TuneBatch {
    names: Vec<String>,
    sight: Given,
    pictures: Vec<bool>,
    rows: Vec<TrainRow>,
}

/// What is given of the pictures.
enum Given {
    /// Pixels `[n, 3, side, side]`.
    Pixels(TensorData),
    /// The frozen encoder's features, `[n, 1 + G*G, width]`.
    Features(TensorData),
}

/// What learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trained {
    /// The method's small part.
    Adapters,
    /// Encoder, decoder and the small part.
    Everything,
}

/// The stage.
pub(crate) struct Tune {
    pub trained: Trained,
    pub config: TaskConfig,
    pub model: ModelConfig,
    pub language: Arc<Language>,
    pub data: Opened,
    pub validation: Option<HeldOut>,
    pub cache: Option<Arc<FeatureCache>>,
    /// Where captions of validation pictures are kept.
    pub folder: Option<PathBuf>,
}

impl Tune {
    fn plan(&self) -> LoadPlan {
        LoadPlan {
            seed: match self.trained {
                Trained::Adapters => self.config.seed,
                Trained::Everything => self.config.seed ^ 0x301,
            },
            batch: self.config.tune.micro_batch,
            pool: self.config.tune.pool,
            ..LoadPlan::default()
        }
    }

    fn feed(
        &self,
        data: &Opened,
        plan: &LoadPlan,
        from: &Start,
    ) -> Result<Feed<TuneBatch>, TrainError> {
        let visual = self.model.adem.text_tokens();
        let width = self.config.tune.max_tokens;
        let encoder = self.language.encoder(
            width,
            visual,
            self.config.tune.truncation,
            data.config.caption_style,
        );
        let side = self.model.clip.image_size;
        let plan_of_pictures = match &self.cache {
            Some(_) => None,
            None => Some(pictures(&self.config, data)),
        };
        let cache = self.cache.clone();
        let make = move |mut batch: Batch| {
            let n = batch.examples.len();
            let sight = match &cache {
                None => Given::Pixels(TensorData::new(
                    std::mem::take(&mut batch.pixels),
                    [n, 3, side, side],
                )),
                Some(cache) => {
                    let ids = batch.examples.iter();
                    Given::Features(
                        cache.read(ids.map(|e| e.has_picture.then_some(e.sample.id.as_str())))?,
                    )
                }
            };
            let each = batch.examples.iter();
            Ok(TuneBatch {
                names: names(&batch),
                sight,
                pictures: each.clone().map(|e| e.has_picture).collect(),
                rows: each.map(|e| train_row(&e.row, e.has_picture)).collect(),
            })
        };
        Feed::new(data, encoder, plan_of_pictures, plan, from, make)
    }

    fn learned(&self, rows: &[TrainRow]) -> usize {
        let visual = self.model.adem.text_tokens();
        let limit = self.config.tune.max_tokens;
        rows.iter()
            .map(|row| row.learned(visual, &self.language.prefix, limit))
            .sum()
    }

    /// The rows of the next batches, for people: the text of each and which part of it is learned.
    pub(crate) fn first_rows(&self) -> Result<Vec<(String, TrainRow)>, TrainError> {
        let start = Start {
            threads: 1,
            ..Start::default()
        };
        let mut feed = self.feed(&self.data, &self.plan(), &start)?;
        let batch = feed.next()?;
        Ok(batch.names.into_iter().zip(batch.rows).collect())
    }

    fn loss(
        &self,
        model: &AdemVl,
        batch: &TuneBatch,
        dropout: Option<Dropout>,
        device: &Device,
    ) -> Result<Tensor<1>, TrainError> {
        let features = match &batch.sight {
            Given::Pixels(pixels) => {
                model.encode(Tensor::from_data(pixels.clone(), device), dropout)
            }
            Given::Features(features) => Tensor::from_data(features.clone(), device),
        };
        let prompt = model.see(features, &batch.pictures);
        let limit = self.config.tune.max_tokens;
        Ok(model.loss(&prompt, &batch.rows, &self.language.prefix, limit)?)
    }

    /// Mean loss per token learned, on data that is not trained on.
    fn held_out_loss(
        &self,
        held_out: &HeldOut,
        model: &AdemVl,
        device: &Device,
    ) -> Result<Option<f64>, TrainError> {
        let plan = LoadPlan {
            shuffle: false,
            epochs: Some(1),
            pool: 1,
            ..self.plan()
        };
        let uncached = Self {
            trained: self.trained,
            cache: None,
            config: self.config.clone(),
            model: self.model.clone(),
            language: Arc::clone(&self.language),
            data: held_out.data.clone(),
            validation: None,
            folder: None,
        };
        let start = Start {
            threads: crate::loader::cores(),
            ..Start::default()
        };
        let mut feed = uncached.feed(&held_out.data, &plan, &start)?;
        let (mut sum, mut count) = (0.0, 0);
        for _ in 0..held_out.batches {
            let Some(batch) = feed.next_or_end()? else {
                break;
            };
            let loss = value(self.loss(model, &batch, None, device)?)?;
            let learned = self.learned(&batch.rows);
            sum += f64::from(loss) * learned as f64;
            count += learned;
        }
        Ok((count > 0).then(|| sum / count as f64))
    }

    /// Random numbers of a batch's part.
    fn rng(&self, context: &Context) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed ^ (context.number << 20));
        rng.set_stream(context.part);
        rng
    }
}

impl Stage for Tune {
    type Model = AdemVl;
    type Batch = TuneBatch;

    fn name(&self) -> &'static str {
        match self.trained {
            Trained::Adapters => "tune",
            Trained::Everything => "joint",
        }
    }

    fn batches(self: Arc<Self>, from: &Start) -> Result<Box<dyn Batches<TuneBatch>>, TrainError> {
        Ok(Box::new(self.feed(&self.data, &self.plan(), from)?))
    }

    fn samples(&self, batch: &TuneBatch) -> usize {
        batch.rows.len()
    }

    fn names(&self, batch: &TuneBatch) -> Vec<String> {
        batch.names.clone()
    }

    fn forward(
        &self,
        model: &AdemVl,
        batch: TuneBatch,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let mut rng = self.rng(context);
        let dropout = Dropout {
            probability: self.config.tune.adapter_dropout,
            rng: &mut rng,
        };
        let loss = self.loss(model, &batch, Some(dropout), &context.device)?;
        Ok(loss.into())
    }

    fn gradients(
        &self,
        model: &AdemVl,
        batch: &TuneBatch,
        context: &Context,
    ) -> Result<Option<(Tensor<1>, GradientsParams)>, TrainError> {
        // Blocks are run again for the gradients of adapters alone.
        if !self.config.tune.recompute || self.trained == Trained::Everything {
            return Ok(None);
        }
        let mut rng = self.rng(context);
        let device = &context.device;
        let sight = match &batch.sight {
            Given::Features(features) => {
                Sight::Features(Tensor::from_data(features.clone(), device))
            }
            Given::Pixels(pixels) => {
                let pixels = Tensor::from_data(pixels.clone(), device);
                match self.model.adem.clip_adapter_dim {
                    0 => Sight::Features(model.encode(pixels, None)),
                    _ => Sight::Pixels(pixels, self.config.tune.adapter_dropout, &mut rng),
                }
            }
        };
        let lesson = Lesson {
            pictures: &batch.pictures,
            rows: &batch.rows,
            prefix: &self.language.prefix,
            max_tokens: self.config.tune.max_tokens,
        };
        gradients(model, sight, &lesson).map(Some)
    }

    fn split(&self, mut batch: TuneBatch, parts: usize) -> Vec<Part<TuneBatch>> {
        let all = self.learned(&batch.rows).max(1) as f64;
        let mut start = 0;
        let lengths = shares(batch.rows.len(), parts);
        lengths
            .into_iter()
            .map(|n| {
                let own: Vec<TrainRow> = batch.rows.drain(..n).collect();
                let part = TuneBatch {
                    names: batch.names.drain(..n).collect(),
                    pictures: batch.pictures.drain(..n).collect(),
                    sight: match &batch.sight {
                        Given::Pixels(data) => Given::Pixels(rows(data, start, n)),
                        Given::Features(data) => Given::Features(rows(data, start, n)),
                    },
                    rows: own,
                };
                start += n;
                Part {
                    share: self.learned(&part.rows) as f64 / all,
                    batch: part,
                }
            })
            .collect()
    }

    fn trains(&self, name: &str) -> bool {
        self.trained == Trained::Everything || AdemVl::is_trained(name)
    }

    fn saves(&self, name: &str) -> bool {
        self.trains(name)
    }

    fn validate(&self, model: &AdemVl, device: &Device) -> Result<Option<Quality>, TrainError> {
        let Some(held_out) = &self.validation else {
            return Ok(None);
        };
        let Some(loss) = self.held_out_loss(held_out, model, device)? else {
            return Ok(None);
        };
        let cider = match &held_out.described {
            None => None,
            Some(data) => cider(
                &self.config,
                &self.language,
                data,
                held_out.captions,
                model,
                device,
                self.folder.as_deref(),
            )?,
        };
        Ok(Some(Quality { loss, cider }))
    }
}
