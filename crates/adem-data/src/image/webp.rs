//! WebP's container, checked before the codec sees it: the codec trusts chunk lengths and the inner
//! frame's own dimensions when it allocates.

use super::{Format, ImageError, Limits};

const FORMAT: Format = Format::WebP;

/// Walks the RIFF chunks: each must lie within the file and each frame within the limits.
pub(super) fn check_container(bytes: &[u8], limits: &Limits) -> Result<(), ImageError> {
    let truncated = ImageError::Truncated { format: FORMAT };
    let Some(size) = le_u32(bytes, 4) else {
        return Err(truncated);
    };
    let end = size.saturating_add(8);
    if end > bytes.len() {
        return Err(truncated);
    }
    check_chunks(&bytes[..end], 12, limits)
}

/// Checks the chunks that follow one another from `at`; an animation frame holds chunks of its own.
fn check_chunks(bytes: &[u8], mut at: usize, limits: &Limits) -> Result<(), ImageError> {
    while let Some(length) = le_u32(bytes, at.saturating_add(4)) {
        let start = at + 8;
        let Some(chunk) = bytes.get(start..start.saturating_add(length)) else {
            return Err(ImageError::Truncated { format: FORMAT });
        };
        match bytes.get(at..at + 4) {
            // Frame tag (3 bytes), start code (3), then 14-bit width and height.
            Some(b"VP8 ") => {
                let side = |at: usize| {
                    let word = chunk.get(at..).and_then(|b| b.first_chunk::<2>());
                    word.map(|w| u32::from(u16::from_le_bytes(*w) & 0x3fff))
                };
                check_frame(side(6), side(8), limits)?;
            }
            // Signature byte, then width - 1 and height - 1 in 14 bits each.
            Some(b"VP8L") => {
                let word = chunk.get(1..).and_then(|b| b.first_chunk::<4>());
                let word = word.map(|w| u32::from_le_bytes(*w));
                let width = word.map(|w| (w & 0x3fff) + 1);
                let height = word.map(|w| ((w >> 14) & 0x3fff) + 1);
                check_frame(width, height, limits)?;
            }
            // Sixteen bytes of frame placement, then the frame's own chunks.
            Some(b"ANMF") => check_chunks(chunk, 16, limits)?,
            _ => {}
        }
        at = start.saturating_add(length).saturating_add(length & 1);
    }
    Ok(())
}

fn check_frame(width: Option<u32>, height: Option<u32>, limits: &Limits) -> Result<(), ImageError> {
    match (width, height) {
        (Some(width), Some(height)) => limits.check(FORMAT, width, height),
        _ => Err(ImageError::Truncated { format: FORMAT }),
    }
}

fn le_u32(bytes: &[u8], at: usize) -> Option<usize> {
    let word = bytes.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*word)).ok()
}
