//! 8-bit RGB to the planes a vision encoder takes.

use ::image::RgbImage;
use serde::{Deserialize, Serialize};

use super::resize_bicubic;

/// Per-channel mean and standard deviation, in units of 0..1, red first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Subtracted after scaling to 0..1.
    pub mean: [f32; 3],
    /// Divides after the subtraction.
    pub std: [f32; 3],
}

impl Normalisation {
    /// CLIP's constants, for captions.
    #[allow(clippy::excessive_precision)] // as published
    pub const CLIP: Self = Self {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_58, 0.275_777_11],
    };
    /// ImageNet's constants, for ScienceQA, instruction following and MME.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
}

/// `(x / 255 - mean) / std` in float32, in that order of operations (torchvision's `ToTensor` and
/// `Normalize`), as planes: `[3, height, width]`, red first.
pub fn normalise(image: &RgbImage, by: &Normalisation) -> Vec<f32> {
    let raw = image.as_raw();
    let mut planes = Vec::with_capacity(raw.len());
    for channel in 0..3 {
        // 256 possible inputs: a table gives the very same values without the divisions.
        let table: [f32; 256] =
            std::array::from_fn(|x| (x as f32 / 255.0 - by.mean[channel]) / by.std[channel]);
        let samples = raw.iter().skip(channel).step_by(3);
        planes.extend(samples.map(|&x| table[usize::from(x)]));
    }
    planes
}

/// The whole way from a decoded picture to the encoder's input: bicubic to `size` x `size` (aspect
/// not kept, no crop), then [`normalise`]. Returns `[3, size, size]`.
pub fn pixels(image: &RgbImage, size: u32, by: &Normalisation) -> Vec<f32> {
    normalise(&resize_bicubic(image, size, size), by)
}
