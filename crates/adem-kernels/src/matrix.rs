//! Weight matrices, float or block-quantised.

use burn::tensor::{DType, Device, Int, Tensor, TensorData, f16};

use crate::variant::Format;

/// Numbers of a row that share a scale.
pub const BLOCK: usize = 32;

/// A weight matrix `[n, k]`, its rows the outputs as checkpoints store them.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub(crate) values: Values,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// How a matrix is held.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// `[n, k]`.
    Float(Tensor<2>),
    /// On devices with kernels: words `[n, words a row]` u32 and scales, `[n, blocks]` f32 or
    /// halves packed in u32 `[words]`.
    Codes {
        format: Format,
        words: Tensor<2, Int>,
        scales: Box<ScaleTensor>,
    },
}

/// Scales on a device.
#[derive(Debug, Clone)]
pub(crate) enum ScaleTensor {
    Single(Tensor<2>),
    Half(Tensor<1, Int>),
}

/// One scale a block, row after row.
#[derive(Debug, Clone)]
pub enum Scales {
    /// f32, `rows * blocks` of them.
    Single(Vec<f32>),
    /// Halves packed in u32, low half first; an odd number of them is filled up.
    Half(Vec<u32>),
}

/// Quantised weights that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// Not a quantised format, or a matrix without rows or columns.
    #[error("a {rows} x {columns} matrix cannot be made of {format:?} codes")]
    Shape {
        /// What was asked for.
        format: Format,
        /// Outputs.
        rows: usize,
        /// Inputs.
        columns: usize,
    },
    /// Too few or too many codes or scales.
    #[error("{what}: {found} words where a {rows} x {columns} matrix has {expected}")]
    Length {
        /// `codes` or `scales`.
        what: &'static str,
        /// Outputs.
        rows: usize,
        /// Inputs.
        columns: usize,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
}

impl Matrix {
    /// A float matrix `[n, k]`.
    pub fn float(values: Tensor<2>) -> Self {
        let [rows, columns] = values.dims();
        Self {
            values: Values::Float(values),
            rows,
            columns,
        }
    }

    /// A quantised matrix `[rows, columns]` of codes packed in `words`: rows are filled up to
    /// whole blocks of [`BLOCK`]; codes are two's complement, the weight is code times scale.
    ///
    /// * `Q8`: byte j of word w of a block is column 4w + j.
    /// * `Q4`: byte j of word w of a block holds column 4w + j in its low nibble and column
    ///   16 + 4w + j in its high one.
    ///
    /// On a device without kernels the matrix is unpacked once, here.
    ///
    /// # Errors
    /// Where format, sizes and lengths do not fit together.
    pub fn quantised(
        format: Format,
        [rows, columns]: [usize; 2],
        words: Vec<u32>,
        scales: Scales,
        device: &Device,
    ) -> Result<Self, MatrixError> {
        let per_block = words_of_block(format).filter(|_| rows > 0 && columns > 0);
        let Some(per_block) = per_block else {
            return Err(MatrixError::Shape {
                format,
                rows,
                columns,
            });
        };
        let blocks = columns.div_ceil(BLOCK);
        let length = |what, expected, found| match expected == found {
            true => Ok(()),
            false => Err(MatrixError::Length {
                what,
                rows,
                columns,
                expected,
                found,
            }),
        };
        let expected = rows.saturating_mul(blocks);
        length("codes", expected.saturating_mul(per_block), words.len())?;
        match &scales {
            Scales::Single(s) => length("scales", expected, s.len())?,
            Scales::Half(s) => length("scales", expected.div_ceil(2), s.len())?,
        }
        let values = if crate::has_kernels(device) {
            let shape = [rows, blocks * per_block];
            Values::Codes {
                format,
                words: whole(words, shape, device),
                scales: Box::new(match scales {
                    Scales::Single(s) => {
                        let data = TensorData::new(s, [rows, blocks]);
                        ScaleTensor::Single(Tensor::from_data(data, (device, DType::F32)))
                    }
                    Scales::Half(s) => {
                        let count = s.len();
                        ScaleTensor::Half(whole(s, [count], device))
                    }
                }),
            }
        } else {
            let scales = match scales {
                Scales::Single(scales) => scales,
                Scales::Half(words) => words.into_iter().flat_map(halves).collect(),
            };
            let values = unpack(format, columns, &words, &scales);
            let data = TensorData::new(values, [rows, columns]);
            Values::Float(Tensor::from_data(data, device))
        };
        Ok(Self {
            values,
            rows,
            columns,
        })
    }

    /// Rows and columns, `[n, k]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// How it is stored.
    pub fn format(&self) -> Format {
        match &self.values {
            Values::Float(_) => Format::Float,
            Values::Codes { format, .. } => *format,
        }
    }

    /// The matrix in floats, `[n, k]`.
    pub fn unpacked(&self) -> Tensor<2> {
        match &self.values {
            Values::Float(values) => values.clone(),
            Values::Codes {
                format,
                words,
                scales,
            } => self.unpacked_on_device(*format, words.clone(), scales),
        }
    }

    fn unpacked_on_device(
        &self,
        format: Format,
        words: Tensor<2, Int>,
        scales: &ScaleTensor,
    ) -> Tensor<2> {
        let blocks = self.columns.div_ceil(BLOCK);
        let device = words.device();
        let bits = match format {
            Format::Q4 => 4,
            _ => 8,
        };
        let per_word = 32 / bits;
        let top = 1i64 << bits;
        let words = words.reshape([self.rows, blocks, BLOCK / per_word]);
        // Code number i of every word, as floats.
        let code = |i: usize| {
            let code = words
                .clone()
                .bitwise_right_shift_scalar((i * bits) as i64)
                .bitwise_and_scalar(top - 1)
                .float();
            let negative = code.clone().greater_equal_scalar((top / 2) as f32).float();
            code - negative * top as f32
        };
        let part = |first: usize, step: usize| {
            let codes = (0..4).map(|j| code(first + step * j)).collect();
            Tensor::stack::<4>(codes, 3)
        };
        let codes = match format {
            Format::Q4 => {
                let halves = [part(0, 2), part(1, 2)].map(|t| t.reshape([self.rows, blocks, 16]));
                Tensor::cat(halves.to_vec(), 2)
            }
            _ => part(0, 1).reshape([self.rows, blocks, BLOCK]),
        };
        let scales = match scales {
            ScaleTensor::Single(scales) => scales.clone(),
            ScaleTensor::Half(words) => single(words.clone(), [self.rows, blocks], &device),
        };
        (codes * scales.reshape([self.rows, blocks, 1]))
            .reshape([self.rows, blocks * BLOCK])
            .narrow(1, 0, self.columns)
    }
}

/// Words of a block of codes.
fn words_of_block(format: Format) -> Option<usize> {
    match format {
        Format::Q4 => Some(4),
        Format::Q8 => Some(8),
        Format::Float | Format::Across => None,
    }
}

fn whole<const D: usize>(words: Vec<u32>, shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(words, shape), (device, DType::U32))
}

/// The two halves of a word.
fn halves(word: u32) -> [f32; 2] {
    [word as u16, (word >> 16) as u16].map(|bits| f16::from_bits(bits).to_f32())
}

/// Halves packed in words as floats `[rows, blocks]`, by arithmetic on the device.
fn single(words: Tensor<1, Int>, [rows, blocks]: [usize; 2], device: &Device) -> Tensor<2> {
    let count = words.dims()[0];
    let half = |shift: i64| {
        words
            .clone()
            .bitwise_right_shift_scalar(shift)
            .bitwise_and_scalar(0xffff)
    };
    let bits: Tensor<2, Int> = Tensor::stack(vec![half(0), half(16)], 1);
    let exponent = bits
        .clone()
        .bitwise_right_shift_scalar(10)
        .bitwise_and_scalar(31);
    let fraction = bits.clone().bitwise_and_scalar(1023).float() / 1024.0;
    let sign = bits.bitwise_right_shift_scalar(15).float() * -2.0 + 1.0;
    // A subnormal number has no leading one and the exponent of the smallest normal one.
    let normal = exponent.clone().greater_equal_scalar(1).float();
    let powers: Vec<f32> = (0..32).map(|e: i32| 2f32.powi(e.max(1) - 15)).collect();
    let power = Tensor::<1>::from_floats(powers.as_slice(), device)
        .select(0, exponent.reshape([2 * count]).cast(DType::I32))
        .reshape([count, 2]);
    (sign * (fraction + normal) * power)
        .reshape([2 * count])
        .narrow(0, 0, rows * blocks)
        .reshape([rows, blocks])
}

/// Codes times scales, row after row without the filling.
fn unpack(format: Format, columns: usize, words: &[u32], scales: &[f32]) -> Vec<f32> {
    let per_block = words_of_block(format).unwrap_or(1);
    let blocks = columns.div_ceil(BLOCK);
    let mut out = Vec::with_capacity(scales.len() / blocks * columns);
    for (i, (block, scale)) in words.chunks(per_block).zip(scales).enumerate() {
        let left = columns - i % blocks * BLOCK;
        for at in 0..BLOCK.min(left) {
            let code = match format {
                Format::Q4 => {
                    let shift = at % 4 * 8 + at / 16 * 4;
                    (block[at % 16 / 4] << (28 - shift)) as i32 >> 28
                }
                _ => (block[at / 4] << (24 - at % 4 * 8)) as i32 >> 24,
            };
            out.push(code as f32 * scale);
        }
    }
    out
}
