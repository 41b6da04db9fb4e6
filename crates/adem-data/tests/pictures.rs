//! What a decoded picture looks like: every format and layout, upright, alpha dropped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use adem_data::image::{Limits, RgbImage, decode};
use common::pictures::{FlatJpeg, busy, encode, exif, png_chunk};
use image::codecs::gif::GifEncoder;
use image::{
    DynamicImage, Frame, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb,
    Rgba, RgbaImage,
};

fn decoded(bytes: &[u8]) -> RgbImage {
    decode(bytes, &Limits::default()).unwrap()
}

#[test]
fn lossless_formats_return_the_pixels() {
    let picture = busy(33, 21);
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let bytes = encode(&picture.clone().into(), format);
        assert_eq!(decoded(&bytes), picture, "{format:?}");
    }
}

#[test]
fn one_pixel_is_a_picture() {
    let pixel = RgbImage::from_pixel(1, 1, Rgb([10, 200, 30]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let bytes = encode(&pixel.clone().into(), format);
        assert_eq!(decoded(&bytes), pixel, "{format:?}");
    }
    let jpeg = decoded(&encode(&pixel.clone().into(), ImageFormat::Jpeg));
    let near = jpeg.as_raw().iter().zip(pixel.as_raw());
    assert!(near.clone().all(|(a, b)| a.abs_diff(*b) < 6), "{jpeg:?}");
}

#[test]
fn alpha_is_dropped_not_blended() {
    let clear = RgbaImage::from_pixel(3, 2, Rgba([9, 80, 200, 0]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let picture = decoded(&encode(&clear.clone().into(), format));
        assert!(picture.pixels().all(|p| p.0 == [9, 80, 200]), "{format:?}");
    }
    let grey = GrayAlphaImage::from_pixel(3, 2, LumaA([77, 3]));
    let picture = decoded(&encode(&grey.into(), ImageFormat::Png));
    assert!(picture.pixels().all(|p| p.0 == [77; 3]));
}

#[test]
fn grey_and_deep_channels_become_8_bit_rgb() {
    let grey: DynamicImage = GrayImage::from_pixel(2, 2, Luma([99])).into();
    let deep_grey = DynamicImage::ImageLuma16(ImageBuffer::from_pixel(2, 2, Luma([0x63ff])));
    let deep_clear = DynamicImage::ImageLumaA16(ImageBuffer::from_pixel(2, 2, LumaA([0x63ff, 7])));
    for picture in [grey, deep_grey, deep_clear] {
        let rgb = decoded(&encode(&picture, ImageFormat::Png));
        assert!(
            rgb.pixels().all(|p| p.0 == [99; 3]),
            "{:?}",
            picture.color()
        );
    }
    let deep =
        DynamicImage::ImageRgb16(ImageBuffer::from_pixel(2, 2, Rgb([0x01ff, 0x8000, 0xffff])));
    let deep_rgba = DynamicImage::ImageRgba16(ImageBuffer::from_pixel(
        2,
        2,
        Rgba([0x01ff, 0x8000, 0xffff, 0]),
    ));
    for picture in [deep, deep_rgba] {
        let rgb = decoded(&encode(&picture, ImageFormat::Png));
        assert!(
            rgb.pixels().all(|p| p.0 == [1, 128, 255]),
            "{:?}",
            picture.color()
        );
    }
}

#[test]
fn a_palette_is_looked_up() {
    // Two pixels of one bit each: colour 1, then colour 0.
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(png_chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 1, 3, 0, 0, 0]));
    png.extend(png_chunk(b"PLTE", &[1, 2, 3, 250, 60, 70]));
    // zlib, stored: filter byte 0, then 0b1000_0000.
    let data = [
        0x78, 0x01, 0x01, 2, 0, 0xfd, 0xff, 0x00, 0x80, 0x00, 0x82, 0x00, 0x81,
    ];
    png.extend(png_chunk(b"IDAT", &data));
    png.extend(png_chunk(b"IEND", &[]));
    assert_eq!(decoded(&png).as_raw(), &[250, 60, 70, 1, 2, 3]);
}

#[test]
fn the_first_frame_of_an_animation_is_taken() {
    let mut gif = Vec::new();
    let frames = [[255, 0, 0, 255], [0, 255, 0, 255]]
        .map(|c| Frame::new(RgbaImage::from_pixel(4, 3, Rgba(c))));
    GifEncoder::new(&mut gif).encode_frames(frames).unwrap();
    let picture = decoded(&gif);
    assert_eq!(picture.dimensions(), (4, 3));
    assert!(picture.pixels().all(|p| p.0 == [255, 0, 0]), "{picture:?}");
}

/// A 16x8 picture: dark left block, light right block, with the given EXIF orientation.
fn dark_left(orientation: u8) -> Vec<u8> {
    FlatJpeg {
        width: 16,
        height: 8,
        blocks: vec![vec![20], vec![220]],
        adobe: None,
        orientation: Some(orientation),
        progressive: false,
        refined: false,
    }
    .encode()
}

#[test]
fn exif_orientation_is_applied() {
    // Where the dark block lies in the upright picture: left, right, top or bottom.
    let upright = [
        "left", "right", "right", "left", "top", "top", "bottom", "bottom",
    ];
    for (orientation, dark) in (1..).zip(upright) {
        let picture = decoded(&dark_left(orientation));
        let (w, h) = picture.dimensions();
        let sides = [
            ("left", (0, h / 2)),
            ("right", (w - 1, h / 2)),
            ("top", (w / 2, 0)),
            ("bottom", (w / 2, h - 1)),
        ];
        let sideways = orientation > 4;
        assert_eq!((w, h), if sideways { (8, 16) } else { (16, 8) });
        for (side, (x, y)) in sides {
            let along = matches!(side, "left" | "right") != sideways;
            let value = picture.get_pixel(x, y).0[0];
            if along {
                assert_eq!(
                    value < 100,
                    side == dark,
                    "orientation {orientation}, {side}"
                );
            }
        }
    }
}

#[test]
fn nonsense_orientation_is_ignored() {
    for orientation in [0, 9, 255] {
        assert_eq!(decoded(&dark_left(orientation)).dimensions(), (16, 8));
    }
}

#[test]
fn png_orientation_is_applied() {
    let picture = busy(5, 3);
    let mut png = encode(&picture.clone().into(), ImageFormat::Png);
    // After the signature and IHDR.
    png.splice(33..33, png_chunk(b"eXIf", &exif(6)));
    assert_eq!(decoded(&png), image::imageops::rotate90(&picture));
}

/// The colour of a one-block JPEG.
fn flat(samples: &[u8], adobe: Option<u8>) -> [u8; 3] {
    let jpeg = FlatJpeg {
        width: 8,
        height: 8,
        blocks: vec![samples.to_vec()],
        adobe,
        orientation: None,
        progressive: false,
        refined: false,
    };
    let picture = decoded(&jpeg.encode());
    let first = picture.get_pixel(0, 0).0;
    assert!(picture.pixels().all(|p| p.0 == first));
    first
}

fn assert_near(ours: [u8; 3], theirs: [u8; 3]) {
    let near = ours.iter().zip(theirs).all(|(a, b)| a.abs_diff(b) <= 1);
    assert!(near, "{ours:?} against {theirs:?}");
}

#[test]
fn jpeg_color_spaces() {
    assert_eq!(flat(&[90], None), [90; 3]);
    // JFIF: R = Y + 1.402 (Cr - 128), G = Y - 0.344 (Cb - 128) - 0.714 (Cr - 128), B = Y + 1.772 (Cb - 128).
    assert_near(flat(&[100, 148, 108], None), [72, 107, 135]);
    assert_near(flat(&[10, 200, 30], Some(0)), [10, 200, 30]);
}

#[test]
fn a_progressive_jpeg_equals_the_baseline_one() {
    let mut jpeg = FlatJpeg {
        width: 20,
        height: 11,
        blocks: (0..6).map(|i| vec![40 * i, 128, 200]).collect(),
        adobe: None,
        orientation: None,
        progressive: false,
        refined: false,
    };
    let baseline = decoded(&jpeg.encode());
    jpeg.progressive = true;
    assert_eq!(decoded(&jpeg.encode()), baseline);
    jpeg.refined = true;
    assert_eq!(decoded(&jpeg.encode()), baseline);
}

#[test]
fn cmyk_jpeg_is_read_as_pillow_reads_it() {
    // Stored inverted (Adobe): 255 is no ink. R = C' K' / 255.
    for (samples, rgb) in [
        ([255, 255, 255, 255], [255, 255, 255]),
        ([255, 0, 0, 255], [255, 0, 0]),
        ([0, 255, 255, 255], [0, 255, 255]),
        ([200, 100, 50, 128], [100, 50, 25]),
        ([255, 255, 255, 0], [0, 0, 0]),
    ] {
        assert_near(flat(&samples, Some(0)), rgb);
        // Pillow assumes Adobe's convention without the marker as well.
        assert_near(flat(&samples, None), rgb);
    }
    // YCCK: the first three decode to inverted CMY as YCbCr would to RGB, here a grey of 55.
    assert_near(flat(&[55, 128, 128, 255], Some(2)), [200, 200, 200]);
    assert_near(flat(&[55, 128, 128, 128], Some(2)), [100, 100, 100]);
}
