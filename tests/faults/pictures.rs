//! Pictures that are broken, odd, or none at all.

use std::io::Cursor;

use adem_data::image::RgbImage;
use adem_data::scenes::Scene;
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Rgb, imageops};

/// A file that must be refused, and words of the refusal.
pub struct Broken {
    pub file: &'static str,
    pub bytes: Vec<u8>,
    pub says: &'static [&'static str],
}

/// A picture of a kind that is read differently, and a plain PNG of what it shows.
pub struct Odd {
    pub file: &'static str,
    pub bytes: Vec<u8>,
    pub plain: Vec<u8>,
}

/// An ordinary picture.
pub fn ordinary() -> Vec<u8> {
    png(&Scene::sample(7).render(64))
}

pub fn png(picture: &RgbImage) -> Vec<u8> {
    encode(picture, ImageFormat::Png)
}

fn encode(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> RgbImage {
    image::load_from_memory(bytes).unwrap().to_rgb8()
}

/// Files that are no whole, reasonable picture.
pub fn broken() -> Vec<Broken> {
    let mut jpeg = encode(&Scene::sample(1).render(64), ImageFormat::Jpeg);
    jpeg.truncate(jpeg.len() * 2 / 3);
    // The size stands in the first chunk; its check sum is made wrong by the change, but nobody
    // may get as far as looking at it.
    let mut huge = ordinary();
    huge[16..24].copy_from_slice(&[60_000u32.to_be_bytes(), 60_000u32.to_be_bytes()].concat());
    vec![
        Broken {
            file: "truncated.jpg",
            bytes: jpeg,
            says: &["JPEG", "cut short"],
        },
        Broken {
            file: "huge.png",
            bytes: huge,
            says: &["60000 x 60000 pixels", "more than the limit"],
        },
        Broken {
            file: "letter.png",
            bytes: b"Dear friend,\nthis is no picture.\n".to_vec(),
            says: &["not a PNG, JPEG, WebP or GIF", "looks like text"],
        },
        Broken {
            file: "empty.png",
            bytes: Vec::new(),
            says: &["empty"],
        },
    ]
}

/// Pictures that are whole, but not as simple as they look.
pub fn odd() -> Vec<Odd> {
    vec![animation(), cmyk(), turned()]
}

/// An animation of two scenes, of which the first frame is taken.
fn animation() -> Odd {
    let gif = |seeds: &[u64]| {
        let mut bytes = Vec::new();
        let mut encoder = GifEncoder::new(&mut bytes);
        for seed in seeds {
            let picture = DynamicImage::from(Scene::sample(*seed).render(32));
            encoder
                .encode_frame(Frame::new(picture.to_rgba8()))
                .unwrap();
        }
        drop(encoder);
        bytes
    };
    // GIF has 256 colours: the still picture must have gone the same way.
    Odd {
        file: "moving.gif",
        bytes: gif(&[1, 2]),
        plain: png(&read(&gif(&[1]))),
    }
}

/// A JPEG in the four colours of print (16x16, four flat blocks; 255 is no ink, as Adobe's
/// programs write it).
fn cmyk() -> Odd {
    let inks: [[u32; 4]; 4] = [
        [255, 255, 255, 255],
        [0, 255, 255, 255],
        [255, 0, 255, 255],
        [255, 255, 0, 128],
    ];
    let plain = RgbImage::from_fn(16, 16, |x, y| {
        let [c, m, y, k] = inks[(y / 8 * 2 + x / 8) as usize];
        Rgb([c, m, y].map(|ink| ((ink * k + 127) / 255) as u8))
    });
    let bytes = include_bytes!("cmyk.jpg").to_vec();
    Odd {
        file: "print.jpg",
        bytes,
        plain: png(&plain),
    }
}

/// A JPEG whose EXIF block says that it must be turned by a quarter.
fn turned() -> Odd {
    let jpeg = encode(&Scene::sample(3).render(48), ImageFormat::Jpeg);
    // A TIFF directory with one entry: orientation (0x0112), a short, one of it, 6.
    let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let exif = [b"Exif\0\0".as_slice(), tiff].concat();
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    let plain = png(&imageops::rotate90(&read(&jpeg)));
    Odd {
        file: "turned.jpg",
        bytes,
        plain,
    }
}

/// One pixel.
pub fn one_pixel() -> Vec<u8> {
    png(&RgbImage::from_pixel(1, 1, Rgb([200, 30, 30])))
}
