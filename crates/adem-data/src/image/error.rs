//! What can be wrong with a picture, and what to do about it.

use super::Format;

/// Why a picture was not decoded. Every message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No bytes at all.
    #[error("the picture is empty (0 bytes); choose another file")]
    Empty,
    /// The encoded file is larger than [`super::Limits::max_bytes`].
    #[error(
        "the picture file is {bytes} bytes, more than the limit of {limit}; save a smaller copy"
    )]
    TooManyBytes {
        /// Size of the file.
        bytes: usize,
        /// The limit it passed.
        limit: usize,
    },
    /// The content is none of the four formats, whatever the file's name says.
    #[error(
        "not a PNG, JPEG, WebP or GIF picture: the content looks like {looks_like}; convert it to PNG or JPEG, or choose another file"
    )]
    UnknownFormat {
        /// A guess from the first bytes.
        looks_like: &'static str,
    },
    /// The header announces more pixels than [`super::Limits`] allow; nothing was allocated.
    #[error(
        "the {format} picture is {width} x {height} pixels, more than the limit of {max_side} a side and {max_pixels} in all; scale it down first"
    )]
    TooLarge {
        /// Format found in the content.
        format: Format,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Largest allowed width or height.
        max_side: u32,
        /// Largest allowed product of the two.
        max_pixels: u64,
    },
    /// The file ends before the picture does.
    #[error(
        "the {format} picture is cut short (the file ends before the picture does); copy or download it again"
    )]
    Truncated {
        /// Format found in the content.
        format: Format,
    },
    /// The content contradicts itself or its check sums.
    #[error("the {format} picture is damaged: {reason}; copy it again or save it anew")]
    Damaged {
        /// Format found in the content.
        format: Format,
        /// The decoder's own words.
        reason: String,
    },
    /// A valid but rare variant that is not read.
    #[error(
        "this kind of {format} picture is not supported: {reason}; save it as an ordinary PNG or JPEG"
    )]
    Unsupported {
        /// Format found in the content.
        format: Format,
        /// The decoder's own words.
        reason: String,
    },
}

impl ImageError {
    /// Sorts an error of the `image` crate's decoders into ours.
    pub(super) fn from_decoder(format: Format, error: &::image::ImageError) -> Self {
        if is_eof(error) {
            return Self::Truncated { format };
        }
        match error {
            ::image::ImageError::Unsupported(_) => Self::Unsupported {
                format,
                reason: error.to_string(),
            },
            _ => Self::Damaged {
                format,
                reason: error.to_string(),
            },
        }
    }
}

/// Whether "ran out of bytes" is anywhere among the causes: each codec wraps it differently.
fn is_eof(error: &::image::ImageError) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = match error {
        // This one does not name what it wraps as its cause.
        ::image::ImageError::IoError(io) => Some(io),
        other => Some(other),
    };
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::UnexpectedEof
        {
            return true;
        }
        // The GIF codec has an error of its own for it, out of reach behind the `image` crate.
        if e.source().is_none() && e.to_string().eq_ignore_ascii_case("unexpected end of file") {
            return true;
        }
        cause = e.source();
    }
    false
}
