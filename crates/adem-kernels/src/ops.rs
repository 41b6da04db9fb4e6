//! What stands between a model's products: Burn's operations, but on the CPU backend over the
//! program's own memory.
//!
//! There they are a loop each over numbers of one type. Burn's are compiled for every type of
//! number, which the page's CPU engine would carry, and each of them is a dispatch and an
//! allocation or two.

use burn::tensor::activation;
use burn::tensor::{Tensor, module};

use crate::cpu::{self, Turned};
use crate::{RopeStyle, host, on_host, threshold};

/// `x * sigmoid(x)` (arXiv 1702.03118).
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match on_host(&x.device()) {
        true => host::change(x, cpu::silu),
        false => activation::silu(x),
    }
}

/// Exact GELU, `x * (1 + erf(x / sqrt 2)) / 2` (arXiv 1606.08415).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if on_host(&x.device()) {
        return host::change(x, cpu::gelu);
    }
    // Burn's own differentiates an approximation on GPUs, 5e-4 off in a model's gradients.
    let cdf = ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0) * 0.5;
    x * cdf
}

/// `f` of every number on the CPU backend, elsewhere `burn`, which is the same.
pub fn map<const D: usize>(
    x: Tensor<D>,
    f: impl Fn(f32) -> f32,
    burn: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    match on_host(&x.device()) {
        true => host::change(x, |values| values.iter_mut().for_each(|x| *x = f(*x))),
        false => burn(x),
    }
}

/// `factor * x`.
pub fn scale<const D: usize>(x: Tensor<D>, factor: f64) -> Tensor<D> {
    let single = factor as f32;
    map(x, |x| x * single, |x| x * factor)
}

/// `x + y`, sizes of 1 in `y` standing for those of `x`.
pub fn add<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    match on_host(&x.device()) {
        true => host::join(x, y, |x, y| x + y),
        false => x + y,
    }
}

/// `x * y`, sizes of 1 in `y` standing for those of `x`.
pub fn mul<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    match on_host(&x.device()) {
        true => host::join(x, y, |x, y| x * y),
        false => x * y,
    }
}

/// The softmax of every row, the last dimension.
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !on_host(&x.device()) {
        return activation::softmax(x, D - 1);
    }
    let width = x.dims()[D - 1].max(1);
    host::change(x, |values| {
        values.chunks_exact_mut(width).for_each(cpu::softmax);
    })
}

/// The largest number along dimension `dim`, which is then 1.
pub fn largest<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    if !on_host(&x.device()) {
        return x.max_dim(dim);
    }
    let one = |i| x.clone().narrow(dim, i, 1);
    let rest = 1..x.dims()[dim];
    rest.map(one)
        .fold(one(0), |most, next| host::join(most, next, f32::max))
}

/// Root-mean-square normalisation of the last dimension with `gain` `[k]`, in Burn's operations or
/// on the CPU backend; see [`rms_norm`](crate::rms_norm) for kernels.
pub(crate) fn rms_norm(x: Tensor<3>, gain: &Tensor<1>, eps: f64) -> Tensor<3> {
    if on_host(&x.device()) {
        let gain = host::view(gain);
        return host::change(x, |values| cpu::rms_norm(values, &gain, eps));
    }
    let scale = (x.clone().square().mean_dim(2) + eps).sqrt().recip();
    x * scale * gain.clone().unsqueeze()
}

/// Layer normalisation of the last dimension with `gain` and `shift` `[k]`, in Burn's operations or
/// on the CPU backend; see [`layer_norm`](crate::layer_norm) for kernels.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gain: &Tensor<1>,
    shift: &Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    if on_host(&x.device()) {
        let (gain, shift) = (host::view(gain), host::view(shift));
        return host::change(x, |values| cpu::layer_norm(values, [&gain, &shift], eps));
    }
    module::layer_norm(x, gain.clone(), Some(shift.clone()), eps)
}

/// `a b` of matrices `[.., m, k]` and `[.., k, n]`, as many of both.
pub fn matmul<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    match on_host(&a.device()) {
        true => product(a, b.swap_dims(D - 2, D - 1)),
        false => a.matmul(b),
    }
}

/// `a b^T` of matrices `[.., m, k]` and `[.., n, k]`, as many of both.
pub fn matmul_by_rows<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    match on_host(&a.device()) {
        true => product(a, b),
        false => a.matmul(b.swap_dims(D - 2, D - 1)),
    }
}

fn product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let device = a.device();
    let (mut shape, [n, k]) = (a.dims(), [b.dims()[D - 2], b.dims()[D - 1]]);
    let size = [shape[D - 2], n, k];
    shape[D - 1] = n;
    let out = cpu::products(&host::view(&a), &host::view(&b), size);
    host::tensor(out, shape, &device)
}

/// Tensors one after another along dimension `dim`, of which there is at least one.
pub fn cat<const D: usize>(parts: Vec<Tensor<D>>, dim: usize) -> Tensor<D> {
    match parts.first() {
        Some(first) if on_host(&first.device()) => host::cat(&parts, dim),
        _ => Tensor::cat(parts, dim),
    }
}

/// Scores `[batch, rows, N]` with those below their row's `index`-th smallest set to 0.
pub fn masked(scores: Tensor<3>, index: usize) -> Tensor<3> {
    if !on_host(&scores.device()) {
        let dropped = threshold::keep_mask(scores.clone().detach(), index).bool_not();
        return scores.mask_fill(dropped, 0.0);
    }
    let n = scores.dims()[2].max(1);
    host::change(scores, |values| {
        values
            .chunks_exact_mut(n)
            .for_each(|row| cpu::mask(row, index));
    })
}

/// Turns pairs of queries or keys `[batch, heads, tokens, head]` by the angles whose cosines and
/// sines are given, `[batch or 1, 1, tokens, head / 2]` (arXiv 2104.09864).
pub fn turn(x: Tensor<4>, cos: &Tensor<4>, sin: &Tensor<4>, style: RopeStyle) -> Tensor<4> {
    let [batch, heads, tokens, head] = x.dims();
    if on_host(&x.device()) {
        let angles = Turned {
            cos: &host::view(cos),
            sin: &host::view(sin),
            style,
        };
        return host::change(x, |values| {
            angles.apply(values, [batch, heads, tokens, head])
        });
    }
    let by = |a: Tensor<4>, b: Tensor<4>| {
        (
            a.clone() * cos.clone() - b.clone() * sin.clone(),
            a * sin.clone() + b * cos.clone(),
        )
    };
    match style {
        RopeStyle::Half => {
            let (a, b) = by(
                x.clone().narrow(3, 0, head / 2),
                x.narrow(3, head / 2, head / 2),
            );
            Tensor::cat(vec![a, b], 3)
        }
        RopeStyle::Interleaved => {
            let pairs = x.reshape([batch, heads, tokens, head / 2, 2]);
            let part = |i| pairs.clone().narrow(4, i, 1).squeeze_dim::<4>(4);
            let (a, b) = by(part(0), part(1));
            Tensor::stack::<5>(vec![a, b], 4).reshape([batch, heads, tokens, head])
        }
    }
}
