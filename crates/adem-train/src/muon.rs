//! Muon: steps of matrices made orthogonal, for pre-training from nothing.
//!
//! Keller Jordan et al., 2024 (<https://kellerjordan.github.io/posts/muon/>), scaled to AdamW's
//! step length as in arXiv 2502.16982, so that both share one learning rate. What it is worth on
//! the scenes recipe stands in docs/benchmarks.md. Burn has a Muon, too, but keeps its momentum to
//! itself: a checkpoint could not hold it.

use burn::tensor::Tensor;

/// Decay of the gradients' running sum.
const MOMENTUM: f64 = 0.95;
/// Newton-Schulz iteration: coefficients and steps.
const COEFFICIENTS: [f64; 3] = [3.4445, -4.775, 2.0315];
const STEPS: usize = 5;
/// Root mean square of AdamW's steps, in learning rates.
const ADAMW_RMS: f64 = 0.2;

/// Whether a parameter is Muon's: the matrices inside transformer blocks and projectors.
/// Embeddings, heads, biases and norms stay with AdamW.
pub(crate) fn takes(name: &str, dimensions: usize) -> bool {
    let hidden = name.contains("resblocks.")
        || name.starts_with("layers.")
        || name.starts_with("adapter_proj");
    dimensions == 2 && hidden
}

/// The step to subtract from a matrix `[rows, columns]`, and the running sum to keep.
pub(crate) fn step<const D: usize>(
    name: &str,
    lr: f64,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
) -> (Tensor<D>, Tensor<D>) {
    let shape = gradient.shape();
    let (rows, columns) = (shape[0], shape[D - 1]);
    let velocity = match velocity {
        Some(velocity) => velocity * MOMENTUM + gradient.clone(),
        None => gradient.clone(),
    };
    let ahead = velocity.clone() * MOMENTUM + gradient;
    // Query, key and value projections are three matrices in one tensor.
    let parts = if name.ends_with("in_proj_weight") {
        3
    } else {
        1
    };
    let step = orthogonal(ahead.reshape([parts, rows / parts, columns]));
    let scale = lr * ADAMW_RMS * ((rows / parts).max(columns) as f64).sqrt();
    (step.reshape(shape) * scale, velocity)
}

/// The nearest matrices with equal singular values, roughly: `[parts, rows, columns]`.
fn orthogonal(x: Tensor<3>) -> Tensor<3> {
    let [_, rows, columns] = x.dims();
    let tall = rows > columns;
    let x = if tall { x.swap_dims(1, 2) } else { x };
    let norm = x.clone().square().sum_dim(2).sum_dim(1).sqrt() + 1e-7;
    let mut x = x / norm;
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..STEPS {
        let gram = x.clone().matmul(x.clone().swap_dims(1, 2));
        let inner = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + inner.matmul(x);
    }
    if tall { x.swap_dims(1, 2) } else { x }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use burn::tensor::{Device, Distribution};

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_step_has_nearly_orthogonal_rows_of_the_stated_length() {
        let device = Device::flex();
        for shape in [[8, 24], [24, 8], [12, 12]] {
            let gradient = Tensor::<2>::random(shape, Distribution::Normal(0.0, 3.0), &device);
            let (step, _) = step("layers.0.w", 1.0, gradient, None);
            let step = step / (ADAMW_RMS * (shape[0].max(shape[1]) as f64).sqrt());
            let step = if shape[0] > shape[1] {
                step.transpose()
            } else {
                step
            };
            let gram = step.clone().matmul(step.transpose());
            let n = gram.dims()[0];
            for (i, v) in values(gram).into_iter().enumerate() {
                let (low, high) = if i % (n + 1) == 0 {
                    (0.4, 1.6)
                } else {
                    (-0.5, 0.5)
                };
                assert!((low..high).contains(&v), "{shape:?} {i}: {v}");
            }
        }
    }

    #[test]
    fn the_length_of_the_gradient_does_not_matter_and_its_past_does() {
        let device = Device::flex();
        let gradient = Tensor::<2>::random([6, 10], Distribution::Normal(0.0, 1.0), &device);
        let (one, past) = step("layers.0.w", 0.1, gradient.clone(), None);
        let (other, _) = step("layers.0.w", 0.1, gradient.clone() * 1000.0, None);
        for (a, b) in values(one.clone()).into_iter().zip(values(other)) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
        let turned = Tensor::<2>::random([6, 10], Distribution::Normal(0.0, 1.0), &device);
        let (with, _) = step("layers.0.w", 0.1, turned.clone(), Some(past));
        let (without, _) = step("layers.0.w", 0.1, turned, None);
        assert_ne!(values(with), values(without));
    }

    #[test]
    fn the_three_projections_of_attention_do_not_mix() {
        let device = Device::flex();
        let gradient = Tensor::<2>::random([12, 4], Distribution::Normal(0.0, 1.0), &device);
        let (all, _) = step("a.in_proj_weight", 0.1, gradient.clone(), None);
        let (first, _) = step("a.weight", 0.1, gradient.narrow(0, 0, 4), None);
        for (a, b) in values(all.narrow(0, 0, 4)).into_iter().zip(values(first)) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }

    #[test]
    fn only_hidden_matrices_are_taken() {
        assert!(takes("layers.0.attention.wq.weight", 2));
        assert!(takes(
            "backbone.visual.transformer.resblocks.1.attn.in_proj_weight",
            2
        ));
        assert!(!takes("layers.0.attention_norm.weight", 1));
        assert!(!takes("tok_embeddings.weight", 2));
        assert!(takes("adapter_proj.fc1.weight", 2));
        assert!(!takes("adapter_emb1", 2));
    }
}
