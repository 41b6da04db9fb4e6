//! Batches of rows of similar length, so that little of a batch is padding.

use super::seeds::derive;
use crate::dice::Dice;

/// Forms batches within pools of rows that are read ahead: a pool is sorted by length, cut into
/// batches, and the batches are put in a random order.
///
/// Pools keep their order, so lengths and neighbours stay random beyond a pool, and a place in an
/// epoch is the beginning of a pool and a number of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buckets {
    /// Rows of a batch.
    pub batch: usize,
    /// Batches of a pool; 1 takes the rows as they come.
    pub pool: usize,
    /// Seed of the batches' order.
    pub seed: u64,
    /// Whether the batches' order is random; if not, the shortest come first.
    pub shuffle: bool,
}

impl Buckets {
    /// Rows of a full pool.
    pub fn pool_rows(&self) -> usize {
        self.batch.saturating_mul(self.pool)
    }

    /// The batches of pool `pool` of an epoch, as indices of its rows' `lengths`; each index is in one
    /// batch. Only the last pool of an epoch is not full, and only there is a batch smaller.
    pub fn batches(&self, lengths: &[usize], epoch: u64, pool: u64) -> Vec<Vec<usize>> {
        let mut rows: Vec<usize> = (0..lengths.len()).collect();
        if self.pool > 1 {
            rows.sort_by_key(|&row| lengths.get(row));
        }
        let mut batches: Vec<_> = rows.chunks(self.batch.max(1)).map(<[_]>::to_vec).collect();
        if self.shuffle {
            Dice::new(derive(self.seed, &[epoch, pool]), 0u64).shuffle(&mut batches);
        }
        batches
    }
}
