//! Stage 3: encoder and decoder frozen, ADEM-VL's small part learns from pictures with texts.

use std::sync::Arc;

use adem_model::vision::Dropout;
use adem_model::{AdemVl, ModelConfig, TrainRow};
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::ScenesConfig;
use super::draw::{Use, scene, scene_pixels};
use super::text::Texts;
use crate::error::TrainError;
use crate::run::Stage;

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
    pub device: Device,
}

impl Stage for Tune {
    type Model = AdemVl;
    type Batch = TuneBatch;

    fn name(&self) -> &'static str {
        "tune"
    }

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

    fn samples(&self, batch: &TuneBatch) -> usize {
        batch.rows.len()
    }

    fn loss(&self, model: &AdemVl, batch: TuneBatch, step: u64) -> Result<Tensor<1>, TrainError> {
        let pixels = Tensor::<4>::from_data(batch.pixels, &self.device);
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed ^ (step << 20));
        let dropout = Dropout {
            probability: self.config.adapter_dropout,
            rng: &mut rng,
        };
        let pictures = vec![true; pixels.dims()[0]];
        let prompt = model.see(model.encode(pixels, Some(dropout)), &pictures);
        let limit = self.model.llama.max_seq_len;
        Ok(model.loss(&prompt, &batch.rows, &self.texts.prefix, limit)?)
    }

    fn trains(&self, name: &str) -> bool {
        // The last block is never run, so its adapter has nothing to learn.
        name.contains("adapter")
    }
}
