//! A picture as a report shows it: small, and with what the adaptive masking dropped of it.

use std::fmt;

use adem_data::image::{RgbImage, resize_bicubic};
use adem_pipeline::Sight;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;

/// Longer side of a picture on the page, pixels.
const SIDE: u32 = 192;
const QUALITY: u8 = 80;

/// A picture and what was looked at while its caption was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    jpeg: Vec<u8>,
    width: u32,
    height: u32,
    maps: Vec<Map>,
}

/// How often each visual token of a scale was kept, as a share of all words and blocks.
#[derive(Debug, Clone, PartialEq)]
struct Map {
    /// Tokens along a side.
    side: usize,
    /// Row by row, 0 to 1.
    kept: Vec<f32>,
}

impl Shown {
    /// A small copy of `picture` with a map for each of `scales` (visual tokens, each a square
    /// number) of what `sights`, one a word, kept; `None` where the copy cannot be encoded.
    pub fn new(picture: &RgbImage, sights: &[Sight], scales: &[usize]) -> Option<Self> {
        let (width, height) = picture.dimensions();
        let scale = f64::from(SIDE) / f64::from(width.max(height).max(1));
        let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
        let small = match scale < 1.0 {
            true => resize_bicubic(picture, side(width), side(height)),
            false => picture.clone(),
        };
        let (width, height) = small.dimensions();
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .write_image(&small, width, height, image::ExtendedColorType::Rgb8)
            .ok()?;
        Some(Self {
            jpeg,
            width,
            height,
            maps: maps(sights, scales),
        })
    }

    /// The picture for a page, described by `alt` (escaped already), then a copy under each map.
    /// What was dropped more often is darker.
    pub fn html(&self, alt: &str) -> String {
        let (w, h) = (self.width, self.height);
        let data = STANDARD.encode(&self.jpeg);
        let mut html = format!(
            "<div class=\"look\" style=\"--p:url(data:image/jpeg;base64,{data});--w:{w}px;--h:{h}px\">\n\
             <div role=\"img\" aria-label=\"{alt}\"></div>\n"
        );
        for map in &self.maps {
            html += &map.to_string();
        }
        html + "</div>\n"
    }
}

fn maps(sights: &[Sight], scales: &[usize]) -> Vec<Map> {
    let all: usize = scales.iter().sum();
    let rows = || {
        sights
            .iter()
            .flat_map(|s| s.scores.chunks_exact(all.max(1)))
    };
    let looks = rows().count();
    if looks == 0 || sights.iter().any(|sight| sight.tokens != all) {
        return Vec::new();
    }
    let mut first = 0;
    let mut maps = Vec::with_capacity(scales.len());
    for tokens in scales {
        let kept = (first..first + tokens).map(|token| {
            let kept = rows().filter(|row| !row[token].is_nan()).count();
            kept as f32 / looks as f32
        });
        maps.push(Map {
            side: tokens.isqrt(),
            kept: kept.collect(),
        });
        first += tokens;
    }
    maps
}

impl fmt::Display for Map {
    /// An SVG over the picture, a square for each token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, kept } = self;
        let least = kept.iter().copied().fold(1.0, f32::min);
        let most = kept.iter().copied().fold(0.0, f32::max);
        writeln!(
            f,
            "<div title=\"{side} x {side}: kept {:.0} to {:.0} % of the time\">\
             <svg viewBox=\"0 0 {side} {side}\" preserveAspectRatio=\"none\">",
            100.0 * least,
            100.0 * most
        )?;
        for (token, kept) in kept.iter().enumerate() {
            let dark = (most - kept) / (most - least).max(f32::EPSILON);
            let (x, y) = (token % side, token / side);
            writeln!(
                f,
                "<rect x=\"{x}\" y=\"{y}\" width=\"1\" height=\"1\" opacity=\"{:.2}\"/>",
                0.8 * dark
            )?;
        }
        writeln!(f, "</svg></div>")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_picture_is_made_small_and_keeps_its_sides() {
        let wide = RgbImage::from_pixel(400, 100, image::Rgb([10, 200, 30]));
        let shown = Shown::new(&wide, &[], &[4]).unwrap();
        let small = image::load_from_memory(&shown.jpeg).unwrap();
        assert_eq!((small.width(), small.height()), (192, 48));
        assert_eq!(shown.maps, []);
    }

    #[test]
    fn a_map_counts_words_and_blocks_that_kept_a_token() {
        let sight = |scores: [f32; 10]| Sight {
            layers: 2,
            tokens: 5,
            scores: scores.to_vec(),
        };
        let no = f32::NAN;
        let sights = [
            sight([no, 1.0, 1.0, 1.0, 1.0, no, 1.0, 1.0, 1.0, no]),
            sight([no, 1.0, 1.0, 1.0, 1.0, 1.0, no, 1.0, 1.0, 1.0]),
        ];
        let [fine, coarse] = &maps(&sights, &[4, 1])[..] else {
            panic!("a map for each scale");
        };
        assert_eq!(
            (fine.side, &fine.kept[..]),
            (2, &[0.25, 0.75, 1.0, 1.0][..])
        );
        assert_eq!((coarse.side, &coarse.kept[..]), (1, &[0.75][..]));
        let svg = fine.to_string();
        assert_eq!(svg.matches("<rect").count(), 4);
        assert!(svg.contains("x=\"0\" y=\"0\" width=\"1\" height=\"1\" opacity=\"0.80\""));
        assert!(svg.contains("x=\"1\" y=\"1\" width=\"1\" height=\"1\" opacity=\"0.00\""));
        assert_eq!(maps(&sights, &[4]), []);
    }
}
