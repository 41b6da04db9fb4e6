//! JPEG. The codec is used directly: through the `image` crate a damaged scan would become grey
//! pixels instead of an error.

use std::borrow::Cow;

use ::image::RgbImage;
use ::image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::decode::picture;
use super::{Format, ImageError, Limits};

/// Decodes a JPEG of any usual colour space, upright.
pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, ImageError> {
    let format = Format::Jpeg;
    let Some(outline) = Outline::of(bytes) else {
        return Err(ImageError::Truncated { format });
    };
    let bytes = outline.guarded(bytes);
    let options = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    // Cameras leave padding between header segments, so the headers are read leniently...
    let mut decoder =
        JpegDecoder::new_with_options(ZCursor::new(&*bytes), options.set_strict_mode(false));
    decoder.decode_headers().map_err(refuse)?;
    let info = decoder.info().ok_or_else(|| ImageError::Damaged {
        format,
        reason: "no frame header".into(),
    })?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    limits.check(format, width, height)?;
    match decoder.input_colorspace() {
        Some(
            ColorSpace::Luma
            | ColorSpace::YCbCr
            | ColorSpace::RGB
            | ColorSpace::CMYK
            | ColorSpace::YCCK,
        ) => {}
        other => {
            return Err(ImageError::Unsupported {
                format,
                reason: match other {
                    Some(space) => format!("colour space {space:?}"),
                    None => "no colour space".into(),
                },
            });
        }
    }
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    // ...but the pixels strictly: missing ones are an error, not grey.
    decoder.set_options(options.set_strict_mode(true));
    let rgb = decoder.decode().map_err(refuse)?;
    picture(format, width, height, rgb, orientation)
}

fn refuse(error: DecodeErrors) -> ImageError {
    let format = Format::Jpeg;
    match error {
        DecodeErrors::Unsupported(kind) => ImageError::Unsupported {
            format,
            reason: format!("{kind:?}"),
        },
        DecodeErrors::ExhaustedData | DecodeErrors::IoErrors(_) => ImageError::Truncated { format },
        other => ImageError::Damaged {
            format,
            reason: other.to_string(),
        },
    }
}

/// What the marker segments tell without decoding.
struct Outline {
    /// Place of the end-of-image marker.
    end: usize,
    progressive: bool,
    scans: usize,
}

impl Outline {
    /// Walks the marker segments to the end-of-image marker. A file cut anywhere has none: the one
    /// of an embedded thumbnail lies inside a segment and is stepped over.
    fn of(bytes: &[u8]) -> Option<Self> {
        let mut outline = Self {
            end: 0,
            progressive: false,
            scans: 0,
        };
        let mut at = 2;
        loop {
            at += bytes.get(at..)?.iter().position(|&b| b == 0xff)? + 1;
            match *bytes.get(at)? {
                // Fill byte: the next 0xff may begin the marker.
                0xff => {}
                // Stuffed zero in entropy-coded data, TEM, RSTn, SOI: no payload.
                0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
                0xd9 => {
                    outline.end = at - 1;
                    return Some(outline);
                }
                marker => {
                    outline.progressive |= marker == 0xc2;
                    outline.scans += usize::from(marker == 0xda);
                    let length = bytes.get(at + 1..)?.first_chunk::<2>()?;
                    at += 1 + usize::from(u16::from_be_bytes(*length)).max(2);
                }
            }
        }
    }

    /// Puts a run of ones before the end marker. The codec reads zeros past the marker, which may
    /// well be valid codes, so a scan that lacks its end would decode to grey or worse; a code of
    /// all ones is never valid (ITU-T T.81, annex C), and a complete scan stops before it. The first
    /// scan of a progressive picture is left alone when it is the last as well: there the codec
    /// insists on meeting the marker while reading ahead.
    fn guarded<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        if self.progressive && self.scans < 2 {
            return Cow::Borrowed(bytes);
        }
        let ones = [0xff, 0x00].repeat(16);
        Cow::Owned([&bytes[..self.end], &ones, &[0xff, 0xd9]].concat())
    }
}
