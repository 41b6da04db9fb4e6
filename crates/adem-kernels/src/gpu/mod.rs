//! The kernels on Burn's wgpu backend.

mod adapter;
mod attend;
mod case;
pub(crate) mod check;
mod compare;
mod decode;
mod expected;
mod extension;
mod launch;
mod norm;
mod open;
mod packed;
pub(crate) mod probe;
mod product;
pub(crate) mod registry;
mod shader;
mod template;
#[cfg(test)]
mod tests;
pub(crate) mod tune;

use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::backend::{Cube, DispatchDevice};
use burn::tensor::{DType, Device, Int, Tensor};
use burn_cubecl::CubeDevice;

use crate::cross_attention::CrossAttention;
use crate::decode::Heads;
use crate::linear::Epilogue;
use crate::matrix::{Matrix, ScaleTensor, Values};
use crate::reading::DeviceError;
use crate::variant::{Format, Rows, Task, Variant};
use attend::Attend;
use product::{Product, Size, Weights};

pub(crate) use adapter::adapter;
pub(crate) use extension::cross_attention;
pub(crate) use launch::launches;
pub(crate) use open::open;

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

/// What `of` has refused since this was last asked.
pub(crate) fn take_refusal(of: &Device) -> Option<String> {
    registry::take_refusal(&device(of)?)
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

/// The words as a contiguous u32 buffer on a wgpu device.
fn words<const D: usize>(tensor: &Tensor<D, Int>) -> Option<CubeTensor> {
    let tensor = tensor.clone().try_into_primitive::<Cube>().ok()?;
    let fits = matches!(tensor.device, CubeDevice::Wgpu(_)) && tensor.dtype == DType::U32;
    fits.then(|| into_contiguous(tensor))
}

/// A matrix as kernels read it.
fn weights(matrix: &Matrix) -> Option<Weights> {
    match &matrix.values {
        Values::Float(values) => Some(Weights::float(Format::Float, floats(values)?)),
        Values::Host { .. } => None,
        Values::Codes {
            scheme,
            words: codes,
            scales,
            ..
        } => Some(Weights {
            format: (*scheme).into(),
            values: words(codes)?,
            scales: Some(match &**scales {
                ScaleTensor::Single(scales) => floats(scales)?,
                ScaleTensor::Half(scales) => words(scales)?,
            }),
        }),
    }
}

/// What `f` makes of a tensor that may be absent; `None` where it is there and does not fit.
fn optional<T, U>(value: Option<T>, f: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match value {
        Some(value) => f(value).map(Some),
        None => Some(None),
    }
}

/// [`crate::linear()`] in a kernel; `None` where none holds it.
pub(crate) fn linear(x: &Tensor<3>, matrix: &Matrix, epilogue: &Epilogue) -> Option<Tensor<3>> {
    let [batch, rows, k] = x.dims();
    let [n, width] = matrix.shape();
    let agree = width == k
        && epilogue
            .gate
            .is_none_or(|gate| gate.shape() == matrix.shape() && gate.format() == matrix.format())
        && epilogue.norm.is_none_or(|(gain, _)| gain.dims() == [k])
        && epilogue.bias.is_none_or(|bias| bias.dims() == [n])
        && epilogue
            .residual
            .is_none_or(|residual| residual.dims() == [batch, rows, n]);
    if !agree {
        return None;
    }
    // All batches share the weights, so they are rows of one.
    let m = batch * rows;
    let task = Task::Product(Rows::of(m), matrix.format());
    let variant = registry::variant(&device(&x.device())?, task)?;
    let x = floats(x)?;
    // Tiles are normalised by nobody: their x is, before.
    let (x, norm) = match epilogue.norm {
        Some((gain, eps)) if variant.stages() => {
            let normed = crate::rms_norm(tensor::<3>(x), gain, eps);
            (floats(&normed)?, None)
        }
        norm => (x, norm),
    };
    let mut product = Product {
        gate: optional(epilogue.gate, weights)?,
        norm: optional(norm, |(gain, eps)| Some((floats(gain)?, eps as f32)))?,
        bias: optional(epilogue.bias, floats)?,
        residual: optional(epilogue.residual, floats)?,
        ..Product::new(x, Size { batch: 1, m, k, n }, weights(matrix)?)
    };
    // With everything at once there would be one buffer too many.
    let late = match product.buffers() > launch::MOST_BUFFERS {
        true => product.residual.take(),
        false => None,
    };
    let mut y = product.fits().then(|| product.run(variant))?;
    if let Some(residual) = late {
        y = Cube::float_add(residual, y);
    }
    Some(tensor::<3>(y).reshape([batch, rows, n]))
}

/// [`crate::rms_norm`], or [`crate::layer_norm`] where there is a shift, in a kernel.
pub(crate) fn norm(
    x: &Tensor<3>,
    gain: &Tensor<1>,
    shift: Option<&Tensor<1>>,
    eps: f64,
) -> Option<Tensor<3>> {
    let [_, _, k] = x.dims();
    if gain.dims() != [k] || shift.is_some_and(|shift| shift.dims() != [k]) {
        return None;
    }
    let shift = optional(shift, floats)?;
    let y = norm::norm(&floats(x)?, &floats(gain)?, shift.as_ref(), eps as f32)?;
    Some(tensor(y))
}

/// [`crate::rope_append`] in a kernel, which writes `cache` in place.
pub(crate) fn rope_append(
    qkv: &Tensor<2>,
    tables: [&Tensor<2>; 2],
    cache: &[Tensor<3>; 2],
    past: usize,
    heads: Heads,
) -> Option<Tensor<2>> {
    appending(decode::rope_append, qkv, tables, cache, past, heads)
}

/// [`crate::rope_attention`] of one token in one kernel, which writes `cache` in place.
pub(crate) fn rope_attention(
    qkv: &Tensor<2>,
    tables: [&Tensor<2>; 2],
    cache: &[Tensor<3>; 2],
    past: usize,
    heads: Heads,
) -> Option<Tensor<2>> {
    if heads.kv_heads == 0 || !heads.heads.is_multiple_of(heads.kv_heads) {
        return None;
    }
    appending(decode::rope_attention, qkv, tables, cache, past, heads)
}

/// A kernel of new tokens, tables, cache and past positions.
type Appending =
    fn(&CubeTensor, [&CubeTensor; 2], [&CubeTensor; 2], usize, Heads) -> Option<CubeTensor>;

fn appending(
    kernel: Appending,
    qkv: &Tensor<2>,
    [cos, sin]: [&Tensor<2>; 2],
    cache: &[Tensor<3>; 2],
    past: usize,
    heads: Heads,
) -> Option<Tensor<2>> {
    let [tokens, width] = qkv.dims();
    let [kv_heads, capacity, head] = cache[0].dims();
    let positions = cos.dims()[0];
    let end = past.checked_add(tokens)?;
    let agree = width == (heads.heads + 2 * heads.kv_heads) * heads.head
        && [kv_heads, head] == [heads.kv_heads, heads.head]
        && cache[1].dims() == cache[0].dims()
        && head.is_multiple_of(2)
        && cos.dims() == [positions, head / 2]
        && sin.dims() == cos.dims()
        && end <= capacity.min(positions);
    if !agree {
        return None;
    }
    let in_place = |tensor: &Tensor<3>| {
        let tensor = tensor.clone().try_into_primitive::<Cube>().ok()?;
        (tensor.dtype == DType::F32 && tensor.is_contiguous()).then_some(tensor)
    };
    let out = kernel(
        &floats(qkv)?,
        [&floats(cos)?, &floats(sin)?],
        [&in_place(&cache[0])?, &in_place(&cache[1])?],
        past,
        heads,
    )?;
    Some(tensor(out))
}

/// [`crate::attention()`] in a kernel.
pub(crate) fn attention(
    queries: &Tensor<2>,
    keys: &Tensor<3>,
    values: &Tensor<3>,
    past: usize,
    heads: Heads,
) -> Option<Tensor<2>> {
    let [tokens, width] = queries.dims();
    let [kv_heads, capacity, head] = keys.dims();
    let agree = width == heads.heads * heads.head
        && [kv_heads, head] == [heads.kv_heads, heads.head]
        && kv_heads > 0
        && heads.heads.is_multiple_of(kv_heads)
        && values.dims() == keys.dims()
        && past.checked_add(tokens)? <= capacity;
    if !agree {
        return None;
    }
    let out = decode::attention(
        &floats(queries)?,
        &floats(keys)?,
        &floats(values)?,
        past,
        heads,
    )?;
    Some(tensor(out))
}

/// [`crate::self_attention`] in a kernel.
pub(crate) fn self_attention(qkv: &Tensor<3>, heads: usize) -> Option<Tensor<3>> {
    let [_, _, width] = qkv.dims();
    if heads == 0 || !width.is_multiple_of(3 * heads) {
        return None;
    }
    decode::self_attention(&floats(qkv)?, heads).map(tensor)
}

/// [`crate::next_token`] in a kernel.
pub(crate) fn next_token(
    logits: &Tensor<1>,
    table: &Matrix,
) -> Option<(Tensor<1, Int>, Tensor<2>)> {
    let [vocabulary, width] = table.shape();
    if logits.dims() != [vocabulary] {
        return None;
    }
    let [id, embedding] = decode::next_token(&floats(logits)?, &weights(table)?, width)?;
    Some((Tensor::from_primitive::<Cube>(id), tensor(embedding)))
}

/// [`crate::IdReading`] of a buffer on a wgpu device. Burn's own reading waits for whoever looks at
/// the data, and for all work until then.
pub(crate) fn read_id(
    id: &Tensor<1, Int>,
) -> Option<impl Future<Output = Result<i64, DeviceError>> + Send + use<>> {
    let id = words(id)?;
    Some(async move {
        let read = id.client.read_async(vec![id.handle.clone()]).await;
        if let Some(message) = registry::take_refusal(&id.device) {
            return Err(DeviceError(message));
        }
        let bytes = read.map_err(|error| DeviceError(format!("{error:?}")))?;
        let word = bytes.first().and_then(|bytes| bytes.first_chunk());
        let word = word.ok_or_else(DeviceError::nothing)?;
        Ok(i64::from(u32::from_le_bytes(*word)))
    })
}
