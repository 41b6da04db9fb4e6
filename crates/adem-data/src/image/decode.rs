//! Bytes to RGB, sniffing the format from the content and refusing too large pictures by their header.

use std::fmt;
use std::io::Cursor;

use ::image::codecs::gif::GifDecoder;
use ::image::codecs::png::PngDecoder;
use ::image::codecs::webp::WebPDecoder;
use ::image::metadata::Orientation;
use ::image::{ColorType, ImageDecoder, RgbImage, imageops};

use super::{ImageError, jpeg, webp};

/// The picture formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive; grey, YCbCr, RGB, CMYK or YCCK.
    Jpeg,
    /// WebP, lossy or lossless; the first frame of an animation.
    WebP,
    /// GIF; the first frame of an animation.
    Gif,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
        })
    }
}

/// Bounds checked before anything is allocated for the pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest encoded file, in bytes.
    pub max_bytes: usize,
    /// Largest width or height, in pixels.
    pub max_side: u32,
    /// Largest width times height, in pixels.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 64 MiB of file, 32,768 pixels a side, 64 million pixels: above any ordinary camera, and a
    /// progressive JPEG of that size still decodes within a browser tab's memory.
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_side: 32_768,
            max_pixels: 64_000_000,
        }
    }
}

impl Limits {
    /// Refuses a header's dimensions by name when they pass the limits.
    pub(super) fn check(&self, format: Format, width: u32, height: u32) -> Result<(), ImageError> {
        if width == 0 || height == 0 {
            return Err(ImageError::Damaged {
                format,
                reason: format!("its header says {width} x {height} pixels"),
            });
        }
        let fits = width <= self.max_side
            && height <= self.max_side
            && u64::from(width) * u64::from(height) <= self.max_pixels;
        if fits {
            return Ok(());
        }
        Err(ImageError::TooLarge {
            format,
            width,
            height,
            max_side: self.max_side,
            max_pixels: self.max_pixels,
        })
    }

    /// The same bounds for the `image` crate's own bookkeeping. Eight bytes a pixel is the widest
    /// layout it produces (16-bit RGBA); the factor two leaves room for a second frame buffer.
    fn for_codec(&self) -> ::image::Limits {
        let mut limits = ::image::Limits::no_limits();
        limits.max_alloc = Some(self.max_pixels.saturating_mul(16).max(1 << 20));
        limits
    }
}

/// Decodes a picture to 8-bit RGB.
///
/// The format comes from the content, never from a name. Of an animation the first frame is taken.
/// The EXIF orientation is applied. As Pillow's `convert("RGB")`, which prepared the training
/// pictures of published checkpoints, alpha is **dropped**, not composited, CMYK is read by Adobe's
/// inverted convention, and 16-bit channels keep their high byte (Pillow clips 16-bit *grey* to
/// white instead; that is not copied). No colour profile is applied.
///
/// # Errors
/// [`ImageError`]; a picture that is only partly there is an error, never half a picture.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.len() > limits.max_bytes {
        return Err(ImageError::TooManyBytes {
            bytes: bytes.len(),
            limit: limits.max_bytes,
        });
    }
    let format = sniff(bytes)?;
    let refuse = |e: ::image::ImageError| ImageError::from_decoder(format, &e);
    match format {
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::Png => {
            // Read before the codec is built: it sizes its row buffers from these numbers.
            let (width, height) = match (be_u32(bytes, 16), be_u32(bytes, 20)) {
                (Some(w), Some(h)) if bytes.get(12..16) == Some(b"IHDR") => (w, h),
                (Some(_), Some(_)) => {
                    return Err(ImageError::Damaged {
                        format,
                        reason: "it does not begin with an IHDR chunk".into(),
                    });
                }
                _ => return Err(ImageError::Truncated { format }),
            };
            limits.check(format, width, height)?;
            let decoder =
                PngDecoder::with_limits(Cursor::new(bytes), limits.for_codec()).map_err(refuse)?;
            read(decoder, format, limits)
        }
        Format::Gif => {
            let decoder = GifDecoder::new(Cursor::new(bytes)).map_err(refuse)?;
            read(decoder, format, limits)
        }
        Format::WebP => {
            webp::check_container(bytes, limits)?;
            let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(refuse)?;
            read(decoder, format, limits)
        }
    }
}

/// Tells the format from the first bytes.
fn sniff(bytes: &[u8]) -> Result<Format, ImageError> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    if starts(b"\x89PNG\r\n\x1a\n") {
        Ok(Format::Png)
    } else if starts(b"\xff\xd8\xff") {
        Ok(Format::Jpeg)
    } else if starts(b"GIF87a") || starts(b"GIF89a") {
        Ok(Format::Gif)
    } else if starts(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Ok(Format::WebP)
    } else {
        Err(ImageError::UnknownFormat {
            looks_like: guess(bytes),
        })
    }
}

/// Names the commonest things that are dropped in place of a picture.
fn guess(bytes: &[u8]) -> &'static str {
    let head = &bytes[..bytes.len().min(512)];
    let starts = |magic: &[u8]| head.starts_with(magic);
    match head.get(4..12) {
        Some(b"ftypheic" | b"ftypheix" | b"ftypmif1" | b"ftypmsf1" | b"ftyphevc") => {
            return "a HEIC picture";
        }
        Some(b"ftypavif" | b"ftypavis") => return "an AVIF picture",
        Some(brand) if brand.starts_with(b"ftyp") => return "a video",
        _ => {}
    }
    if starts(b"BM") {
        "a BMP picture"
    } else if starts(b"II*\0") || starts(b"MM\0*") {
        "a TIFF or raw camera picture"
    } else if starts(b"%PDF") {
        "a PDF document"
    } else if starts(b"PK\x03\x04") {
        "a zip archive"
    } else if head.windows(4).any(|w| w == b"<svg") {
        "an SVG drawing"
    } else if printable(head) {
        "text"
    } else {
        "unknown binary data"
    }
}

/// Whether the bytes read as text; a multi-byte character may be cut at the end.
fn printable(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.is_empty() && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*word))
}

/// Runs one of the `image` crate's decoders and reduces its layout to RGB.
fn read(
    mut decoder: impl ImageDecoder,
    format: Format,
    limits: &Limits,
) -> Result<RgbImage, ImageError> {
    let refuse = |e: ::image::ImageError| ImageError::from_decoder(format, &e);
    let (width, height) = decoder.dimensions();
    limits.check(format, width, height)?;
    decoder.set_limits(limits.for_codec()).map_err(refuse)?;
    // A broken EXIF block says nothing about the pixels: it counts as "not rotated".
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let color = decoder.color_type();
    let size = usize::try_from(decoder.total_bytes()).unwrap_or(usize::MAX);
    let mut raw = Vec::new();
    raw.try_reserve_exact(size)
        .map_err(|_| ImageError::Unsupported {
            format,
            reason: format!("not enough memory for {width} x {height} pixels"),
        })?;
    raw.resize(size, 0);
    decoder.read_image(&mut raw).map_err(refuse)?;
    let rgb = to_rgb(raw, color).ok_or_else(|| ImageError::Unsupported {
        format,
        reason: format!("pixel layout {color:?}"),
    })?;
    picture(format, width, height, rgb, orientation)
}

/// Interleaved samples of any layout the four formats produce, to RGB. 16-bit samples come in the
/// machine's byte order.
fn to_rgb(raw: Vec<u8>, color: ColorType) -> Option<Vec<u8>> {
    let high = |s: &[u8], channel: usize| {
        (u16::from_ne_bytes([s[2 * channel], s[2 * channel + 1]]) >> 8) as u8
    };
    Some(match color {
        ColorType::Rgb8 => raw,
        ColorType::Rgba8 => raw
            .chunks_exact(4)
            .flat_map(|s| [s[0], s[1], s[2]])
            .collect(),
        ColorType::L8 => raw.iter().flat_map(|&l| [l; 3]).collect(),
        ColorType::La8 => raw.chunks_exact(2).flat_map(|s| [s[0]; 3]).collect(),
        ColorType::L16 => raw.chunks_exact(2).flat_map(|s| [high(s, 0); 3]).collect(),
        ColorType::La16 => raw.chunks_exact(4).flat_map(|s| [high(s, 0); 3]).collect(),
        ColorType::Rgb16 => raw
            .chunks_exact(6)
            .flat_map(|s| [high(s, 0), high(s, 1), high(s, 2)])
            .collect(),
        ColorType::Rgba16 => raw
            .chunks_exact(8)
            .flat_map(|s| [high(s, 0), high(s, 1), high(s, 2)])
            .collect(),
        _ => return None,
    })
}

/// Builds the picture and turns it upright.
pub(super) fn picture(
    format: Format,
    width: u32,
    height: u32,
    rgb: Vec<u8>,
    orientation: Orientation,
) -> Result<RgbImage, ImageError> {
    let image = RgbImage::from_raw(width, height, rgb).ok_or_else(|| ImageError::Damaged {
        format,
        reason: format!("fewer samples than its {width} x {height} pixels need"),
    })?;
    Ok(match orientation {
        Orientation::NoTransforms => image,
        Orientation::Rotate90 => imageops::rotate90(&image),
        Orientation::Rotate180 => imageops::rotate180(&image),
        Orientation::Rotate270 => imageops::rotate270(&image),
        Orientation::FlipHorizontal => imageops::flip_horizontal(&image),
        Orientation::FlipVertical => imageops::flip_vertical(&image),
        Orientation::Rotate90FlipH => imageops::flip_horizontal(&imageops::rotate90(&image)),
        Orientation::Rotate270FlipH => imageops::flip_horizontal(&imageops::rotate270(&image)),
    })
}
