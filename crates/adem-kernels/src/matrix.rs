//! Weight matrices, float or block-quantised.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData, module};

use crate::blocks::{BLOCK, Blocks, Scales, Scheme};
use crate::cpu::{self, HostMatrix};
use crate::gram::Gram;
use crate::variant::Format;
use crate::{Kernels, host, unpack};

/// A weight matrix `[n, k]`, its rows the outputs as checkpoints store them.
#[derive(Debug, Clone)]
pub struct Matrix {
    pub(crate) values: Values,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// What wants to know its activations.
    watch: Option<Arc<Gram>>,
}

/// How a matrix is held.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// `[n, k]`.
    Float(Tensor<2>),
    /// On devices with kernels: words `[n, words a row]` u32 and scales, `[n, blocks]` f32 or
    /// halves packed in u32 `[words]`.
    Codes {
        kernels: Kernels,
        scheme: Scheme,
        words: Tensor<2, Int>,
        scales: Box<ScaleTensor>,
    },
    /// On the CPU backend `device`, in the program's own memory: floats or codes.
    Host {
        matrix: Arc<HostMatrix>,
        device: Device,
    },
}

/// Scales on a device.
#[derive(Debug, Clone)]
pub(crate) enum ScaleTensor {
    Single(Tensor<2>),
    Half(Tensor<1, Int>),
}

impl ScaleTensor {
    /// `count` scales as floats.
    fn single(&self, count: usize) -> Tensor<1> {
        match self {
            Self::Single(scales) => scales.clone().reshape([count]),
            Self::Half(words) => unpack::halves(words.clone()).narrow(0, 0, count),
        }
    }
}

impl Matrix {
    fn of(values: Values, [rows, columns]: [usize; 2]) -> Self {
        Self {
            values,
            rows,
            columns,
            watch: None,
        }
    }

    /// The same matrix; on the CPU backend `gram` then sees what it is multiplied with.
    #[must_use]
    pub fn watched(self, gram: Arc<Gram>) -> Self {
        Self {
            watch: Some(gram),
            ..self
        }
    }

    /// A float matrix `[n, k]`.
    pub fn float(values: Tensor<2>) -> Self {
        let [rows, columns] = values.dims();
        Self::of(Values::Float(values), [rows, columns])
    }

    /// A float matrix `[n, k]` that will never change: on the CPU backend it lies in the program's
    /// own memory, where products with it are fastest.
    pub fn fixed(values: Tensor<2>) -> Self {
        let device = values.device();
        if !crate::on_host(&device) {
            return Self::float(values);
        }
        let [rows, columns] = values.dims();
        let host = HostMatrix::float([rows, columns], host::floats(values));
        let matrix = Arc::new(host);
        Self::of(Values::Host { matrix, device }, [rows, columns])
    }

    /// A matrix in blocks. It stays packed on devices that multiply packed weights (see
    /// [`keeps_packed`](crate::keeps_packed)); on others it is unpacked once, here.
    pub fn packed(blocks: Blocks, device: &Device) -> Self {
        let Blocks {
            scheme,
            rows,
            columns,
            words,
            scales,
        } = blocks;
        let a_row = columns.div_ceil(BLOCK);
        let values = if let Some(kernels) = Kernels::of(device) {
            Values::Codes {
                kernels,
                scheme,
                words: whole(words, [rows, a_row * scheme.words()], device),
                scales: Box::new(match scales {
                    Scales::Single(s) => {
                        let data = TensorData::new(s, [rows, a_row]);
                        ScaleTensor::Single(Tensor::from_data(data, (device, DType::F32)))
                    }
                    Scales::Half(s) => {
                        let count = s.len();
                        ScaleTensor::Half(whole(s, [count], device))
                    }
                }),
            }
        } else {
            let scales = scales.into_single(rows * a_row);
            let host = HostMatrix::packed(scheme, [rows, columns], words, scales);
            match crate::keeps_packed(device) {
                true => Values::Host {
                    matrix: Arc::new(host),
                    device: device.clone(),
                },
                false => {
                    let values = host.floats(0..rows).into_owned();
                    Values::Float(host::tensor(values, [rows, columns], device))
                }
            }
        };
        Self::of(values, [rows, columns])
    }

    /// Matrices of as many columns, stored alike, below one another; `None` where they differ or
    /// lie in the program's own memory.
    pub fn stacked(parts: &[Self]) -> Option<Self> {
        let columns = parts.first()?.columns;
        if parts.iter().any(|part| part.columns != columns) {
            return None;
        }
        let floats = parts.iter().map(|part| match &part.values {
            Values::Float(values) => Some(values.clone()),
            _ => None,
        });
        let codes = parts.iter().map(|part| match &part.values {
            Values::Codes {
                kernels,
                scheme,
                words,
                ..
            } => Some(((*kernels, *scheme), words.clone())),
            _ => None,
        });
        let values = if let Some(floats) = floats.collect::<Option<Vec<_>>>() {
            Values::Float(Tensor::cat(floats, 0))
        } else {
            let (kinds, words): (Vec<_>, Vec<_>) =
                codes.collect::<Option<Vec<_>>>()?.into_iter().unzip();
            let (kernels, scheme) = *kinds.first()?;
            if kinds.iter().any(|(_, other)| *other != scheme) {
                return None;
            }
            let scales = parts.iter().filter_map(Self::scales);
            Values::Codes {
                kernels,
                scheme,
                words: Tensor::cat(words, 0),
                scales: Box::new(stacked_scales(scales.collect())),
            }
        };
        let rows = parts.iter().map(|part| part.rows).sum();
        Some(Self::of(values, [rows, columns]))
    }

    /// Scales on the device, and how many of them.
    fn scales(&self) -> Option<(ScaleTensor, usize)> {
        let blocks = self.columns.div_ceil(BLOCK);
        match &self.values {
            Values::Codes { scales, .. } => Some(((**scales).clone(), blocks * self.rows)),
            _ => None,
        }
    }

    /// Rows and columns, `[n, k]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// How it is stored.
    pub fn format(&self) -> Format {
        match &self.values {
            Values::Float(_) => Format::Float,
            Values::Codes { scheme, .. } => (*scheme).into(),
            Values::Host { matrix, .. } => matrix.format(),
        }
    }

    /// The matrix in floats, `[n, k]`.
    pub fn unpacked(&self) -> Tensor<2> {
        match &self.values {
            Values::Float(values) => values.clone(),
            Values::Codes {
                scheme,
                words,
                scales,
                ..
            } => {
                let blocks = self.columns.div_ceil(BLOCK);
                let scales = scales.single(self.rows * blocks);
                let scales = scales.reshape([self.rows, blocks]);
                unpack::unpacked(*scheme, words.clone(), scales, self.columns)
            }
            Values::Host { matrix, device } => {
                let values = matrix.floats(0..self.rows).into_owned();
                host::tensor(values, [self.rows, self.columns], device)
            }
        }
    }

    /// Rows `ids` `[batch, tokens]` of the matrix, `[batch, tokens, k]`.
    pub fn rows(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let (device, [batch, tokens]) = (ids.device(), ids.dims());
        let rows: Tensor<2> = match &self.values {
            Values::Float(values) if crate::on_host(&device) => {
                let values = host::view(values);
                self.picked(ids, &device, |row, to| {
                    to.extend_from_slice(&values[row * self.columns..][..self.columns]);
                })
            }
            Values::Float(values) => return module::embedding(values.clone(), ids),
            Values::Codes {
                scheme,
                words,
                scales,
                ..
            } => {
                let ids: Tensor<1, Int> = ids.flatten(0, 1);
                let blocks = self.columns.div_ceil(BLOCK);
                let scales = match &**scales {
                    ScaleTensor::Single(scales) => scales.clone().select(0, ids.clone()),
                    ScaleTensor::Half(words) => unpack::scales_of(words, ids.clone(), blocks),
                };
                let words = words.clone().select(0, ids);
                unpack::unpacked(*scheme, words, scales, self.columns)
            }
            Values::Host { matrix, device } => self.picked(ids, device, |row, to| {
                to.extend_from_slice(&matrix.floats(row..row + 1));
            }),
        };
        rows.reshape([batch, tokens, self.columns])
    }

    /// Rows `ids` put together by `push`, which is given their numbers.
    fn picked(
        &self,
        ids: Tensor<2, Int>,
        device: &Device,
        push: impl Fn(usize, &mut Vec<f32>),
    ) -> Tensor<2> {
        let ids = host::ids(ids);
        let shape = [ids.len(), self.columns];
        let mut values = Vec::with_capacity(shape[0] * shape[1]);
        for id in ids {
            push(id.max(0) as usize % self.rows.max(1), &mut values);
        }
        host::tensor(values, shape, device)
    }

    /// `x W^T + bias` in Burn's own operations, or in the program's memory on the CPU backend.
    pub(crate) fn times(&self, x: Tensor<3>, bias: Option<Tensor<1>>) -> Tensor<3> {
        let (device, [batch, rows, _]) = (x.device(), x.dims());
        if let Some(gram) = &self.watch {
            gram.add(&x);
        }
        let mut y = match &self.values {
            Values::Host { matrix, .. } => matrix.times(&host::view(&x)),
            Values::Float(values) if crate::on_host(&device) => {
                cpu::times(&host::view(&x), &host::view(values), self.columns)
            }
            _ => return module::linear(x, self.unpacked().transpose(), bias),
        };
        if let Some(bias) = bias {
            let bias = host::view(&bias);
            for row in y.chunks_exact_mut(self.rows) {
                row.iter_mut()
                    .zip(bias.iter())
                    .for_each(|(y, bias)| *y += bias);
            }
        }
        host::tensor(y, [batch, rows, self.rows], &device)
    }
}

/// The scales of several matrices, one after another: packed where no half is left over between
/// them.
fn stacked_scales(parts: Vec<(ScaleTensor, usize)>) -> ScaleTensor {
    let last = parts.len().saturating_sub(1);
    let whole = parts[..last].iter().all(|(_, count)| count % 2 == 0);
    let words = parts.iter().map(|(scales, _)| match scales {
        ScaleTensor::Half(words) if whole => Some(words.clone()),
        _ => None,
    });
    match words.collect::<Option<Vec<_>>>() {
        Some(words) => ScaleTensor::Half(Tensor::cat(words, 0)),
        None => {
            let all: Vec<_> = parts.iter().map(|(s, count)| s.single(*count)).collect();
            let all: Tensor<1> = Tensor::cat(all, 0);
            ScaleTensor::Single(all.unsqueeze())
        }
    }
}

fn whole<const D: usize>(words: Vec<u32>, shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(words, shape), (device, DType::U32))
}
