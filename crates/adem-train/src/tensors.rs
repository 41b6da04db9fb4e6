//! Small helpers on tensors that several stages need.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Int, Tensor, TensorData};

/// Rows `from..from + count` of `f32` data whose first dimension counts rows.
pub(crate) fn rows(data: &TensorData, from: usize, count: usize) -> TensorData {
    let mut shape = data.shape().to_vec();
    let each: usize = shape.iter().skip(1).product();
    if let Some(first) = shape.first_mut() {
        *first = count;
    }
    let values = data.as_slice::<f32>().unwrap_or_default();
    let own = values.get(from * each..(from + count) * each);
    debug_assert!(own.is_some() && data.dtype() == DType::F32);
    TensorData::new(own.unwrap_or_default().to_vec(), shape)
}

/// CLIP's symmetric contrastive loss (arXiv 2103.00020) of pictures and texts `[n, channels]`;
/// `sharpness` is the inverse of the temperature.
pub(crate) fn contrastive(pictures: Tensor<2>, texts: Tensor<2>, sharpness: f64) -> Tensor<1> {
    let unit = |x: Tensor<2>| x.clone() / (x.square().sum_dim(1) + 1e-6).sqrt();
    let n = pictures.dims()[0];
    let device = pictures.device();
    let alike = unit(pictures).matmul(unit(texts).transpose()) * sharpness;
    let own = Tensor::<1, Int>::arange(0..n as i64, &device).reshape([n, 1]);
    let side = |x: Tensor<2>| log_softmax(x, 1).gather(1, own.clone()).mean();
    (side(alike.clone()) + side(alike.transpose())) * -0.5
}
