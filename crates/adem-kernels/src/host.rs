//! Numbers on their way between the program's memory and tensors.
//!
//! On the CPU backend both are the same memory, and no number is converted or looked at.

use std::ops::Deref;

#[cfg(feature = "flex")]
use burn::backend::{Flex, flex::FlexTensor};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// A tensor of `values`, row after row, on `device`.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    from_data(TensorData::new(values, shape), device)
}

/// A tensor of f32 `data` on `device`.
pub fn from_data<const D: usize>(data: TensorData, device: &Device) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if crate::on_host(device) {
        return Tensor::from_primitive::<Flex>(FlexTensor::from_data(data));
    }
    Tensor::from_data(data, device)
}

/// A tensor of ids or places, row after row, on `device`.
pub fn int_tensor<const D: usize>(
    values: Vec<i32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D, Int> {
    let data = TensorData::new(values, shape);
    #[cfg(feature = "flex")]
    if crate::on_host(device) {
        return Tensor::from_primitive::<Flex>(FlexTensor::from_data(data));
    }
    Tensor::from_data(data, device)
}

/// The numbers of a tensor on the CPU backend, row after row; not copied where nobody else holds
/// them.
pub fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.cast(DType::F32).into_data();
    data.try_into_vec().unwrap_or_default()
}

/// The ids of a tensor on the CPU backend, row after row.
pub(crate) fn ids<const D: usize>(tensor: Tensor<D, Int>) -> Vec<i64> {
    tensor.into_data().iter::<i64>().collect()
}

/// The numbers of a tensor on the CPU backend, row after row, where they lie.
pub struct View(Numbers);

enum Numbers {
    #[cfg(feature = "flex")]
    There(FlexTensor),
    Copied(Vec<f32>),
}

/// Looks at the numbers of a tensor on the CPU backend; they are copied only where they do not lie
/// row after row.
pub fn view<const D: usize>(tensor: &Tensor<D>) -> View {
    #[cfg(feature = "flex")]
    if let Ok(there) = tensor.clone().try_into_primitive::<Flex>()
        && there.as_slice::<f32>().is_some()
    {
        return View(Numbers::There(there));
    }
    View(Numbers::Copied(floats(tensor.clone())))
}

impl Deref for View {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            #[cfg(feature = "flex")]
            Numbers::There(tensor) => tensor.as_slice::<f32>().unwrap_or_default(),
            Numbers::Copied(values) => values,
        }
    }
}

/// A tensor of the CPU backend after `f` has changed its numbers; of the same shape.
pub(crate) fn change<const D: usize>(x: Tensor<D>, f: impl FnOnce(&mut [f32])) -> Tensor<D> {
    let (device, shape) = (x.device(), x.dims());
    let mut values = floats(x);
    f(&mut values);
    tensor(values, shape, &device)
}

/// `f` of the numbers of two tensors of the CPU backend, sizes of 1 in `y` standing for those of
/// `x`.
pub(crate) fn join<const D: usize>(
    x: Tensor<D>,
    y: Tensor<D>,
    f: impl Fn(f32, f32) -> f32,
) -> Tensor<D> {
    let (shape, other) = (x.dims(), y.dims());
    let y = view(&y);
    change(x, |values| {
        if shape == other {
            for (x, y) in values.iter_mut().zip(y.iter()) {
                *x = f(*x, *y);
            }
            return;
        }
        // Rows of the last dimension, each with the row of `y` that stands for it.
        let [width, own] = [shape[D - 1].max(1), other[D - 1]];
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            let start = place(row, &shape[..D - 1], &other[..D - 1]) * own;
            match own {
                1 => values.iter_mut().for_each(|x| *x = f(*x, y[start])),
                _ => {
                    for (x, y) in values.iter_mut().zip(&y[start..]) {
                        *x = f(*x, *y);
                    }
                }
            }
        }
    })
}

/// Where number `index` of a tensor of `shape` lies in one of shape `other`, whose sizes are the
/// same or 1.
fn place(mut index: usize, shape: &[usize], other: &[usize]) -> usize {
    let (mut place, mut step) = (0, 1);
    for (size, other) in shape.iter().zip(other).rev() {
        place += index % size % other * step;
        index /= size;
        step *= other;
    }
    place
}

/// Tensors of the CPU backend one after another along dimension `dim`.
pub(crate) fn cat<const D: usize>(parts: &[Tensor<D>], dim: usize) -> Tensor<D> {
    let (mut shape, device) = (parts[0].dims(), parts[0].device());
    shape[dim] = parts.iter().map(|part| part.dims()[dim]).sum();
    // Runs that lie together in a part, and their length there.
    let runs: usize = shape[..dim].iter().product();
    let views: Vec<_> = parts.iter().map(view).collect();
    let mut values = Vec::with_capacity(shape.iter().product());
    for run in 0..runs {
        for view in &views {
            let length = view.len() / runs;
            values.extend_from_slice(&view[run * length..][..length]);
        }
    }
    tensor(values, shape, &device)
}

/// `x` `[.., .., k]` on the CPU backend, each row that has a place in `rows` replaced by that row of
/// `values` `[.., .., k]`.
pub fn rows_into(x: Tensor<3>, values: &Tensor<3>, rows: &[Option<i32>]) -> Tensor<3> {
    let (width, values) = (x.dims()[2].max(1), view(values));
    change(x, |x| {
        for (x, row) in x.chunks_exact_mut(width).zip(rows) {
            if let Some(row) = row {
                x.copy_from_slice(&values[*row as usize * width..][..width]);
            }
        }
    })
}
