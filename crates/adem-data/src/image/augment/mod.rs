//! Random changes of training pictures: a crop, a flip, and RandAugment's operations.

mod operations;

use ::image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::resize_bicubic;
use crate::dice::Dice;
use operations::Operation;

/// Tries at a crop of the wanted area and aspect before the middle of the picture is taken.
const TRIES: usize = 10;

/// How training pictures are changed. The default is the COCO recipe of BLIP and ADEM-VL.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Least and greatest share of the picture's area that a crop keeps, in 0..=1.
    pub scale: [f32; 2],
    /// Least and greatest width over height of a crop, before it is resized to a square.
    pub ratio: [f32; 2],
    /// Probability of a flip from left to right.
    pub flip: f32,
    /// Operations drawn from RandAugment's ten (arXiv 1909.13719), each done with probability 0.5.
    pub operations: usize,
    /// Strength of the operations, in 0..=10.
    pub magnitude: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            scale: [0.5, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            operations: 2,
            magnitude: 5.0,
        }
    }
}

/// A setting of [`Augment`] that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("augment.{field} {message}")]
pub struct AugmentError {
    /// Name of the setting.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

/// A rectangle of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Crop {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

impl Augment {
    /// Refuses impossible settings.
    ///
    /// # Errors
    /// [`AugmentError`].
    pub fn validate(&self) -> Result<(), AugmentError> {
        let refuse = |field, message: String| Err(AugmentError { field, message });
        let [least, most] = self.scale;
        if !(least > 0.0 && least <= most && most <= 1.0) {
            return refuse(
                "scale",
                format!("is [{least}, {most}], must be two shares in 0..1, the least first"),
            );
        }
        let [least, most] = self.ratio;
        if !(least > 0.0 && least <= most && most.is_finite()) {
            return refuse(
                "ratio",
                format!("is [{least}, {most}], must be two aspects above 0, the least first"),
            );
        }
        if !(0.0..=1.0).contains(&self.flip) {
            return refuse("flip", format!("is {}, must be in 0..=1", self.flip));
        }
        if !(0.0..=10.0).contains(&self.magnitude) {
            return refuse(
                "magnitude",
                format!("is {}, must be in 0..=10", self.magnitude),
            );
        }
        Ok(())
    }

    /// A changed picture of `size` x `size` pixels; the same for the same `seed`.
    ///
    /// The crop is torchvision's `RandomResizedCrop` (area uniform, aspect uniform in its logarithm),
    /// resized by Pillow's bicubic; then the flip; then the operations, on the resized picture.
    pub fn apply(&self, image: &RgbImage, size: u32, seed: u64) -> RgbImage {
        let mut dice = Dice::new(seed, 0u64);
        let crop = self.crop(image.width(), image.height(), &mut dice);
        let mut picture = if (crop.width, crop.height) == image.dimensions() {
            resize_bicubic(image, size, size)
        } else {
            let part = imageops::crop_imm(image, crop.left, crop.top, crop.width, crop.height);
            resize_bicubic(&part.to_image(), size, size)
        };
        if dice.chance(self.flip) {
            imageops::flip_horizontal_in_place(&mut picture);
        }
        for _ in 0..self.operations {
            let operation = dice.pick(&Operation::ALL);
            let (done, negated) = (dice.chance(0.5), dice.chance(0.5));
            if let (Some(operation), true) = (operation, done) {
                picture = operation.apply(picture, self.magnitude / 10.0, negated);
            }
        }
        picture
    }

    fn crop(&self, width: u32, height: u32, dice: &mut Dice) -> Crop {
        let (w, h) = (f64::from(width), f64::from(height));
        let [least, most] = self.ratio.map(f64::from);
        for _ in 0..TRIES {
            let area = w * h * f64::from(dice.within(self.scale.into()));
            let share = f64::from(dice.unit());
            let aspect = (least.ln() + (most.ln() - least.ln()) * share).exp();
            let (cw, ch) = ((area * aspect).sqrt(), (area / aspect).sqrt());
            let (cw, ch) = (cw.round_ties_even() as u32, ch.round_ties_even() as u32);
            if (1..=width).contains(&cw) && (1..=height).contains(&ch) {
                return Crop {
                    left: dice.below((width - cw) as usize + 1) as u32,
                    top: dice.below((height - ch) as usize + 1) as u32,
                    width: cw,
                    height: ch,
                };
            }
        }
        // The whole picture, or its middle where it is too wide or too tall.
        let aspect = w / h;
        let (cw, ch) = if aspect < least {
            (width, (w / least).round_ties_even() as u32)
        } else if aspect > most {
            ((h * most).round_ties_even() as u32, height)
        } else {
            (width, height)
        };
        let (cw, ch) = (cw.clamp(1, width), ch.clamp(1, height));
        Crop {
            left: (width - cw) / 2,
            top: (height - ch) / 2,
            width: cw,
            height: ch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_crop_lies_inside_and_keeps_the_wanted_area(
            width in 1u32..700, height in 1u32..700, seed: u64
        ) {
            let augment = Augment::default();
            let crop = augment.crop(width, height, &mut Dice::new(seed, 0u64));
            prop_assert!(crop.width >= 1 && crop.left + crop.width <= width);
            prop_assert!(crop.height >= 1 && crop.top + crop.height <= height);
            // Rounding to whole pixels aside.
            if width.min(height) > 50 && width.max(height) < 2 * width.min(height) {
                let share = f64::from(crop.width * crop.height) / f64::from(width * height);
                prop_assert!(share > 0.48, "{share}");
                let aspect = f64::from(crop.width) / f64::from(crop.height);
                prop_assert!((0.7..1.4).contains(&aspect), "{aspect}");
            }
        }
    }
}
