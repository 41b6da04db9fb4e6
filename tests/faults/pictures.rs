//! Pictures that are broken, odd, or none at all.

use adem_data::image::RgbImage;
use adem_data::scenes::Scene;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, RgbaImage};

use crate::crafted::{FlatJpeg, encode, png_header};

/// A file that must be refused, and words of the refusal.
pub struct Broken {
    pub file: &'static str,
    pub bytes: Vec<u8>,
    pub says: &'static [&'static str],
}

/// An ordinary picture.
pub fn ordinary() -> Vec<u8> {
    png(&Scene::sample(7).render(64))
}

pub fn png(picture: &RgbImage) -> Vec<u8> {
    encode(&picture.clone().into(), ImageFormat::Png)
}

/// Files that are no whole, reasonable picture.
pub fn broken() -> Vec<Broken> {
    let picture = DynamicImage::from(Scene::sample(1).render(64));
    let mut jpeg = encode(&picture, ImageFormat::Jpeg);
    jpeg.truncate(jpeg.len() * 2 / 3);
    let bytes = |text: &str| text.as_bytes().to_vec();
    vec![
        Broken { file: "truncated.jpg", bytes: jpeg, says: &["JPEG", "cut short"] },
        Broken {
            file: "huge.png",
            bytes: png_header(60_000, 60_000),
            says: &["60000 x 60000 pixels", "more than the limit"],
        },
        Broken {
            file: "letter.png",
            bytes: bytes("Dear friend,\nthis is no picture.\n"),
            says: &["not a PNG, JPEG, WebP or GIF", "looks like text"],
        },
        Broken { file: "empty.png", bytes: Vec::new(), says: &["empty"] },
    ]
}

/// An animation of two scenes, and its first frame alone as PNG.
pub fn animation() -> (Vec<u8>, Vec<u8>) {
    let frame = |seed| {
        let picture = DynamicImage::from(Scene::sample(seed).render(32));
        Frame::new(picture.to_rgba8())
    };
    let gif = |frames: Vec<Frame>| {
        let mut bytes = Vec::new();
        GifEncoder::new(&mut bytes).encode_frames(frames).unwrap();
        bytes
    };
    // GIF has 256 colours: the still picture must have gone the same way.
    let still: RgbaImage = image::load_from_memory(&gif(vec![frame(1)])).unwrap().to_rgba8();
    let first = encode(&DynamicImage::from(still).to_rgb8().into(), ImageFormat::Png);
    (gif(vec![frame(1), frame(2)]), first)
}

/// Flat blocks in the four colours of print, and the same in red, green and blue as PNG.
pub fn cmyk() -> (Vec<u8>, Vec<u8>) {
    // Adobe's convention: 255 is no ink.
    let inks = [[255, 255, 255, 255], [0, 255, 255, 255], [255, 0, 255, 255], [255, 255, 0, 128]];
    let jpeg = FlatJpeg {
        width: 16,
        height: 16,
        blocks: inks.iter().map(|ink| ink.to_vec()).collect(),
        adobe: Some(0),
        orientation: None,
    };
    let bytes = jpeg.encode();
    let rgb = RgbImage::from_fn(16, 16, |x, y| {
        let [c, m, y, k] = inks[(y / 8 * 2 + x / 8) as usize].map(u32::from);
        image::Rgb([c, m, y].map(|ink| ((ink * k + 127) / 255) as u8))
    });
    (bytes, png(&rgb))
}

/// A JPEG that its EXIF block says to turn, and the turned picture as PNG.
pub fn rotated() -> (Vec<u8>, Vec<u8>) {
    let grey = [[10], [90], [170], [250]];
    let jpeg = |orientation| FlatJpeg {
        width: 16,
        height: 16,
        blocks: grey.iter().map(|level| level.to_vec()).collect(),
        adobe: None,
        orientation,
    };
    let upright = image::load_from_memory(&jpeg(None).encode()).unwrap().to_rgb8();
    let turned = image::imageops::rotate90(&upright);
    (jpeg(Some(6)).encode(), png(&turned))
}

/// One pixel.
pub fn one_pixel() -> Vec<u8> {
    png(&RgbImage::from_pixel(1, 1, image::Rgb([200, 30, 30])))
}
