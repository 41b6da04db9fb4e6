//! Normalisation of rows: `shaders/norm.wgsl`.

use burn::backend::wgpu::CubeTensor;
use burn::tensor::DType;

use super::launch::{Launch, bindable, empty, folded};
use super::registry;
use super::shader::{self, Element};
use crate::variant::Task;

/// `x` `[.., k]` with `gain` `[k]`: RMSNorm, or LayerNorm where there is a `shift` `[k]`. Shapes are
/// the caller's to check.
pub(crate) fn norm(
    x: &CubeTensor,
    gain: &CubeTensor,
    shift: Option<&CubeTensor>,
    eps: f32,
) -> Option<CubeTensor> {
    const WORKGROUP: u32 = 64;
    registry::variant(&x.device, Task::Norm)?;
    let k = gain.meta.shape()[0];
    let shape = x.meta.shape().clone();
    let rows = shape.num_elements() / k;
    if !bindable(&[x]) || u32::try_from(shape.num_elements()).is_err() {
        return None;
    }
    let (vector, vectors) = match k.is_multiple_of(4) {
        true => (shader::VECTOR_WIDE, k / 4),
        false => (shader::VECTOR_NARROW, k),
    };
    let y = empty(x, shape, DType::F32);
    let mut launch = Launch::new(shader::NORM, WORKGROUP, x)
        .part(vector)
        .flag("CENTRED", shift.is_some())
        .read("x", Element::Vector, x)
        .read("gain", Element::Vector, gain);
    if let Some(shift) = shift {
        launch = launch.read("shift", Element::Vector, shift);
    }
    let [gx, gy] = folded(rows);
    launch.write("y", Element::Vector, &y).dispatch(
        [gx, gy, 1],
        [[rows as u32, vectors as u32, k as u32, eps.to_bits()]],
    );
    Some(y)
}
