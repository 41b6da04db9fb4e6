//! The element types a package may hold.

use half::{bf16, f16};

/// Element type of a stored tensor. Values are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE half precision: the range is +-65504.
    #[default]
    F16,
    /// The upper half of a single: its range, 8 bits of precision.
    BF16,
}

impl Dtype {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The name safetensors headers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    /// The type of this safetensors name; `None` for integers, doubles and quantised blocks.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::BF16]
            .into_iter()
            .find(|dtype| dtype.name() == name)
    }

    /// `bytes` as single precision, which holds every value of the other two exactly.
    pub(crate) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => words(bytes).map(f32::from_le_bytes).collect(),
            Self::F16 => words(bytes)
                .map(|w| f16::from_le_bytes(w).to_f32())
                .collect(),
            Self::BF16 => words(bytes)
                .map(|w| bf16::from_le_bytes(w).to_f32())
                .collect(),
        }
    }

    /// The bytes of `values`, rounded to nearest even.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Self::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::F16 => values
                .iter()
                .flat_map(|v| f16::from_f32(*v).to_le_bytes())
                .collect(),
            Self::BF16 => values
                .iter()
                .flat_map(|v| bf16::from_f32(*v).to_le_bytes())
                .collect(),
        }
    }

    /// Index of the first NaN or infinity in `bytes`.
    pub(crate) fn first_non_finite(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::F32 => words(bytes).position(|w| !f32::from_le_bytes(w).is_finite()),
            Self::F16 => words(bytes).position(|w| !f16::from_le_bytes(w).is_finite()),
            Self::BF16 => words(bytes).position(|w| !bf16::from_le_bytes(w).is_finite()),
        }
    }
}

/// Element type of any tensor of a shard: a float, or the words of quantised blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Float(Dtype),
    /// An unsigned 32-bit word, little-endian.
    Word,
}

impl Element {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            Self::Float(dtype) => dtype.size(),
            Self::Word => 4,
        }
    }

    /// The name safetensors headers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float(dtype) => dtype.name(),
            Self::Word => "U32",
        }
    }

    /// The type of this safetensors name, where a package may hold it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "U32" => Some(Self::Word),
            _ => Dtype::from_name(name).map(Self::Float),
        }
    }
}

/// `bytes` in consecutive words of `N`; a remainder is left out, as lengths are checked before.
pub(crate) fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_keeps_its_value_through_single_precision() {
        let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        for dtype in [Dtype::F16, Dtype::BF16] {
            let values = dtype.decode(&all);
            for (index, (&value, bytes)) in values.iter().zip(all.chunks(2)).enumerate() {
                let alone = dtype.first_non_finite(bytes).is_none();
                assert_eq!(alone, value.is_finite(), "{dtype:?} {index:#06x}");
                if alone {
                    assert_eq!(dtype.encode(&[value]), bytes, "{dtype:?} {index:#06x}");
                }
            }
        }
    }

    #[test]
    fn the_first_bad_element_is_pointed_at() {
        let bytes = Dtype::F32.encode(&[0.0, f32::MAX, f32::NAN, f32::INFINITY]);
        assert_eq!(Dtype::F32.first_non_finite(&bytes), Some(2));
        assert_eq!(Dtype::F32.first_non_finite(&bytes[..8]), None);
    }

    #[test]
    fn names_are_those_of_safetensors_and_no_other_type_has_one() {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            assert_eq!(Dtype::from_name(dtype.name()), Some(dtype));
        }
        for other in ["F64", "I64", "U8", "BOOL", "f32", ""] {
            assert_eq!(Dtype::from_name(other), None, "{other}");
        }
    }
}
