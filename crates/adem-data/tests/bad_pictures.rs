//! Everything that is not a whole, reasonable picture gets a named error; nothing panics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::LazyLock;

use adem_data::image::{Format, ImageError, Limits, decode};
use common::pictures::{FlatJpeg, busy, encode, png_header};
use image::{ImageFormat, RgbaImage};
use proptest::prelude::*;

fn failure(bytes: &[u8]) -> ImageError {
    decode(bytes, &Limits::default()).unwrap_err()
}

/// One picture of every format, small enough to try each of its prefixes.
static FORMATS: LazyLock<Vec<(Format, Vec<u8>)>> = LazyLock::new(|| {
    let picture = busy(24, 18);
    let clear = RgbaImage::from_fn(20, 20, |x, y| image::Rgba([x as u8, y as u8, 9, 100]));
    let cmyk = FlatJpeg {
        width: 16,
        height: 16,
        blocks: vec![
            vec![1, 2, 3, 4],
            vec![90, 80, 70, 60],
            vec![255, 0, 9, 8],
            vec![5, 6, 7, 250],
        ],
        adobe: Some(2),
        orientation: Some(6),
        progressive: false,
        refined: false,
    };
    let progressive = FlatJpeg {
        orientation: None,
        progressive: true,
        refined: true,
        blocks: cmyk.blocks.iter().map(|b| b[..3].to_vec()).collect(),
        adobe: None,
        ..cmyk
    };
    vec![
        (
            Format::Png,
            encode(&picture.clone().into(), ImageFormat::Png),
        ),
        (
            Format::Jpeg,
            encode(&picture.clone().into(), ImageFormat::Jpeg),
        ),
        (Format::Jpeg, progressive.encode()),
        (Format::Jpeg, cmyk.encode()),
        (
            Format::WebP,
            encode(&picture.clone().into(), ImageFormat::WebP),
        ),
        (Format::WebP, encode(&clear.into(), ImageFormat::WebP)),
        (Format::Gif, encode(&picture.into(), ImageFormat::Gif)),
    ]
});

#[test]
fn a_cut_picture_is_an_error_or_whole_never_half() {
    for (format, bytes) in FORMATS.iter() {
        let whole = decode(bytes, &Limits::default()).unwrap();
        let mut refused = 0;
        for end in 1..bytes.len() {
            match decode(&bytes[..end], &Limits::default()) {
                Ok(picture) => assert!(
                    picture == whole,
                    "{format}: half a picture from {end} bytes"
                ),
                Err(_) => refused += 1,
            }
        }
        // All but a trailer's few bytes matter.
        assert!(
            refused + 16 > bytes.len(),
            "{format}: {refused} of {} refused",
            bytes.len()
        );
    }
}

#[test]
fn a_cut_picture_is_called_cut_short() {
    for (format, bytes) in FORMATS.iter() {
        let error = failure(&bytes[..bytes.len() * 2 / 3]);
        assert_eq!(error, ImageError::Truncated { format: *format });
        assert!(error.to_string().contains("cut short"), "{error}");
    }
}

#[test]
fn a_jpeg_whose_end_is_pasted_back_is_still_not_shown_half() {
    let bytes = encode(&busy(64, 64).into(), ImageFormat::Jpeg);
    for cut in [bytes.len() / 2, bytes.len() * 2 / 3] {
        let mut pasted = bytes[..cut].to_vec();
        pasted.extend([0xff, 0xd9]);
        let error = failure(&pasted);
        assert!(
            matches!(
                error,
                ImageError::Damaged {
                    format: Format::Jpeg,
                    ..
                } | ImageError::Truncated {
                    format: Format::Jpeg
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn the_content_decides_not_the_name() {
    let error = failure(b"Dear friend,\nthis is a letter that somebody named photo.png.\n");
    assert_eq!(error, ImageError::UnknownFormat { looks_like: "text" });
    assert!(error.to_string().contains("looks like text"), "{error}");
    for (bytes, looks_like) in [
        (&b"\0\0\0\x18ftypheic\0\0\0\0"[..], "a HEIC picture"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video"),
        (b"BM\0\0\0\0", "a BMP picture"),
        (b"II*\0\0\0\0\0", "a TIFF or raw camera picture"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"<?xml version='1.0'?><svg xmlns='...'/>", "an SVG drawing"),
        (b"PK\x03\x04\0\0", "a zip archive"),
        ("d\u{e9}j\u{e0} vu".as_bytes(), "text"),
        (&[0, 1, 2, 3, 250], "unknown binary data"),
    ] {
        assert_eq!(failure(bytes), ImageError::UnknownFormat { looks_like });
    }
}

#[test]
fn an_empty_file_and_a_huge_file_are_refused() {
    assert_eq!(failure(b""), ImageError::Empty);
    let tight = Limits {
        max_bytes: 10,
        ..Limits::default()
    };
    assert_eq!(
        decode(&[0; 11], &tight),
        Err(ImageError::TooManyBytes {
            bytes: 11,
            limit: 10
        })
    );
}

#[test]
fn limits_hold_to_the_pixel() {
    let png = encode(&busy(30, 20).into(), ImageFormat::Png);
    let limits = |max_side, max_pixels| Limits {
        max_side,
        max_pixels,
        ..Limits::default()
    };
    assert!(decode(&png, &limits(30, 600)).is_ok());
    for limits in [limits(29, 600), limits(30, 599)] {
        let error = decode(&png, &limits).unwrap_err();
        assert!(
            matches!(
                error,
                ImageError::TooLarge {
                    width: 30,
                    height: 20,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_header_of_zero_pixels_is_damaged() {
    for png in [png_header(0, 5), png_header(5, 0)] {
        assert!(matches!(failure(&png), ImageError::Damaged { .. }));
    }
}

/// Errors are fine, panics and huge allocations are not.
fn survives(bytes: &[u8]) {
    let small = Limits {
        max_pixels: 1 << 20,
        ..Limits::default()
    };
    if let Ok(picture) = decode(bytes, &small) {
        assert!(u64::from(picture.width()) * u64::from(picture.height()) <= small.max_pixels);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_bytes_behind_a_true_signature(kind in 0usize..5, noise in prop::collection::vec(any::<u8>(), 0..300)) {
        let signature: &[u8] = [
            &b"\x89PNG\r\n\x1a\n"[..], b"\xff\xd8\xff", b"GIF89a", b"RIFF\x40\0\0\0WEBPVP8 ", b"",
        ][kind];
        survives(&[signature, &noise].concat());
    }

    #[test]
    fn mutated_pictures(
        kind in 0usize..7,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let mut bytes = FORMATS[kind].1.clone();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let end = if keep { bytes.len() } else { cut.index(bytes.len()) };
        survives(&bytes[..end]);
    }

    #[test]
    fn mutated_headers(kind in 0usize..7, changes in prop::collection::vec((0usize..64, any::<u8>()), 1..4)) {
        let mut bytes = FORMATS[kind].1.clone();
        for (at, value) in changes {
            bytes[at] = value;
        }
        survives(&bytes);
    }
}
