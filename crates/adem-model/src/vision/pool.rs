//! Several scales of visual tokens from one grid of patches (paper, section 3.2, "multiscale").

use std::ops::Range;

use adem_kernels::{host, ops};
use burn::tensor::Tensor;

use crate::config::Pool;

/// Input cells that output cell `i` of `out` covers among `inp`: adaptive pooling's rule.
fn window(i: usize, out: usize, inp: usize) -> Range<usize> {
    (i * inp / out)..((i + 1) * inp).div_ceil(out)
}

/// Pools patches `[batch, G*G, channels]` to each of `scales` (token counts, square numbers) and
/// concatenates the results in that order: `[batch, sum of scales, channels]`, row by row.
///
/// Pooling is by grid, for any G, upwards too.
pub fn pool_grid(patches: Tensor<3>, scales: &[usize], pool: Pool) -> Tensor<3> {
    let grid = patches.dims()[1].isqrt();
    let pooled = scales
        .iter()
        .map(|&tokens| {
            let side = tokens.isqrt();
            match pool {
                _ if side == grid => patches.clone(),
                Pool::Avg => average(patches.clone(), grid, side),
                Pool::Max => maximum(patches.clone(), grid, side),
            }
        })
        .collect::<Vec<_>>();
    ops::cat(pooled, 1)
}

/// Averaging is linear: one product with a constant `[side*side, grid*grid]` matrix.
fn average(patches: Tensor<3>, grid: usize, side: usize) -> Tensor<3> {
    let mut matrix = vec![0.0f32; side * side * grid * grid];
    for row in 0..side * side {
        let (ys, xs) = (
            window(row / side, side, grid),
            window(row % side, side, grid),
        );
        let share = 1.0 / (ys.len() * xs.len()) as f32;
        for y in ys {
            for x in xs.clone() {
                matrix[row * grid * grid + y * grid + x] = share;
            }
        }
    }
    let [batch, _, _] = patches.dims();
    let matrix = host::tensor(matrix, [1, side * side, grid * grid], &patches.device()).expand([
        batch,
        side * side,
        grid * grid,
    ]);
    ops::matmul(matrix, patches)
}

/// A maximum over a rectangle is the maximum over its columns of the maxima over its rows.
fn maximum(patches: Tensor<3>, grid: usize, side: usize) -> Tensor<3> {
    let [batch, _, channels] = patches.dims();
    let cells = patches.reshape([batch, grid, grid, channels]);
    let squeeze = |x: Tensor<4>, dim: usize| {
        let parts = (0..side)
            .map(|i| {
                let w = window(i, side, grid);
                ops::largest(x.clone().narrow(dim, w.start, w.len()), dim)
            })
            .collect();
        ops::cat(parts, dim)
    };
    squeeze(squeeze(cells, 1), 2).reshape([batch, side * side, channels])
}
