//! JPEG. The codec is used directly: through the `image` crate a damaged scan would become grey
//! pixels instead of an error.

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
    let Some(end) = end_of_image(bytes) else {
        return Err(ImageError::Truncated { format });
    };
    let bytes = &guarded(&bytes[..end]);
    let options = DecoderOptions::default()
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    // Cameras leave padding between header segments, so the headers are read leniently...
    let mut decoder = JpegDecoder::new_with_options(
        ZCursor::new(bytes.as_slice()),
        options.set_strict_mode(false),
    );
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

/// Walks the marker segments to the end-of-image marker and returns its place. A file cut anywhere
/// has none: the one of an embedded thumbnail lies inside a segment and is stepped over.
fn end_of_image(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    loop {
        at += bytes.get(at..)?.iter().position(|&b| b == 0xff)? + 1;
        match bytes.get(at)? {
            // Fill byte: the next 0xff may begin the marker.
            0xff => {}
            // Stuffed zero in entropy-coded data, TEM, RSTn, SOI: no payload.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 1,
            0xd9 => return Some(at - 1),
            _ => {
                let length = bytes.get(at + 1..)?.first_chunk::<2>()?;
                at += 1 + usize::from(u16::from_be_bytes(*length)).max(2);
            }
        }
    }
}

/// Puts a run of ones before the end marker. The codec reads zeros past the marker, which may well be
/// valid codes, so a scan that lacks its end would decode to grey or worse; a code of all ones is
/// never valid (ITU-T T.81, annex C), and a complete scan stops before it.
fn guarded(up_to_end: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(up_to_end.len() + 34);
    bytes.extend_from_slice(up_to_end);
    bytes.extend_from_slice(&[0xff, 0x00].repeat(16));
    bytes.extend_from_slice(&[0xff, 0xd9]);
    bytes
}
