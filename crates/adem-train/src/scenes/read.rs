//! Stage 2: the decoder, on text alone.

use std::sync::Arc;

use adem_model::language::{Llama, Positions};
use adem_model::{TrainRow, token_loss};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::ScenesConfig;
use super::draw::{Use, scene};
use super::text::Texts;
use crate::error::TrainError;
use crate::run::Stage;

/// The stage.
pub(crate) struct Read {
    pub config: ScenesConfig,
    pub texts: Arc<Texts>,
    pub device: Device,
}

impl Stage for Read {
    type Model = Llama;
    type Batch = Vec<TrainRow>;

    fn name(&self) -> &'static str {
        "read"
    }

    fn batch(&self, step: u64) -> Result<Vec<TrainRow>, TrainError> {
        let n = self.config.read.batch as u64;
        Ok((0..n)
            .map(|i| {
                let scene = scene(self.config.seed, Use::Read, step * n + i);
                let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x7ead);
                self.texts.document(&scene, &mut rng)
            })
            .collect())
    }

    fn samples(&self, batch: &Vec<TrainRow>) -> usize {
        batch.len()
    }

    fn loss(&self, model: &Llama, batch: Vec<TrainRow>, _: u64) -> Result<Tensor<1>, TrainError> {
        let longest = batch.iter().map(|r| r.ids.len()).max().unwrap_or(0);
        let pad = self.texts.tokenizer.special().pad.unwrap_or(0);
        let mut ids = Vec::with_capacity(batch.len() * longest);
        let mut labels = Vec::with_capacity(batch.len());
        for row in &batch {
            let real = row.ids.iter().map(|id| *id as i32);
            ids.extend(real.chain(std::iter::repeat(pad as i32)).take(longest));
            labels.push(row.labels.clone());
        }
        let ids =
            Tensor::<2, Int>::from_data(TensorData::new(ids, [batch.len(), longest]), &self.device);
        let positions = Positions::new(longest, 0, &[]);
        let hidden = model.hidden(model.embed(ids), None, &positions, None);
        token_loss(model, hidden, &labels).ok_or(TrainError::Config {
            field: "read.batch",
            message: "a batch has nothing to learn".to_owned(),
        })
    }

    fn trains(&self, _: &str) -> bool {
        true
    }
}
