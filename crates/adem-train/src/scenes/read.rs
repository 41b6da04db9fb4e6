//! Stage 2: the decoder, on text alone.

use std::sync::{Arc, Mutex, PoisonError};

use adem_model::TrainRow;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::config::ScenesConfig;
use super::draw::{Use, scene};
use super::text::Texts;
use crate::error::TrainError;
use crate::loader::Numbered;

/// The stage's texts, for [`Reading`](crate::reading::Reading).
pub(crate) struct Read {
    config: ScenesConfig,
    texts: Arc<Texts>,
    /// The group drawn last: several batches are cut from it.
    drawn: Mutex<Option<(u64, Vec<TrainRow>)>>,
}

/// Batches whose documents are drawn together and dealt by length, so that little of a batch is
/// padding. A power of two.
const GROUP: u64 = 4;

impl Read {
    pub(crate) fn new(config: ScenesConfig, texts: Arc<Texts>) -> Self {
        Self {
            config,
            texts,
            drawn: Mutex::new(None),
        }
    }

    /// The documents of a group, shortest first.
    fn documents(&self, group: u64, count: u64) -> Vec<TrainRow> {
        let mut documents: Vec<TrainRow> = (group * count..(group + 1) * count)
            .map(|index| {
                let scene = scene(self.config.seed, Use::Read, index);
                let mut rng = ChaCha8Rng::seed_from_u64(scene.seed ^ 0x7ead);
                self.texts.document(&scene, &mut rng)
            })
            .collect();
        documents.sort_by_key(|document| document.ids.len());
        documents
    }
}

impl Numbered for Read {
    type Batch = Vec<TrainRow>;

    fn batch(&self, step: u64) -> Result<Vec<TrainRow>, TrainError> {
        let n = self.config.read.batch;
        let group = step / GROUP;
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let documents = match drawn.take() {
            Some((of, documents)) if of == group => documents,
            _ => self.documents(group, n as u64 * GROUP),
        };
        // Which of the group comes first differs from group to group.
        let turn = (group.wrapping_mul(0x9e37_79b9) >> 7) % GROUP;
        let at = ((step % GROUP) ^ turn) as usize * n;
        let batch = documents.iter().skip(at).take(n).cloned().collect();
        *drawn = Some((group, documents));
        Ok(batch)
    }
}
