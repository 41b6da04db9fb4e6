//! Inputs of the self-test: at start-up small and always the same, in a search of any size and
//! kind, as a seed says.

use std::ops::RangeInclusive;

use burn::tensor::{DType, Device, Tensor, TensorData, f16};

use super::product::Weights;
use super::{floats, weights};
use crate::blocks::{Blocks, Scales, Scheme};
use crate::cpu::HostMatrix;
use crate::matrix::Matrix;
use crate::variant::Format;

/// Inputs that follow from a seed.
pub(crate) struct Seeded<'a> {
    pub state: u64,
    pub device: &'a Device,
}

impl Seeded<'_> {
    fn word(&mut self) -> u32 {
        // SplitMix64 (Steele et al. 2014).
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn signed(&mut self) -> f32 {
        self.word() as f32 / (u32::MAX as f32 / 2.0) - 1.0
    }

    /// Numbers in -1..1.
    pub fn floats<const D: usize>(&mut self, shape: [usize; D]) -> Tensor<D> {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| self.signed()).collect();
        let data = TensorData::new(values, shape);
        Tensor::from_data(data, (self.device, DType::F32))
    }

    /// A matrix of the format.
    pub fn matrix(&mut self, format: Format, shape: [usize; 2]) -> Option<Matrix> {
        match self.blocks(format, shape, true) {
            Some(blocks) => Some(Matrix::packed(blocks?, self.device)),
            None => Some(Matrix::float(self.floats(shape))),
        }
    }

    /// Blocks of the format with scales as packages have them, halves or not; `None` for floats.
    fn blocks(
        &mut self,
        format: Format,
        [rows, columns]: [usize; 2],
        halves: bool,
    ) -> Option<Option<Blocks>> {
        let scheme = match format {
            Format::Float | Format::Across => return None,
            Format::Q4 => Scheme::Q4,
            Format::Q8 => Scheme::Q8,
        };
        let blocks = rows * columns.div_ceil(crate::BLOCK);
        let words = (0..blocks * scheme.words()).map(|_| self.word()).collect();
        let scales = (0..blocks).map(|_| self.signed() / 64.0);
        let scales = match halves {
            true => Scales::Half(packed(scales)),
            false => Scales::Single(scales.collect()),
        };
        Some(Blocks::new(scheme, [rows, columns], words, scales).ok())
    }
}

/// Halves packed in u32, low half first.
fn packed(scales: impl Iterator<Item = f32>) -> Vec<u32> {
    let halves: Vec<u16> = scales.map(|s| f16::from_f32(s).to_bits()).collect();
    let word = |pair: &[u16]| {
        pair.iter()
            .rev()
            .fold(0, |w, half| w << 16 | u32::from(*half))
    };
    halves.chunks(2).map(word).collect()
}

/// What a kernel is run on once.
pub(super) struct Case<'a> {
    seeded: Seeded<'a>,
    searching: bool,
}

impl<'a> Case<'a> {
    /// Small, and always the same.
    pub fn usual(device: &'a Device) -> Self {
        let seeded = Seeded { state: 1, device };
        let searching = false;
        Self { seeded, searching }
    }

    /// Of any size and kind.
    pub fn of(seed: u64, device: &'a Device) -> Self {
        let state = !seed;
        let seeded = Seeded { state, device };
        let searching = true;
        Self { seeded, searching }
    }

    /// `usual`, or in a search any of `range`.
    pub fn size(&mut self, usual: usize, range: RangeInclusive<usize>) -> usize {
        if !self.searching {
            return usual;
        }
        range.start() + self.seeded.word() as usize % (range.end() - range.start() + 1)
    }

    /// All of `choices`, or in a search any one of them.
    pub fn some<'c, T>(&mut self, choices: &'c [T]) -> &'c [T] {
        match choices.len() {
            0 => choices,
            _ if !self.searching => choices,
            count => {
                let at = self.seeded.word() as usize % count;
                &choices[at..=at]
            }
        }
    }

    /// Numbers in -1..1 and their tensor. In a search also few different ones, -0.0 among them, all
    /// alike, or up to `most`.
    pub fn numbers<const D: usize>(
        &mut self,
        shape: [usize; D],
        most: f32,
    ) -> (Vec<f32>, Tensor<D>) {
        let kind = if self.searching {
            self.seeded.word() % 6
        } else {
            0
        };
        let first = self.seeded.signed();
        let number = |_| match kind {
            0..3 => self.seeded.signed(),
            3 => [-1.0, -0.5, -0.0, 0.0, 0.5, 1.0][self.seeded.word() as usize % 6],
            4 => first,
            _ => self.seeded.signed() * most,
        };
        let values: Vec<f32> = (0..shape.iter().product()).map(number).collect();
        let data = TensorData::new(values.clone(), shape);
        let tensor = Tensor::from_data(data, (self.seeded.device, DType::F32));
        (values, tensor)
    }

    /// A matrix of the format: its values `[n, k]`, the same on the device, and as kernels read it.
    pub fn matrix(&mut self, format: Format, shape: [usize; 2]) -> Option<(Vec<f32>, Weights)> {
        let [n, k] = shape;
        if format == Format::Across {
            let (across, tensor) = self.numbers([1, k, n], 1.0);
            let value = |i: usize| across[i % k * n + i / k];
            let weights = Weights::float(format, floats(&tensor)?);
            return Some(((0..n * k).map(value).collect(), weights));
        }
        let halves = self.size(1, 0..=1) == 1;
        let Some(blocks) = self.seeded.blocks(format, shape, halves) else {
            let (values, tensor) = self.numbers(shape, 1.0);
            return Some((values, Weights::float(format, floats(&tensor)?)));
        };
        let blocks = blocks?;
        let scales = blocks
            .scales
            .clone()
            .into_single(n * k.div_ceil(crate::BLOCK));
        let host = HostMatrix::packed(blocks.scheme, shape, blocks.words.clone(), scales);
        let packed = Matrix::packed(blocks, self.seeded.device);
        Some((host.floats(0..n).into_owned(), weights(&packed)?))
    }
}
