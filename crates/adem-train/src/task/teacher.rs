//! A vision encoder that shows the one that learns what there is to see.

use std::path::Path;

use adem_data::datasets::{Example, PicturePlan};
use adem_data::image::{Limits, Normalisation};
use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig};
use adem_model::nn::Builder;
use adem_model::vision::{Block, ClipVision};
use adem_package::{Folder, MANIFEST_FILE, Package};
use burn::tensor::{Tensor, TensorData};
use serde_json::json;

use super::cache::{FeatureCache, Kept};
use super::config::TeacherConfig;
use super::features::Filling;
use super::view::resample;
use crate::error::TrainError;
use crate::weights::WeightFiles;

/// Least deviation that a channel is divided by.
const LEAST: f64 = 1e-6;

/// The teacher's package, open.
pub(crate) struct TeacherFiles {
    weights: WeightFiles,
    model: ModelConfig,
    normalisation: Normalisation,
}

impl TeacherFiles {
    /// Opens the package and looks at what it says.
    ///
    /// # Errors
    /// [`TrainError::Package`] for a folder that is no package, [`TrainError::File`] for one without
    /// a vision encoder, [`TrainError::Model`] for sizes that cannot be.
    pub(crate) fn open(config: &TeacherConfig) -> Result<Self, TrainError> {
        let folder: &Path = &config.package;
        let package = pollster::block_on(Package::open(Folder::new(folder)))?;
        let manifest = package.manifest();
        let fail = |message: String| TrainError::file(folder.join(MANIFEST_FILE), message);
        let Some(clip) = manifest.model.get("clip") else {
            return Err(fail("describes no vision encoder (model.clip)".to_owned()));
        };
        let clip: ClipConfig =
            serde_json::from_value(clip.clone()).map_err(|e| fail(format!("model.clip: {e}")))?;
        if clip.image_size != manifest.image.size as usize {
            return Err(fail(format!(
                "its pictures have {} pixels a side, its encoder (model.clip.image_size) wants {}",
                manifest.image.size, clip.image_size
            )));
        }
        let model = ModelConfig {
            clip,
            adem: AdemConfig {
                clip_adapter_dim: 0,
                ..AdemConfig::default()
            },
            ..ModelConfig::default()
        };
        model.validate()?;
        Ok(Self {
            weights: WeightFiles::open(&[folder.to_owned()])?,
            normalisation: Normalisation {
                mean: manifest.image.mean,
                std: manifest.image.std,
            },
            model,
        })
    }

    /// Tells encoders apart.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.weights.fingerprint()
    }

    /// Channels of its features.
    pub(crate) fn width(&self) -> usize {
        self.model.clip.width
    }

    /// What becomes of pictures before it sees them: they are seen whole.
    pub(crate) fn planes(&self) -> PicturePlan {
        PicturePlan {
            size: self.model.clip.image_size as u32,
            normalisation: self.normalisation,
            augment: None,
            limits: Limits::default(),
        }
    }

    /// The teacher with what it sees in all pictures of the data set; those that are not in its
    /// cache in `folder` are looked at now. `None` when it was stopped.
    ///
    /// # Errors
    /// [`TrainError::Model`] for weights of other sizes than the package says.
    pub(crate) fn teach(
        mut self,
        filling: &Filling,
        folder: &Path,
    ) -> Result<Option<Teacher>, TrainError> {
        let (clip, data) = (&self.model.clip, filling.prepared.data.source.name());
        let depends_on = json!({
            "weights": self.weights.fingerprint(), "clip": clip, "data": data,
            "normalisation": [self.normalisation.mean, self.normalisation.std],
        });
        let (grid, width) = (clip.grid(), clip.width);
        let cache = FeatureCache::open(
            folder,
            "teacher",
            &depends_on.to_string(),
            [1 + grid * grid, width],
            Kept::Half,
        )?;
        let mut b = Builder::new(&mut self.weights, &filling.device);
        let visual = ClipVision::new(&mut b, "backbone.visual", &self.model)
            .map_err(|e| TrainError::Model(e.into()))?;
        match filling.fill(&cache, |picture| look(&visual, picture))? {
            false => Ok(None),
            true => Teacher::new(cache, grid, width).map(Some),
        }
    }
}

/// What the teacher sees, `[n, 1 + G*G, width]`: [cls] as the last block leaves it and the patches
/// as that block reads them, both normed. (Nothing asks an encoder trained to name pictures for the
/// patches after its last block: their last change is whatever [cls] needed.)
fn look(visual: &ClipVision, pixels: Tensor<4>) -> Tensor<3> {
    let blocks = &visual.transformer.resblocks;
    let (early, last) = blocks.split_at(blocks.len().saturating_sub(1));
    let run = |x, blocks: &[Block]| blocks.iter().fold(x, |x, block| block.forward(x, None));
    let read = run(visual.embed(pixels), early);
    let left = run(read.clone(), last);
    let tokens = read.dims()[1];
    let (cls, patches) = (left.narrow(1, 0, 1), read.narrow(1, 1, tokens - 1));
    visual.ln_post.forward(Tensor::cat(vec![cls, patches], 1))
}

/// What was seen of all pictures, each channel with mean 0 and deviation 1 over them.
#[derive(Debug)]
pub(crate) struct Teacher {
    cache: FeatureCache,
    grid: usize,
    width: usize,
    cls: Standard,
    patches: Standard,
}

impl Teacher {
    fn new(cache: FeatureCache, grid: usize, width: usize) -> Result<Self, TrainError> {
        let (mut cls, mut patches) = (Sums::new(width), Sums::new(width));
        cache.each(|values| {
            let (first, rest) = values.split_at(width.min(values.len()));
            cls.add(first);
            rest.chunks(width).for_each(|cell| patches.add(cell));
        })?;
        Ok(Self {
            cls: cls.standard(),
            patches: patches.standard(),
            cache,
            grid,
            width,
        })
    }

    /// What is to be seen in rows of a batch whose grid has `side` cells along each side:
    /// `[n, 1 + side*side, width]`; zeros, the mean, for a row without a picture.
    pub(crate) fn show(&self, examples: &[Example], side: usize) -> Result<TensorData, TrainError> {
        let tokens = 1 + side * side;
        let mut values = Vec::with_capacity(examples.len() * tokens * self.width);
        for example in examples {
            if !example.has_picture {
                values.resize(values.len() + tokens * self.width, 0.0);
                continue;
            }
            let seen = self.cache.of(&example.sample.id)?;
            let (cls, cells) = seen.split_at(self.width.min(seen.len()));
            let cells = resample(cells, self.grid, self.width, &example.view, side);
            self.cls.append(cls, &mut values);
            self.patches.append(&cells, &mut values);
        }
        Ok(TensorData::new(
            values,
            [examples.len(), tokens, self.width],
        ))
    }
}

/// Mean and deviation of each channel.
#[derive(Debug, Clone, PartialEq)]
struct Standard {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Standard {
    fn append(&self, cells: &[f32], to: &mut Vec<f32>) {
        for cell in cells.chunks(self.mean.len().max(1)) {
            let channels = cell.iter().zip(self.mean.iter().zip(&self.deviation));
            to.extend(channels.map(|(value, (mean, deviation))| (value - mean) / deviation));
        }
    }
}

/// Sums of what was shown, by channel.
struct Sums {
    count: f64,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Sums {
    fn new(width: usize) -> Self {
        Self {
            count: 0.0,
            first: vec![0.0; width],
            second: vec![0.0; width],
        }
    }

    fn add(&mut self, cell: &[f32]) {
        self.count += 1.0;
        let sums = self.first.iter_mut().zip(&mut self.second);
        for (value, (first, second)) in cell.iter().zip(sums) {
            let value = f64::from(*value);
            *first += value;
            *second += value * value;
        }
    }

    fn standard(&self) -> Standard {
        let count = self.count.max(1.0);
        let channels = self.first.iter().zip(&self.second);
        let both = channels.map(|(first, second)| {
            let mean = first / count;
            let variance = (second / count - mean * mean).max(0.0);
            (mean as f32, variance.sqrt().max(LEAST) as f32)
        });
        let (mean, deviation) = both.unzip();
        Standard { mean, deviation }
    }
}

/// Smooth L1 (arXiv 1504.08083) of what is seen against what the teacher shows, both
/// `[n, 1 + G*G, width]`: the mean of that of [cls] and that of the patches.
///
/// Squared up to two deviations, as in arXiv 2205.14141: standardised channels still have tails,
/// which a squared error would spend the small encoder on; and unlike a cosine it wants each
/// channel at its height, so that what is faint in all pictures is learned, too.
pub(crate) fn lesson(seen: Tensor<3>, shown: Tensor<3>) -> Tensor<1> {
    const BEND: f64 = 2.0;
    let tokens = seen.dims()[1];
    let apart = (seen - shown).abs();
    let inner = apart.clone().clamp_max(BEND);
    // |d| - b/2 beyond the bend, d^2 / 2b before it.
    let each = inner.clone() * (apart - inner.clone() * 0.5) / BEND;
    let cls = each.clone().narrow(1, 0, 1).mean();
    (cls + each.narrow(1, 1, tokens - 1).mean()) * 0.5
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn channels_have_mean_0_and_deviation_1_over_the_data() {
        let mut sums = Sums::new(2);
        for cell in [[1.0, 5.0], [3.0, 5.0]] {
            sums.add(&cell);
        }
        let standard = sums.standard();
        assert_eq!(standard.mean, [2.0, 5.0]);
        let mut out = Vec::new();
        standard.append(&[1.0, 5.0, 3.0, 5.0, 2.0, 5.0], &mut out);
        assert_eq!(out, [-1.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }

    /// 1 apart: 1 / 4; 3 apart: 2 * (3 - 1) / 2 = 2; [cls] counts as much as all patches.
    #[test]
    fn the_lesson_is_smooth_l1_by_hand() {
        let device = Device::flex();
        let seen = TensorData::new(vec![1.0f32, 0.0, -3.0], [1, 3, 1]);
        let shown = TensorData::new(vec![0.0f32, 0.0, 0.0], [1, 3, 1]);
        let loss = lesson(
            Tensor::from_data(seen, &device),
            Tensor::from_data(shown, &device),
        );
        let loss = loss.into_data().try_to_vec::<f32>().unwrap();
        assert!((loss[0] - (0.25 + 1.0) / 2.0).abs() < 1e-6, "{loss:?}");
    }
}
