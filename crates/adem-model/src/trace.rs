//! What the adaptive masking kept and dropped, for those who ask to see it (paper, Figure 3).

use std::cell::RefCell;

use adem_kernels::{drop_index, ops};
use burn::tensor::Tensor;

use crate::config::AdemConfig;
use crate::error::ModelError;
use crate::fusion::VisualMemory;
use crate::generate::read;

/// Gathers, block by block, the scores with which each row's last place looks at its picture.
///
/// A forward pass without one does no more work than it did before.
#[derive(Debug, Default)]
pub struct Trace {
    /// Scores `[rows, 1, N]` of every block so far.
    scores: RefCell<Vec<Tensor<3>>>,
}

/// How one token looked at the picture: a score for every visual token in every block.
#[derive(Debug, Clone, PartialEq)]
pub struct Sight {
    /// Decoder blocks L.
    pub layers: usize,
    /// Visual tokens N, scale after scale, each row by row.
    pub tokens: usize,
    /// Scores `[L, N]`; NaN where the adaptive masking dropped the token (paper, eq. 9).
    pub scores: Vec<f32>,
}

impl Trace {
    /// Notes how the last place of queries `x` `[rows, T, D]` looks at `memory`.
    pub(crate) fn note(&self, memory: &VisualMemory, x: &Tensor<3>, config: &AdemConfig) {
        let last = x.dims()[1] - 1;
        let scores = memory.scores(x.clone().narrow(1, last, 1), config);
        self.scores.borrow_mut().push(scores);
    }

    /// The sights of a forward pass, one a row; empties the trace.
    pub(crate) async fn take(&self, config: &AdemConfig) -> Result<Vec<Sight>, ModelError> {
        let scores = self.scores.take();
        let layers = scores.len();
        if layers == 0 {
            return Ok(Vec::new());
        }
        let scores = ops::cat(scores, 1);
        let tokens = scores.dims()[2];
        let mut values = read(scores).await?;
        if let Some(index) = drop_index(config.drop_ratio, tokens) {
            for row in values.chunks_exact_mut(tokens) {
                mask(row, index);
            }
        }
        let sights = values.chunks_exact(layers * tokens);
        Ok(sights
            .map(|scores| Sight {
                layers,
                tokens,
                scores: scores.to_vec(),
            })
            .collect())
    }
}

/// NaN in place of every score below the `index`-th smallest; ties are kept.
fn mask(row: &mut [f32], index: usize) {
    let mut sorted = row.to_vec();
    let (_, threshold, _) = sorted.select_nth_unstable_by(index, f32::total_cmp);
    let threshold = *threshold;
    for score in row {
        if *score < threshold {
            *score = f32::NAN;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn what_is_below_the_threshold_is_dropped_and_ties_are_kept() {
        let mut row = [3.0, -1.0, 2.0, 2.0, 5.0];
        mask(&mut row, 1);
        assert!(row[1].is_nan());
        assert_eq!([row[0], row[2], row[3], row[4]], [3.0, 2.0, 2.0, 5.0]);
        let mut row = [1.0, 1.0, 1.0];
        mask(&mut row, 2);
        assert_eq!(row, [1.0; 3]);
    }
}
