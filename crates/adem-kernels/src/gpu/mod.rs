//! The kernels on Burn's wgpu backend.

mod attend;
mod extension;
mod launch;
mod product;
pub(crate) mod registry;
mod shader;
mod template;

use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::backend::{Cube, DispatchDevice};
use burn::tensor::{DType, Device, Tensor};
use burn_cubecl::CubeDevice;

use crate::cross_attention::CrossAttention;
use crate::variant::Variant;
use attend::Attend;

pub(crate) use extension::cross_attention;

/// The wgpu device that `device` is, recording for gradients or not.
pub(crate) fn device(device: &Device) -> Option<CubeDevice> {
    match device.as_dispatch() {
        DispatchDevice::Cube(cube) => wgpu(cube),
        #[cfg(feature = "autodiff")]
        DispatchDevice::Autodiff(autodiff) => match &**autodiff {
            DispatchDevice::Cube(cube) => wgpu(cube),
            _ => None,
        },
        #[allow(unreachable_patterns)]
        _ => None,
    }
}

fn wgpu(device: &CubeDevice) -> Option<CubeDevice> {
    matches!(device, CubeDevice::Wgpu(_)).then(|| device.clone())
}

/// The tensor as a contiguous f32 buffer on a wgpu device; `None` where it is something else.
fn floats<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    let tensor = tensor.clone().try_into_primitive::<Cube>().ok()?;
    let fits = matches!(tensor.device, CubeDevice::Wgpu(_))
        && tensor.dtype == DType::F32
        && tensor.meta.shape().num_elements() > 0;
    fits.then(|| into_contiguous(tensor))
}

/// The cross-attention of these tensors as kernels run it, and its form.
fn attend(
    x: &Tensor<3>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    residual: Option<&Tensor<3>>,
    settings: CrossAttention,
) -> Option<(Attend, Variant)> {
    let [batch, rows, dim] = x.dims();
    let [own, tokens, width] = keys.dims();
    let agree = [batch, dim] == [own, width]
        && values.dims() == keys.dims()
        && residual.is_none_or(|r| r.dims() == [batch, rows, dim])
        && settings.drop_index.is_none_or(|index| index < tokens);
    if !agree {
        return None;
    }
    let attend = Attend {
        x: floats(x)?,
        keys: floats(keys)?,
        values: floats(values)?,
        residual: match residual {
            Some(residual) => Some(floats(residual)?),
            None => None,
        },
        settings,
    };
    let variant = attend.variant()?;
    Some((attend, variant))
}

/// The form in which the device of `x` runs this cross-attention, gradients or not; `None` where
/// it has none.
pub(crate) fn plan_attend(
    x: &Tensor<3>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    settings: CrossAttention,
) -> Option<Variant> {
    device(&x.device())?;
    let inner = |t: &Tensor<3>| t.clone().inner();
    let (_, variant) = attend(&inner(x), &inner(keys), &inner(values), None, settings)?;
    Some(variant)
}

/// Result and map of kept scores.
pub(crate) fn cross_attention_map(
    x: &Tensor<3>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    residual: Option<&Tensor<3>>,
    settings: CrossAttention,
) -> Option<(Tensor<3>, Tensor<3>)> {
    let (attend, variant) = attend(x, keys, values, residual, settings)?;
    let (out, kept) = attend.run_with_map(variant);
    Some((tensor(out), tensor(kept)))
}

/// Result added to `residual`.
pub(crate) fn cross_attention_onto(
    residual: &Tensor<3>,
    x: &Tensor<3>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    settings: CrossAttention,
) -> Option<Tensor<3>> {
    let (attend, variant) = attend(x, keys, values, Some(residual), settings)?;
    Some(tensor(attend.run(variant)))
}

fn tensor<const D: usize>(tensor: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<Cube>(tensor)
}
