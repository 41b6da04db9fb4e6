//! Stage 2: the decoder, on text alone.

use std::sync::Arc;

use adem_model::TrainRow;
use adem_model::language::Llama;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::ScenesConfig;
use super::draw::{Use, scene};
use super::text::Texts;
use crate::error::TrainError;
use crate::loader::{Loader, Numbered};
use crate::reading::{language_loss, split_rows};
use crate::stage::{Batches, Context, Forward, Part, Stage, Start};

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
        let pad = self.texts.tokenizer.special().pad.unwrap_or(0);
        Ok(language_loss(model, &batch, pad, context)?.into())
    }

    fn split(&self, batch: Vec<TrainRow>, parts: usize) -> Vec<Part<Vec<TrainRow>>> {
        split_rows(batch, parts)
    }

    fn trains(&self, _: &str) -> bool {
        true
    }
}
