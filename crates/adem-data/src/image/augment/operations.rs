//! RandAugment's operations on 8-bit RGB, with the strengths of BLIP's recipe.

use ::image::{Rgb, RgbImage};

/// What shows where a picture was moved away.
const FILL: f32 = 128.0;
/// Largest move of a translation, in pixels; largest shear; largest rotation, in degrees.
const MOVE: f32 = 10.0;
const SHEAR: f32 = 0.3;
const TURN: f32 = 30.0;

/// One way to change a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Identity,
    AutoContrast,
    Brightness,
    Sharpness,
    Equalize,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
}

impl Operation {
    /// Those of the recipe.
    pub(super) const ALL: [Self; 10] = [
        Self::Identity,
        Self::AutoContrast,
        Self::Brightness,
        Self::Sharpness,
        Self::Equalize,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
    ];

    /// The changed picture. `strength` is in 0..=1; `negated` turns moves, shears and rotations the
    /// other way.
    pub(super) fn apply(self, image: RgbImage, strength: f32, negated: bool) -> RgbImage {
        let signed = if negated { -strength } else { strength };
        let factor = strength * 1.8 + 0.1;
        match self {
            Self::Identity => image,
            Self::AutoContrast => by_table(image, auto_contrast),
            Self::Equalize => by_table(image, equalize),
            Self::Brightness => {
                by_table(image, |_| std::array::from_fn(|x| clip(x as f32 * factor)))
            }
            Self::Sharpness => sharpen(&image, factor),
            Self::ShearX => warp(&image, |x, y| (x - signed * SHEAR * y, y)),
            Self::ShearY => warp(&image, |x, y| (x, y - signed * SHEAR * x)),
            Self::TranslateX => warp(&image, |x, y| (x + signed * MOVE, y)),
            Self::TranslateY => warp(&image, |x, y| (x, y + signed * MOVE)),
            Self::Rotate => {
                let (sin, cos) = (signed * TURN).to_radians().sin_cos();
                let (cx, cy) = (image.width() as f32 / 2.0, image.height() as f32 / 2.0);
                warp(&image, |x, y| {
                    let (x, y) = (x - cx, y - cy);
                    (cos * x - sin * y + cx, sin * x + cos * y + cy)
                })
            }
        }
    }
}

/// Fractions are dropped, as NumPy's cast drops them.
fn clip(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as u8
}

/// Maps every sample through its channel's table, which `table` makes of the channel's histogram.
fn by_table(mut image: RgbImage, table: impl Fn(&[u32; 256]) -> [u8; 256]) -> RgbImage {
    let mut counts = [[0u32; 256]; 3];
    for Rgb(pixel) in image.pixels() {
        for (channel, &sample) in pixel.iter().enumerate() {
            counts[channel][usize::from(sample)] += 1;
        }
    }
    let tables = counts.each_ref().map(table);
    for Rgb(pixel) in image.pixels_mut() {
        for (channel, sample) in pixel.iter_mut().enumerate() {
            *sample = tables[channel][usize::from(*sample)];
        }
    }
    image
}

/// Stretches the channel to 0..=255 (Pillow's `ImageOps.autocontrast`).
fn auto_contrast(counts: &[u32; 256]) -> [u8; 256] {
    let low = counts.iter().position(|&n| n > 0).unwrap_or(0);
    let high = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
    if high <= low {
        return std::array::from_fn(|x| x as u8);
    }
    let scale = 255.0 / (high - low) as f64;
    let offset = -(low as f64) * scale;
    std::array::from_fn(|x| (x as f64 * scale + offset).clamp(0.0, 255.0) as u8)
}

/// Evens the channel's histogram out (Pillow's `ImageOps.equalize`).
fn equalize(counts: &[u32; 256]) -> [u8; 256] {
    let last = counts.iter().rposition(|&n| n > 0).unwrap_or(0);
    let step = counts[..last].iter().sum::<u32>() / 255;
    if step == 0 {
        return std::array::from_fn(|x| x as u8);
    }
    let mut sum = step / 2;
    std::array::from_fn(|x| {
        let level = (sum / step).min(255) as u8;
        sum += counts[x];
        level
    })
}

/// Moves every sample away from (factor above 1) or towards the mean of its surroundings; the
/// outermost pixels stay.
fn sharpen(image: &RgbImage, factor: f32) -> RgbImage {
    let mut out = image.clone();
    for y in 1..image.height().saturating_sub(1) {
        for x in 1..image.width().saturating_sub(1) {
            for channel in 0..3 {
                let at = |x, y| f32::from(image.get_pixel(x, y)[channel]);
                let mut sum = 4.0 * at(x, y);
                for dy in 0..3 {
                    for dx in 0..3 {
                        sum += at(x + dx - 1, y + dy - 1);
                    }
                }
                let smooth = (sum / 13.0).round();
                out.get_pixel_mut(x, y)[channel] = clip(smooth + factor * (at(x, y) - smooth));
            }
        }
    }
    out
}

/// Each pixel taken, bilinearly, from where `source` says that it comes from.
fn warp(image: &RgbImage, source: impl Fn(f32, f32) -> (f32, f32)) -> RgbImage {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let sample = |x: i64, y: i64, channel: usize| {
        if (0..width).contains(&x) && (0..height).contains(&y) {
            f32::from(image.get_pixel(x as u32, y as u32)[channel])
        } else {
            FILL
        }
    };
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (x, y) = source(x as f32, y as f32);
        let (left, top) = (x.floor(), y.floor());
        let (right, below) = (x - left, y - top);
        let (left, top) = (left as i64, top as i64);
        Rgb(std::array::from_fn(|channel| {
            let upper =
                sample(left, top, channel) * (1.0 - right) + sample(left + 1, top, channel) * right;
            let lower = sample(left, top + 1, channel) * (1.0 - right)
                + sample(left + 1, top + 1, channel) * right;
            clip((upper * (1.0 - below) + lower * below).round())
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> RgbImage {
        RgbImage::from_fn(16, 16, |x, y| Rgb([(x * 8 + 40) as u8, (y * 4) as u8, 9]))
    }

    #[test]
    fn strength_zero_moves_nothing() {
        for operation in [
            Operation::Identity,
            Operation::ShearX,
            Operation::ShearY,
            Operation::TranslateX,
            Operation::TranslateY,
            Operation::Rotate,
        ] {
            assert_eq!(operation.apply(ramp(), 0.0, true), ramp(), "{operation:?}");
        }
    }

    #[test]
    fn half_strength_leaves_light_and_edges_as_they_are() {
        for operation in [Operation::Brightness, Operation::Sharpness] {
            assert_eq!(operation.apply(ramp(), 0.5, false), ramp(), "{operation:?}");
        }
    }

    #[test]
    fn contrast_is_stretched_to_the_full_range_where_there_is_any() {
        let out = Operation::AutoContrast.apply(ramp(), 0.5, false);
        assert_eq!(out.get_pixel(0, 0).0, [0, 0, 9]);
        assert_eq!(out.get_pixel(15, 15).0, [255, 255, 9]);
    }

    #[test]
    fn a_histogram_is_evened_out_as_pillow_does() {
        // 300 pixels at 10, 300 at 20: step 300 / 255 = 1, so 10 becomes 0 and 20 becomes 255.
        let image = RgbImage::from_fn(60, 10, |x, _| Rgb([if x < 30 { 10 } else { 20 }; 3]));
        let out = Operation::Equalize.apply(image, 0.5, false);
        assert_eq!(out.get_pixel(0, 0).0, [0; 3]);
        assert_eq!(out.get_pixel(59, 0).0, [255; 3]);
    }

    #[test]
    fn a_translation_moves_by_whole_pixels_and_fills_with_grey() {
        let out = Operation::TranslateX.apply(ramp(), 0.5, false);
        assert_eq!(out.get_pixel(0, 3), ramp().get_pixel(5, 3));
        assert_eq!(out.get_pixel(15, 3).0, [128; 3]);
        let back = Operation::TranslateX.apply(ramp(), 0.5, true);
        assert_eq!(back.get_pixel(15, 3), ramp().get_pixel(10, 3));
        let down = Operation::TranslateY.apply(ramp(), 0.5, true);
        assert_eq!(down.get_pixel(3, 15), ramp().get_pixel(3, 10));
    }

    #[test]
    fn a_turn_there_and_back_keeps_the_middle() {
        let there = Operation::Rotate.apply(ramp(), 0.5, false);
        let back = Operation::Rotate.apply(there.clone(), 0.5, true);
        assert_ne!(there, ramp());
        for (x, y) in [(7, 7), (8, 9), (6, 8)] {
            for channel in 0..3 {
                let (a, b) = (
                    ramp().get_pixel(x, y)[channel],
                    back.get_pixel(x, y)[channel],
                );
                assert!(a.abs_diff(b) <= 2, "{x} {y}: {a} {b}");
            }
        }
    }
}
