//! Tiles of packed weights unpacked for many rows of activations.

use super::input::Codes;
use super::{Level, Rows, TILE};
use crate::blocks::{BLOCK, Scheme, unpack4};

/// Packed weights times bytes; nibbles become bytes once for all rows of activations.
pub(super) fn int8(level: Level, part: Rows<'_>, x: &[Codes], out: &mut [f32]) {
    if part.scheme == Scheme::Q8 {
        return level.int8(part, x, out);
    }
    let mut bytes = vec![[0; 8]; TILE * part.blocks];
    for (tile, out) in tiles(part, out, x.len()) {
        for (words, bytes) in tile.words.as_chunks::<4>().0.iter().zip(&mut bytes) {
            *bytes = bytemuck::cast::<[i8; BLOCK], [u32; 8]>(unpack4(words)).map(u32::from_le);
        }
        let unpacked = Rows {
            scheme: Scheme::Q8,
            words: bytes[..tile.scales.len()].as_flattened(),
            ..tile
        };
        level.int8(unpacked, x, out);
    }
}

/// The rows of `part` in tiles, each with its outputs. `activations`: blocks of all tokens.
fn tiles<'a>(
    part: Rows<'a>,
    out: &'a mut [f32],
    activations: usize,
) -> impl Iterator<Item = (Rows<'a>, &'a mut [f32])> {
    let tokens = activations / part.blocks;
    let words = part.words.chunks(TILE * part.blocks * part.scheme.words());
    let rows = words
        .zip(part.scales.chunks(TILE * part.blocks))
        .map(move |(words, scales)| Rows {
            words,
            scales,
            ..part
        });
    rows.zip(out.chunks_mut(TILE * tokens))
}
