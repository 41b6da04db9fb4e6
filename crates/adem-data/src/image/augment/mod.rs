//! Random changes of training pictures: a crop, a flip, light and colour, and RandAugment's
//! operations.

mod jitter;
mod operations;

use ::image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

use super::resize_bicubic;
use crate::dice::Dice;
use jitter::Change;
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
    /// Most that the light changes, a share in 0..=1: it is multiplied by a number drawn from
    /// `1 - brightness ..= 1 + brightness`, as torchvision's `ColorJitter` does.
    #[serde(skip_serializing_if = "is_zero")]
    pub brightness: f32,
    /// Most that the distance from the picture's mean grey changes, as a share in 0..=1.
    #[serde(skip_serializing_if = "is_zero")]
    pub contrast: f32,
    /// Most that the distance from each pixel's own grey changes, as a share in 0..=1.
    #[serde(skip_serializing_if = "is_zero")]
    pub saturation: f32,
}

fn is_zero(share: &f32) -> bool {
    *share == 0.0
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            scale: [0.5, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            flip: 0.5,
            operations: 2,
            magnitude: 5.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
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

/// Which part of a picture is seen, and which way round.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// Left edge, upper edge, width and height, as shares of the whole picture's.
    pub part: [f32; 4],
    /// Whether left and right have changed places, after the part was cut out.
    pub flipped: bool,
}

impl View {
    /// The picture as it is.
    pub const WHOLE: Self = Self {
        part: [0.0, 0.0, 1.0, 1.0],
        flipped: false,
    };
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
        for (field, share) in [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return refuse(field, format!("is {share}, must be in 0..=1"));
            }
        }
        Ok(())
    }

    /// A changed picture of `size` x `size` pixels, and what it shows of the given one as far as crop
    /// and flip go; the same for the same `seed`.
    ///
    /// The crop is torchvision's `RandomResizedCrop` (area uniform, aspect uniform in its logarithm),
    /// resized by Pillow's bicubic; then the flip; then brightness, contrast and saturation in an
    /// order that is drawn, too; then the operations, on the resized picture.
    pub fn apply(&self, image: &RgbImage, size: u32, seed: u64) -> (RgbImage, View) {
        let mut dice = Dice::new(seed, 0u64);
        let crop = self.crop(image.width(), image.height(), &mut dice);
        let mut picture = if (crop.width, crop.height) == image.dimensions() {
            resize_bicubic(image, size, size)
        } else {
            let part = imageops::crop_imm(image, crop.left, crop.top, crop.width, crop.height);
            resize_bicubic(&part.to_image(), size, size)
        };
        let flipped = dice.chance(self.flip);
        if flipped {
            imageops::flip_horizontal_in_place(&mut picture);
        }
        self.jitter(&mut picture, seed);
        for _ in 0..self.operations {
            let operation = dice.pick(&Operation::ALL);
            let (done, negated) = (dice.chance(0.5), dice.chance(0.5));
            if let (Some(operation), true) = (operation, done) {
                picture = operation.apply(picture, self.magnitude / 10.0, negated);
            }
        }
        let (width, height) = (image.width() as f32, image.height() as f32);
        let part = [
            crop.left as f32 / width,
            crop.top as f32 / height,
            crop.width as f32 / width,
            crop.height as f32 / height,
        ];
        (picture, View { part, flipped })
    }

    /// Light and colour. Their draws are apart from all others, so that the same crops come out
    /// with them and without.
    fn jitter(&self, picture: &mut RgbImage, seed: u64) {
        let mut changes = vec![
            (Change::Brightness, self.brightness),
            (Change::Contrast, self.contrast),
            (Change::Saturation, self.saturation),
        ];
        changes.retain(|(_, share)| *share > 0.0);
        let mut dice = Dice::new(seed, 1u64);
        while !changes.is_empty() {
            let (change, share) = changes.swap_remove(dice.below(changes.len()));
            change.apply(picture, dice.within((1.0 - share, 1.0 + share)));
        }
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
    use ::image::Rgb;
    use proptest::prelude::*;

    use super::*;

    fn picture() -> RgbImage {
        RgbImage::from_fn(40, 20, |x, y| Rgb([x as u8 * 6, y as u8 * 12, 40]))
    }

    #[test]
    fn the_view_says_what_is_seen() {
        let augment = Augment {
            scale: [0.2, 0.6],
            flip: 0.5,
            operations: 0,
            ..Augment::default()
        };
        let mut flips = 0;
        for seed in 0..40 {
            let (seen, view) = augment.apply(&picture(), 16, seed);
            let [left, top, width, height] = view.part;
            let column = |x: f32| if view.flipped { 15.0 - x } else { x };
            // Away from the edges a ramp is what it was, at the place that the view names.
            for (x, y) in [(5.0, 5.0), (10.0, 6.0), (7.0, 9.0)] {
                let Rgb([red, green, _]) = *seen.get_pixel(column(x) as u32, y as u32);
                let wanted_x = (left + width * (x + 0.5) / 16.0) * 40.0 - 0.5;
                let wanted_y = (top + height * (y + 0.5) / 16.0) * 20.0 - 0.5;
                assert!(
                    (f32::from(red) - 6.0 * wanted_x).abs() < 2.0,
                    "{seed} {view:?}"
                );
                assert!(
                    (f32::from(green) - 12.0 * wanted_y).abs() < 2.0,
                    "{seed} {view:?}"
                );
            }
            flips += usize::from(view.flipped);
        }
        assert!((5..35).contains(&flips), "{flips}");
    }

    #[test]
    fn colours_change_and_places_do_not() {
        let plain = Augment {
            operations: 0,
            ..Augment::default()
        };
        let jittered = Augment {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            ..plain
        };
        assert!(jittered.validate().is_ok());
        for seed in 0..10 {
            let (a, view) = plain.apply(&picture(), 8, seed);
            let (b, same) = jittered.apply(&picture(), 8, seed);
            assert_eq!(view, same);
            assert_ne!(a, b);
        }
        let wrong = Augment {
            contrast: 1.5,
            ..plain
        };
        assert_eq!(wrong.validate().map_err(|e| e.field), Err("contrast"));
    }

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
