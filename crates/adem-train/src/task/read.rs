//! Pre-training of the decoder on texts alone.

use std::sync::{Arc, Mutex, PoisonError};

use adem_model::TrainRow;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::ReadConfig;
use super::texts::Language;
use crate::error::TrainError;
use crate::loader::Numbered;

/// An epoch and its order of the texts.
type Order = (u64, Arc<Vec<u32>>);

/// The stage's texts, for [`Reading`](crate::reading::Reading).
pub(crate) struct Read {
    pub seed: u64,
    pub read: ReadConfig,
    /// Longest text in tokens.
    pub width: usize,
    pub language: Arc<Language>,
    /// Captions without their prompt.
    pub texts: Vec<String>,
    pub order: Mutex<Option<Order>>,
}

impl Read {
    /// Batches of an epoch; what is left over waits for another order.
    pub(crate) fn batches_per_epoch(&self) -> u64 {
        (self.texts.len() / self.read.batch) as u64
    }

    fn order(&self, epoch: u64) -> Arc<Vec<u32>> {
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = kept.as_ref().filter(|(e, _)| *e == epoch) {
            return Arc::clone(order);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x7ead);
        rng.set_stream(epoch);
        let mut order: Vec<u32> = (0..self.texts.len() as u32).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, rng.random_range(0..=last));
        }
        let order = Arc::new(order);
        *kept = Some((epoch, Arc::clone(&order)));
        order
    }

    /// `BOS "Image: N/A" prompt caption EOS`; the caption is learned.
    fn row(&self, text: &str) -> TrainRow {
        let language = &self.language;
        let special = language.tokenizer.special();
        let mut ids = vec![special.bos];
        ids.extend(&language.prefix.without_picture);
        ids.extend(language.tokenizer.encode(&language.prompts.caption));
        let given = ids.len();
        ids.extend(language.tokenizer.encode(text));
        ids.truncate(self.width.saturating_sub(1));
        ids.push(special.eos);
        let labels = (0..)
            .zip(&ids)
            .map(|(i, id)| (i >= given).then_some(*id))
            .collect();
        TrainRow {
            ids,
            labels,
            picture: false,
        }
    }
}

impl Numbered for Read {
    type Batch = Vec<TrainRow>;

    fn batch(&self, number: u64) -> Result<Vec<TrainRow>, TrainError> {
        let per_epoch = self.batches_per_epoch().max(1);
        let order = self.order(number / per_epoch);
        let start = (number % per_epoch) as usize * self.read.batch;
        let chosen = order.iter().skip(start).take(self.read.batch);
        Ok(chosen
            .filter_map(|i| self.texts.get(*i as usize))
            .map(|text| self.row(text))
            .collect())
    }
}
