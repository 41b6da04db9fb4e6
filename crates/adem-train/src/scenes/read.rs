//! Stage 2: the decoder, on text alone.

use std::sync::Arc;

use adem_model::language::{Llama, Positions};
use adem_model::{TrainRow, token_loss};
use burn::tensor::{Int, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::ScenesConfig;
use super::draw::{Use, scene};
use super::text::Texts;
use crate::error::TrainError;
use crate::loader::{Loader, Numbered};
use crate::stage::{Batches, Context, Forward, Part, Stage, Start, shares};

/// The stage.
pub(crate) struct Read {
    pub config: ScenesConfig,
    pub texts: Arc<Texts>,
}

impl Numbered for Read {
    type Batch = Vec<TrainRow>;

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
}

impl Stage for Read {
    type Model = Llama;
    type Batch = Vec<TrainRow>;

    fn name(&self) -> &'static str {
        "read"
    }

    fn batches(
        self: Arc<Self>,
        from: &Start,
    ) -> Result<Box<dyn Batches<Vec<TrainRow>>>, TrainError> {
        Ok(Box::new(Loader::start(&self, from)))
    }

    fn samples(&self, batch: &Vec<TrainRow>) -> usize {
        batch.len()
    }

    fn forward(
        &self,
        model: &Llama,
        batch: Vec<TrainRow>,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let longest = batch.iter().map(|r| r.ids.len()).max().unwrap_or(0);
        let pad = self.texts.tokenizer.special().pad.unwrap_or(0);
        let mut ids = Vec::with_capacity(batch.len() * longest);
        let mut labels = Vec::with_capacity(batch.len());
        for row in &batch {
            let real = row.ids.iter().map(|id| *id as i32);
            ids.extend(real.chain(std::iter::repeat(pad as i32)).take(longest));
            labels.push(row.labels.clone());
        }
        let ids = TensorData::new(ids, [batch.len(), longest]);
        let ids = Tensor::<2, Int>::from_data(ids, &context.device);
        let positions = Positions::new(longest, 0, &[]);
        let hidden = model.hidden(model.embed(ids), None, &positions, None);
        let loss = token_loss(model, hidden, &labels).ok_or(TrainError::Config {
            field: "read.batch",
            message: "a batch has nothing to learn".to_owned(),
        })?;
        Ok(loss.into())
    }

    fn split(&self, mut batch: Vec<TrainRow>, parts: usize) -> Vec<Part<Vec<TrainRow>>> {
        let learned = |rows: &[TrainRow]| -> usize {
            let labels = rows.iter().flat_map(|row| row.labels.iter().skip(1));
            labels.filter(|label| label.is_some()).count()
        };
        let all = learned(&batch);
        let lengths = shares(batch.len(), parts);
        lengths
            .into_iter()
            .map(|n| {
                let rest = batch.split_off(n);
                let part = std::mem::replace(&mut batch, rest);
                Part {
                    share: learned(&part) as f64 / all.max(1) as f64,
                    batch: part,
                }
            })
            .collect()
    }

    fn trains(&self, _: &str) -> bool {
        true
    }
}
