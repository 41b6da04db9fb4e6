//! The vision encoder's activation.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};

use crate::cpu;
use crate::matrix::host_values;

/// QuickGELU, `x * sigmoid(1.702 x)` (arXiv 1606.08415): on the CPU backend in one pass, elsewhere
/// in Burn's operations.
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    let device = x.device();
    if !crate::on_host(&device) {
        return x.clone() * sigmoid(x * 1.702);
    }
    let shape = x.dims();
    let mut values = host_values(x);
    cpu::quick_gelu(&mut values);
    Tensor::from_data(TensorData::new(values, shape), &device)
}
