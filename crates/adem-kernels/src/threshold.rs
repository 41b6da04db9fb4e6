//! Adaptive masking: the lowest share gamma of each row's scores is dropped (paper, eq. 9).

use burn::tensor::{Bool, Device, Tensor};

use crate::{cpu, host};

/// Sorted position of the threshold, `floor(gamma * N)` in f64; `None` where nothing is dropped.
///
/// The product must be taken in f64: 0.7 as f32 times 320 gives another index.
pub fn drop_index(drop_ratio: f64, tokens: usize) -> Option<usize> {
    (drop_ratio > 0.0).then(|| ((drop_ratio * tokens as f64) as usize).min(tokens - 1))
}

/// Largest number of pairwise comparisons made at once.
const COMPARISONS: usize = 1 << 24;

/// True where a score `[batch, T, N]` is at least the row's `index`-th smallest.
pub fn keep_mask(scores: Tensor<3>, index: usize) -> Tensor<3, Bool> {
    match selects(&scores.device()) {
        true => by_selecting(scores, index),
        false => by_counting(scores, index),
    }
}

/// Whether scores are at hand: on a GPU reading them back stalls it, and is impossible in a browser.
fn selects(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    {
        crate::on_host(device) || *device == Device::flex()
    }
    #[cfg(not(feature = "flex"))]
    {
        let _ = device;
        false
    }
}

/// The `index`-th smallest score of each row of `[batch, T, N]`, `[batch, T, 1]`.
#[cfg(feature = "autodiff")]
pub(crate) fn threshold(scores: Tensor<3>, index: usize) -> Tensor<3> {
    match selects(&scores.device()) {
        true => smallest(scores, index),
        // It is the lowest that is kept.
        false => {
            let dropped = by_counting(scores.clone(), index).bool_not();
            scores.mask_fill(dropped, f32::INFINITY).min_dim(2)
        }
    }
}

fn smallest(scores: Tensor<3>, index: usize) -> Tensor<3> {
    let (device, [batch, rows, n]) = (scores.device(), scores.dims());
    let scores = host::floats(scores);
    let scores = scores.chunks_exact(n.max(1));
    let thresholds = scores.map(|row| cpu::smallest(row.to_vec(), index));
    host::tensor(thresholds.collect(), [batch, rows, 1], &device)
}

fn by_selecting(scores: Tensor<3>, index: usize) -> Tensor<3, Bool> {
    let threshold = smallest(scores.clone(), index);
    scores.greater_equal(threshold)
}

/// A score is below the `index`-th smallest exactly when at most `index` scores of its row are not
/// above it, so counting pairs gives the same mask as selecting.
fn by_counting(scores: Tensor<3>, index: usize) -> Tensor<3, Bool> {
    let [batch, rows, n] = scores.dims();
    let chunk = (COMPARISONS / (batch * n * n).max(1)).clamp(1, rows.max(1));
    let parts = (0..rows)
        .step_by(chunk)
        .map(|start| {
            let part = scores.clone().narrow(1, start, chunk.min(rows - start));
            let rows = part.dims()[1];
            let not_above = part
                .clone()
                .reshape([batch, rows, 1, n])
                .expand([batch, rows, n, n])
                .lower_equal(
                    part.reshape([batch, rows, n, 1])
                        .expand([batch, rows, n, n]),
                )
                .int()
                .sum_dim(3);
            not_above
                .reshape([batch, rows, n])
                .greater_scalar(index as i64)
        })
        .collect::<Vec<_>>();
    Tensor::cat(parts, 1)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few distinct values force ties; both ways must keep the same scores.
        #[test]
        fn counting_keeps_what_selecting_keeps(
            values in proptest::collection::vec(-3i8..3, 1..40),
            ratio in 0.01f64..0.99,
        ) {
            let n = values.len();
            let row: Vec<f32> = values.iter().map(|v| f32::from(*v)).collect();
            let scores = Tensor::<1>::from_floats(row.as_slice(), &Device::flex()).reshape([1, 1, n]);
            let index = drop_index(ratio, n).unwrap();
            let selected = by_selecting(scores.clone(), index).into_data();
            let counted = by_counting(scores, index).into_data();
            prop_assert_eq!(selected, counted);
        }
    }

    #[test]
    fn the_index_is_taken_in_double_precision() {
        assert_eq!(drop_index(0.7, 320), Some(224));
        assert_eq!(drop_index(0.35, 20), Some(7));
        assert_eq!(drop_index(0.0, 320), None);
    }
}
