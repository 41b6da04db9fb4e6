//! Rounding with regard to what comes after: a column takes over the error that the columns before
//! it have made in the product.
//!
//! For a row w of a weight and its rounded form v, the mean squared error of the output is
//! `(w - v) H (w - v)^T`, H the mean of `x x^T` over the activations. With `H = (1 + U) D (1 + U)^T`,
//! U strictly upper triangular and D diagonal, that is the sum over the columns k of
//! `D_k (w_k + s_k - v_k)^2` where `s_k = sum over j < k of (w_j - v_j) U_jk`: so each `w_k + s_k` is
//! rounded in its turn, which is what GPTQ does (arXiv 2210.17323, in the form of arXiv 2307.13304,
//! section 3). A row that is better without that, as a few short ones are, goes without.

use std::ops::{Add, AddAssign, Mul, Range};

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

use super::BLOCK;

/// Added to the diagonal of H, as a share of its mean: what was not seen may still come.
const DAMPING: f64 = 0.01;
/// How often ten times more is tried where that is not enough for a factorisation.
const TRIES: u32 = 4;

/// U and D of a weight's activations.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    cols: usize,
    /// Row k holds `U_jk` of the columns j before k, `[cols, cols]`.
    factors: Vec<f32>,
    /// D.
    costs: Vec<f32>,
}

impl Feedback {
    /// Of `products`, the mean of `x x^T`, `[cols, cols]`; `None` where they are no such thing:
    /// another length, not finite, nothing but zeros.
    pub fn new(products: &[f32], cols: usize) -> Option<Self> {
        if cols == 0 || cols.checked_mul(cols) != Some(products.len()) {
            return None;
        }
        let diagonal = (0..cols).map(|i| f64::from(products[i * cols + i]));
        let mean = diagonal.sum::<f64>() / cols as f64;
        if !(mean.is_finite() && mean > 0.0) {
            return None;
        }
        let mut dampings = (0..TRIES).map(|more| mean * DAMPING * f64::from(10u32.pow(more)));
        let lower = dampings.find_map(|damping| factorised(products, cols, damping))?;
        // `lower` is of H with its columns and rows in reverse order.
        let last = cols - 1;
        let mut factors = vec![0.0; cols * cols];
        let mut costs = vec![0.0; cols];
        for k in 0..cols {
            let pivot = lower[(last - k) * cols + last - k];
            costs[k] = (pivot * pivot) as f32;
            for j in 0..k {
                factors[k * cols + j] = (lower[(last - j) * cols + last - k] / pivot) as f32;
            }
        }
        let fine = factors.iter().chain(&costs).all(|value| value.is_finite());
        fine.then_some(Self {
            cols,
            factors,
            costs,
        })
    }

    /// Columns of the weight.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// What an error in each column costs once the columns after it have done what they can, D.
    pub fn costs(&self) -> &[f32] {
        &self.costs
    }

    /// `e H e^T` of errors e, or of whole weights, `[cols]`.
    pub(super) fn cost(&self, e: &[f32]) -> f64 {
        let columns = e.iter().zip(&self.costs).enumerate();
        let each = columns.map(|(k, (value, cost))| {
            f64::from(*cost) * f64::from(value + self.onto(k, 0..k, e)).powi(2)
        });
        each.sum()
    }

    /// `sum over j in range of values_j U_jk`.
    pub(super) fn onto(&self, k: usize, range: Range<usize>, values: &[f32]) -> f32 {
        let row = &self.factors[k * self.cols..][range.clone()];
        dot(row, &values[range])
    }
}

/// The lower triangular L, `[cols, cols]`, with `L L^T` = H in reverse order, its diagonal larger by
/// `damping`; `None` where H is not positive definite.
fn factorised(products: &[f32], cols: usize, damping: f64) -> Option<Vec<f64>> {
    let last = cols - 1;
    let mut rows: Vec<f64> = vec![0.0; cols * cols];
    for (i, row) in rows.chunks_exact_mut(cols).enumerate() {
        for (j, value) in row[..=i].iter_mut().enumerate() {
            *value = f64::from(products[(last - i) * cols + last - j]);
        }
        row[i] += damping;
    }
    // Blocks of columns, left to right: each is taken out of all rows below it at once.
    let mut start = 0;
    while start < cols {
        let end = cols.min(start + BLOCK);
        for i in start..end {
            let (done, rest) = rows.split_at_mut(i * cols);
            let row = &mut rest[..cols];
            for j in start..i {
                let other = &done[j * cols..][..cols];
                row[j] = (row[j] - dot(&row[start..j], &other[start..j])) / other[j];
            }
            let pivot = row[i] - dot(&row[start..i], &row[start..i]);
            if !(pivot.is_finite() && pivot > 0.0) {
                return None;
            }
            row[i] = pivot.sqrt();
        }
        let (done, rest) = rows.split_at_mut(end * cols);
        each_row(rest, cols, |_, row| {
            for j in start..end {
                let other = &done[j * cols..][..cols];
                row[j] = (row[j] - dot(&row[start..j], &other[start..j])) / other[j];
            }
        });
        // What these columns take from all that follow.
        let width = end - start;
        let panel: Vec<f64> = rest
            .chunks_exact(cols)
            .flat_map(|row| &row[start..end])
            .copied()
            .collect();
        each_row(rest, cols, |i, row| {
            let own = &panel[i * width..][..width];
            let panel = panel.chunks_exact(width);
            for (value, other) in row[end..=end + i].iter_mut().zip(panel) {
                *value -= dot(own, other);
            }
        });
        start = end;
    }
    Some(rows)
}

/// `f` of each row's number and the row, on all threads where there are threads.
fn each_row(rows: &mut [f64], cols: usize, f: impl Fn(usize, &mut [f64]) + Sync) {
    #[cfg(not(target_arch = "wasm32"))]
    let rows = rows.par_chunks_exact_mut(cols);
    #[cfg(target_arch = "wasm32")]
    let rows = rows.chunks_exact_mut(cols);
    rows.enumerate().for_each(|(i, row)| f(i, row));
}

/// The sum of products of two rows, in several sums at once.
fn dot<T: Copy + Default + Mul<Output = T> + Add<Output = T> + AddAssign>(a: &[T], b: &[T]) -> T {
    const LANES: usize = 8;
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [T::default(); LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let mut sum = T::default();
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum += *a * *b;
    }
    sums.into_iter().fold(sum, |sum, lane| sum + lane)
}
