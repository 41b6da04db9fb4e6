//! The features of a data set's pictures, computed once.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_data::datasets::LoadPlan;
use adem_model::RandomInit;
use adem_model::nn::Builder;
use adem_model::vision::ClipVision;
use burn::tensor::{Device, Tensor, TensorData};
use serde_json::json;

use super::cache::FeatureCache;
use super::feed::{Feed, pictures};
use super::prepared::Prepared;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::loader::cores;
use crate::stage::Start;
use crate::weights::{Layers, WeightFiles};

/// The features of all pictures of the data set: those that are not there yet are computed.
/// `None` when the run was stopped.
pub(crate) fn fill(
    p: &mut Prepared,
    frozen: &[Tensors],
    folder: &Path,
    device: &Device,
    stop: &AtomicBool,
) -> Result<Option<FeatureCache>, TrainError> {
    let c = &p.config;
    let clip = &p.model.clip;
    let depends_on = json!({
        "weights": p.files.as_ref().map(WeightFiles::fingerprint), "see": c.see,
        "seed": c.seed, "clip": clip, "normalisation": c.normalisation,
        "data": c.see.as_ref().map(|_| p.data.source.name()),
        "precision": c.weights.precision,
    });
    let fingerprint = depends_on
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    let shape = [1 + clip.grid() * clip.grid(), clip.width];
    let cache = FeatureCache::open(folder, fingerprint, shape)?;
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
    let encoder = p.language.encoder(
        c.tune.max_tokens,
        0,
        c.tune.truncation,
        p.data.config.caption_style,
    );
    let plan = LoadPlan {
        shuffle: false,
        epochs: Some(1),
        pool: 1,
        batch: 16,
        ..LoadPlan::default()
    };
    let start = Start {
        threads: cores(),
        ..Start::default()
    };
    let planes = pictures(c, &p.data);
    let mut feed = Feed::new(&p.data, encoder, Some(planes), &plan, &start, Ok)?;
    let side = clip.image_size;
    while let Some(batch) = feed.next_or_end()? {
        let each = 3 * side * side;
        for (i, example) in batch.examples.iter().enumerate() {
            let id = &example.sample.id;
            if !example.has_picture || cache.holds(id) {
                continue;
            }
            let own = batch
                .pixels
                .get(i * each..(i + 1) * each)
                .unwrap_or_default();
            let data = TensorData::new(own.to_vec(), [1, 3, side, side]);
            let features = visual.forward(Tensor::from_data(data, &device), None);
            let values = features
                .try_into_data()
                .map_err(|e| TrainError::Read(e.to_string()))?
                .try_to_vec::<f32>()
                .map_err(|e| TrainError::Read(format!("{e:?}")))?;
            cache.add(id, &values)?;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    Ok(Some(cache))
}
