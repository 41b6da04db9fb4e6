//! The vision encoder's activation.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use crate::{cpu, host};

/// QuickGELU, `x * sigmoid(1.702 x)` (arXiv 1606.08415): on the CPU backend in one pass, elsewhere
/// in Burn's operations.
pub fn quick_gelu(x: Tensor<3>) -> Tensor<3> {
    match crate::on_host(&x.device()) {
        true => host::change(x, cpu::quick_gelu),
        false => x.clone() * sigmoid(x * 1.702),
    }
}
