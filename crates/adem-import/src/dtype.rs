//! Element types of other people's checkpoints.

use adem_package::quant::Scheme;
use half::{bf16, f16};
use serde::Serialize;

use crate::gguf::blocks;

/// Element type of a tensor in a file. Values are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // The names say it.
pub enum Dtype {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    /// A package's codes in four bits, their scales apart.
    #[serde(rename = "q4")]
    Q4,
    /// A package's codes in eight bits, their scales apart.
    #[serde(rename = "q8")]
    Q8,
    /// GGUF: blocks of 32 codes in four bits, one scale.
    #[serde(rename = "Q4_0")]
    Q4_0,
    /// GGUF: blocks of 32 codes in eight bits, one scale.
    #[serde(rename = "Q8_0")]
    Q8_0,
    /// GGUF: blocks of 256 codes in four bits, eight scales and minima in six bits.
    #[serde(rename = "Q4_K")]
    Q4K,
    /// GGUF: blocks of 256 codes in six bits, sixteen scales in eight bits.
    #[serde(rename = "Q6_K")]
    Q6K,
}

impl Dtype {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
            Self::Q4 => "q4",
            Self::Q8 => "q8",
            Self::Q4_0 => "Q4_0",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Elements of a block, and its bytes. A block of a plain type is one element.
    pub fn block(self) -> (u64, u64) {
        match self {
            Self::F64 | Self::I64 | Self::U64 => (1, 8),
            Self::F32 | Self::I32 | Self::U32 => (1, 4),
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => (1, 2),
            Self::I8 | Self::U8 | Self::Bool => (1, 1),
            Self::Q4 => (32, 16),
            Self::Q8 => (32, 32),
            Self::Q4_0 => (32, 18),
            Self::Q8_0 => (32, 34),
            Self::Q4K => (256, 144),
            Self::Q6K => (256, 210),
        }
    }

    /// Bytes of `elements` elements; `None` where they fill no whole blocks or cannot be counted.
    pub fn bytes(self, elements: u64) -> Option<u64> {
        let (block, bytes) = self.block();
        if !elements.is_multiple_of(block) {
            return None;
        }
        (elements / block).checked_mul(bytes)
    }

    /// Whether its elements are weights: floats, or codes with scales.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16) || self.is_blocks()
    }

    /// Whether its elements are codes with scales.
    pub fn is_blocks(self) -> bool {
        self.block().0 > 1
    }

    /// The package's blocks that these are, where they are a package's.
    pub fn blocks(self) -> Option<Scheme> {
        match self {
            Self::Q4 => Some(Scheme::Q4),
            Self::Q8 => Some(Scheme::Q8),
            _ => None,
        }
    }

    /// The package's type that holds every value of this one, where there is one.
    pub fn stored(self) -> Option<adem_package::Dtype> {
        match self {
            Self::F32 => Some(adem_package::Dtype::F32),
            Self::F16 => Some(adem_package::Dtype::F16),
            Self::BF16 => Some(adem_package::Dtype::BF16),
            _ => None,
        }
    }

    /// `bytes`, whole blocks, in single precision; nothing where the elements are no weights,
    /// or their scales are elsewhere.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F64 => each(bytes, |w| f64::from_le_bytes(w) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |w| f16::from_le_bytes(w).to_f32()),
            Self::BF16 => each(bytes, |w| bf16::from_le_bytes(w).to_f32()),
            Self::Q4_0 => blocks::q4_0(bytes),
            Self::Q8_0 => blocks::q8_0(bytes),
            Self::Q4K => blocks::q4_k(bytes),
            Self::Q6K => blocks::q6_k(bytes),
            _ => Vec::new(),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks::<N>().0.iter().map(|w| value(*w)).collect()
}
