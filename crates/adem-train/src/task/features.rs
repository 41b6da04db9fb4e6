//! The features of a data set's pictures, computed once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adem_data::datasets::{Batch, LoadPlan, PicturePlan};
use adem_data::rows::Truncation;
use adem_model::RandomInit;
use adem_model::nn::Builder;
use adem_model::vision::ClipVision;
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::json;

use super::cache::{FeatureCache, Kept};
use super::feed::{Feed, pictures};
use super::prepared::Prepared;
use super::run::Reporter;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::loader::cores;
use crate::stage::Start;
use crate::weights::{Layers, WeightFiles};

/// Time between two words about how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Pictures of a batch that is read.
const BATCH: usize = 16;

/// Fills caches with the features of a data set's pictures.
pub(crate) struct Filling<'a> {
    pub prepared: &'a Prepared,
    /// What becomes of the pictures.
    pub planes: PicturePlan,
    /// Where the encoder is.
    pub device: Device,
    pub report: &'a Reporter,
    /// Ends the work after the picture at hand.
    pub stop: &'a AtomicBool,
}

impl Filling<'_> {
    /// Adds the features of all pictures that are not there yet; `encode` makes `[1, tokens, width]`
    /// of a picture `[1, 3, side, side]`. False when it was stopped: the next time goes on.
    pub(crate) fn fill(
        &self,
        cache: &FeatureCache,
        encode: impl Fn(Tensor<4>) -> Tensor<3>,
    ) -> Result<bool, TrainError> {
        let missing = self.missing(cache)?;
        if missing == 0 {
            return Ok(true);
        }
        let side = self.planes.size as usize;
        let each = 3 * side * side;
        let (started, mut told, mut done) = (Instant::now(), Instant::now(), 0);
        let mut feed = self.feed(Some(self.planes))?;
        while let Some(batch) = feed.next_or_end()? {
            for (example, own) in batch.examples.iter().zip(batch.pixels.chunks(each)) {
                let id = &example.sample.id;
                if !example.has_picture || cache.holds(id) {
                    continue;
                }
                let data = TensorData::new(own.to_vec(), [1, 3, side, side]);
                let values = encode(Tensor::from_data(data, &self.device))
                    .try_into_data()
                    .map_err(|e| TrainError::Read(e.to_string()))?
                    .try_to_vec::<f32>()
                    .map_err(|e| TrainError::Read(format!("{e:?}")))?;
                cache.add(id, &values)?;
                done += 1;
                if told.elapsed() >= TELL_EVERY {
                    told = Instant::now();
                    let rate = done as f64 / started.elapsed().as_secs_f64();
                    (self.report)(&format!("{done} of {missing} pictures, {rate:.1} a second"));
                }
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
            }
        }
        cache.sync()?;
        Ok(true)
    }

    /// How many pictures have no features; none is decoded for it.
    fn missing(&self, cache: &FeatureCache) -> Result<usize, TrainError> {
        let mut feed = self.feed(None)?;
        let mut names = std::collections::BTreeSet::new();
        while let Some(batch) = feed.next_or_end()? {
            for example in batch.examples {
                if example.has_picture && !cache.holds(&example.sample.id) {
                    names.insert(example.sample.id);
                }
            }
        }
        Ok(names.len())
    }

    /// The data set once, in its own order.
    fn feed(&self, planes: Option<PicturePlan>) -> Result<Feed<Batch>, TrainError> {
        let p = self.prepared;
        let encoder = p.language.encoder(
            p.model.llama.max_seq_len,
            0,
            Truncation::KeepEos,
            p.data.config.caption_style,
        );
        let plan = LoadPlan {
            shuffle: false,
            epochs: Some(1),
            pool: 1,
            batch: BATCH,
            ..LoadPlan::default()
        };
        let start = Start {
            threads: cores(),
            ..Start::default()
        };
        Feed::new(&p.data, encoder, planes, &plan, &start, Ok)
    }
}

/// The frozen encoder's features of all pictures of the data set: those that are not there yet are
/// computed. `None` when the run was stopped.
pub(crate) fn frozen_features(
    p: &mut Prepared,
    frozen: &[Tensors],
    folder: &Path,
    device: &Device,
    report: &Reporter,
    stop: &AtomicBool,
) -> Result<Option<FeatureCache>, TrainError> {
    let c = &p.config;
    let clip = &p.model.clip;
    let depends_on = json!({
        "weights": p.files.as_ref().map(WeightFiles::fingerprint), "see": c.see,
        "seed": c.see.as_ref().map(|_| c.seed), "clip": clip, "normalisation": c.normalisation,
        "data": c.see.as_ref().map(|_| p.data.source.name()),
        "precision": c.weights.precision,
    });
    let shape = [1 + clip.grid() * clip.grid(), clip.width];
    let depends_on = depends_on.to_string();
    let cache = FeatureCache::open(folder, "features", &depends_on, shape, Kept::Single)?;
    let device = device.clone().inner();
    let mut source = Layers {
        trained: frozen.to_vec(),
        files: p.files.as_mut(),
        random: RandomInit::new(c.seed),
        may_draw: |_| false,
    };
    let mut b = Builder::new(&mut source, &device).with_frozen(c.weights.precision.dtype());
    let visual = ClipVision::new(&mut b, "backbone.visual", &p.model)
        .map_err(|e| TrainError::Model(e.into()))?;
    let filling = Filling {
        planes: pictures(&p.config, &p.data),
        prepared: p,
        device,
        report,
        stop,
    };
    let whole = filling.fill(&cache, |picture| visual.forward(picture, None))?;
    Ok(whole.then_some(cache))
}
