//! A quantised weight as a package holds it.

use std::borrow::Cow;

use super::pack::unpack;
use super::{BLOCK, Geometry, ScaleType, Scheme};
use crate::dtype::words;

/// The two buffers of a quantised weight, whose sizes fit each other and whose scales are
/// finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuantView<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) scale_type: ScaleType,
    pub(crate) geometry: Geometry,
    pub(crate) words: &'a [u8],
    pub(crate) scales: &'a [u8],
}

impl<'a> QuantView<'a> {
    /// A weight of these codes and scales, stored as the [module](super) says; `None` where they do
    /// not fit its size. Scales are not looked at.
    pub fn new(
        scheme: Scheme,
        scale_type: ScaleType,
        geometry: Geometry,
        words: &'a [u8],
        scales: &'a [u8],
    ) -> Option<Self> {
        let row_words = geometry.row_words(scheme).checked_mul(size_of::<u32>())?;
        let row_scales = geometry.blocks().checked_mul(scale_type.dtype().size())?;
        let fits = geometry.rows.checked_mul(row_words) == Some(words.len())
            && geometry.rows.checked_mul(row_scales) == Some(scales.len());
        fits.then_some(Self {
            scheme,
            scale_type,
            geometry,
            words,
            scales,
        })
    }

    /// Bits of a code.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Type of the scales.
    pub fn scale_type(&self) -> ScaleType {
        self.scale_type
    }

    /// Rows and columns.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The codes as stored, little-endian words `[rows, Geometry::row_words]`: what a GPU's
    /// buffer holds, a multiple of 16 bytes.
    pub fn word_bytes(&self) -> &'a [u8] {
        self.words
    }

    /// The scales as stored, little-endian, `[rows, blocks]`.
    pub fn scale_bytes(&self) -> &'a [u8] {
        self.scales
    }

    /// The codes as words; borrowed where the bytes happen to lie as words do.
    pub fn words(&self) -> Cow<'a, [u32]> {
        match bytemuck::try_cast_slice(self.words) {
            Ok(words) if cfg!(target_endian = "little") => Cow::Borrowed(words),
            _ => words(self.words).map(u32::from_le_bytes).collect(),
        }
    }

    /// The scales as words for a GPU's buffer, an odd half at the end filled up with zeros.
    pub fn scale_words(&self) -> Vec<u32> {
        let (whole, rest) = self.scales.as_chunks::<4>();
        let mut all: Vec<u32> = whole.iter().map(|word| u32::from_le_bytes(*word)).collect();
        if let [low, high] = *rest {
            all.push(u32::from_le_bytes([low, high, 0, 0]));
        }
        all
    }

    /// The scales in single precision, `[rows, blocks]`.
    pub fn scales(&self) -> Vec<f32> {
        self.scale_type.dtype().decode(self.scales)
    }

    /// The weights in single precision, `[rows, cols]`, padding left out.
    pub fn to_f32(&self) -> Vec<f32> {
        let Geometry { rows, cols } = self.geometry;
        let mut values = Vec::with_capacity(rows * cols);
        let (words, scales) = (self.words(), self.scales());
        let word_rows = words.chunks_exact(self.geometry.row_words(self.scheme));
        for (words, scales) in word_rows.zip(scales.chunks_exact(self.geometry.blocks())) {
            decode_row(self.scheme, words, scales, cols, &mut values);
        }
        values
    }
}

/// Appends the `cols` weights of one row.
pub(super) fn decode_row(
    scheme: Scheme,
    words: &[u32],
    scales: &[f32],
    cols: usize,
    values: &mut Vec<f32>,
) {
    let blocks = words.chunks_exact(scheme.words()).zip(scales);
    for (index, (words, scale)) in blocks.enumerate() {
        let codes = unpack(scheme, words);
        let within = BLOCK.min(cols - index * BLOCK);
        values.extend(codes[..within].iter().map(|code| f32::from(*code) * scale));
    }
}
