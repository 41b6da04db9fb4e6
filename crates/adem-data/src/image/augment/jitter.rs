//! Random light and colour, as Pillow's `ImageEnhance` and torchvision's `ColorJitter` change them.

use ::image::{Rgb, RgbImage};

/// One way to change light or colour: towards (factor below 1) or away from something without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// From black.
    Brightness,
    /// From the picture's mean grey.
    Contrast,
    /// From each pixel's own grey.
    Saturation,
}

impl Change {
    pub(super) fn apply(self, image: &mut RgbImage, factor: f32) {
        let mean = match self {
            Self::Contrast => mean_grey(image),
            _ => 0.0,
        };
        for pixel in image.pixels_mut() {
            let from = match self {
                Self::Saturation => f32::from(grey(*pixel)),
                _ => mean,
            };
            for sample in &mut pixel.0 {
                let value = from + factor * (f32::from(*sample) - from);
                *sample = value.clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// ITU-R 601-2 luma, in Pillow's fixed point.
fn grey(Rgb([red, green, blue]): Rgb<u8>) -> u8 {
    let sum = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

/// Rounded to a whole number, as Pillow takes it.
fn mean_grey(image: &RgbImage) -> f32 {
    let sum: u64 = image.pixels().map(|pixel| u64::from(grey(*pixel))).sum();
    let count = u64::from(image.width()) * u64::from(image.height());
    (sum as f32 / count.max(1) as f32).round()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Pillow 11.3's `ImageEnhance` by hand: grey of (200, 100, 50) is 124, of (0, 0, 100)
    /// 11, their mean 67.5, rounded to 68.
    #[test]
    fn changes_are_pillows() {
        let image = || {
            RgbImage::from_fn(2, 1, |x, _| {
                [Rgb([200, 100, 50]), Rgb([0, 0, 100])][x as usize]
            })
        };
        let changed = |change: Change, factor| {
            let mut image = image();
            change.apply(&mut image, factor);
            [image.get_pixel(0, 0).0, image.get_pixel(1, 0).0]
        };
        assert_eq!(
            changed(Change::Brightness, 0.5),
            [[100, 50, 25], [0, 0, 50]]
        );
        assert_eq!(
            changed(Change::Brightness, 1.5),
            [[255, 150, 75], [0, 0, 150]]
        );
        assert_eq!(
            changed(Change::Contrast, 0.5),
            [[134, 84, 59], [34, 34, 84]]
        );
        assert_eq!(changed(Change::Saturation, 0.0), [[124; 3], [11; 3]]);
        assert_eq!(
            changed(Change::Saturation, 0.5),
            [[162, 112, 87], [5, 5, 55]]
        );
        for change in [Change::Brightness, Change::Contrast, Change::Saturation] {
            assert_eq!(
                changed(change, 1.0),
                [[200, 100, 50], [0, 0, 100]],
                "{change:?}"
            );
        }
    }
}
