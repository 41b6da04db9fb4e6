//! Stage 3: encoder and decoder frozen, ADEM-VL's small part learns from pictures with texts.

use std::sync::Arc;

use adem_model::vision::Dropout;
use adem_model::{AdemVl, ModelConfig, TrainRow};
use burn::tensor::{Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::ScenesConfig;
use super::draw::{Use, scene, scene_pixels};
use super::text::Texts;
use crate::error::TrainError;
use crate::loader::{Loader, Numbered};
use crate::stage::{Batches, Context, Forward, Part, Stage, Start, shares};
use crate::tensors::rows;

/// Pictures and the texts about each.
pub(crate) struct TuneBatch {
    pixels: TensorData,
    rows: Vec<TrainRow>,
}

/// The stage.
pub(crate) struct Tune {
    pub config: ScenesConfig,
    pub model: ModelConfig,
    pub texts: Arc<Texts>,
}

impl Numbered for Tune {
    type Batch = TuneBatch;

    fn batch(&self, step: u64) -> Result<TuneBatch, TrainError> {
        let (n, side) = (self.config.tune.batch, self.model.clip.image_size);
        let mut pixels = Vec::with_capacity(n * 3 * side * side);
        let mut rows = Vec::with_capacity(n * self.config.texts_per_picture);
        for i in 0..n as u64 {
            let scene = scene(self.config.seed, Use::Tune, step * n as u64 + i);
            let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x70e);
            pixels.extend(scene_pixels(&scene, side));
            rows.push(self.texts.caption_row(&scene, &mut rng));
            let questions = self.config.texts_per_picture.saturating_sub(1);
            rows.extend(self.texts.question_rows(&scene, questions, &mut rng));
        }
        Ok(TuneBatch {
            pixels: TensorData::new(pixels, [n, 3, side, side]),
            rows,
        })
    }
}

impl Stage for Tune {
    type Model = AdemVl;
    type Batch = TuneBatch;

    fn name(&self) -> &'static str {
        "tune"
    }

    fn batches(self: Arc<Self>, from: &Start) -> Result<Box<dyn Batches<TuneBatch>>, TrainError> {
        Ok(Box::new(Loader::start(&self, from)))
    }

    fn samples(&self, batch: &TuneBatch) -> usize {
        batch.rows.len()
    }

    fn forward(
        &self,
        model: &AdemVl,
        batch: TuneBatch,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let pixels = Tensor::<4>::from_data(batch.pixels, &context.device);
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed ^ (context.number << 20));
        rng.set_stream(context.part);
        let dropout = Dropout {
            probability: self.config.adapter_dropout,
            rng: &mut rng,
        };
        let pictures = vec![true; pixels.dims()[0]];
        let prompt = model.see(model.encode(pixels, Some(dropout)), &pictures);
        let limit = self.model.llama.max_seq_len;
        let loss = model.loss(&prompt, &batch.rows, &self.texts.prefix, limit)?;
        Ok(loss.into())
    }

    fn split(&self, batch: TuneBatch, parts: usize) -> Vec<Part<TuneBatch>> {
        let limit = self.model.llama.max_seq_len;
        let visual = self.model.adem.text_tokens();
        let learned = |rows: &[TrainRow]| -> usize {
            let each = rows.iter();
            each.map(|r| r.learned(visual, &self.texts.prefix, limit))
                .sum()
        };
        let all = learned(&batch.rows).max(1) as f64;
        let (pictures, texts) = (batch.pixels.shape()[0], self.config.texts_per_picture);
        let mut start = 0;
        let lengths = shares(pictures, parts);
        lengths
            .into_iter()
            .map(|n| {
                let own = batch.rows[start * texts..(start + n) * texts].to_vec();
                let pixels = rows(&batch.pixels, start, n);
                start += n;
                Part {
                    share: learned(&own) as f64 / all,
                    batch: TuneBatch { pixels, rows: own },
                }
            })
            .collect()
    }

    fn trains(&self, name: &str) -> bool {
        // The last block is never run, so its adapter has nothing to learn.
        name.contains("adapter")
    }
}
