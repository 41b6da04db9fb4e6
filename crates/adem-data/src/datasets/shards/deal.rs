//! Which records of which shards are a part's.

use crate::datasets::seeds::derive;
use crate::datasets::source::Order;
use crate::dice::Dice;

/// A shard that a part reads: all of its records, or every `every`-th from `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub shard: usize,
    pub first: u64,
    pub every: u64,
}

impl Share {
    /// Whether the record of this index, from 0, is the part's.
    pub(super) fn holds(&self, record: u64) -> bool {
        record % self.every == self.first
    }
}

/// The shards that a part reads in an epoch, in order. Whole shards are dealt while there is one for
/// every part; what is left is shared record by record, so that parts are as even as shards are.
pub(super) fn deal(shards: usize, order: &Order) -> Vec<Share> {
    let mut all: Vec<usize> = (0..shards).collect();
    if order.shuffle {
        Dice::new(derive(order.seed, &[order.epoch]), 0u64).shuffle(&mut all);
    }
    let (index, count) = (order.part.index(), order.part.count());
    let parts = usize::try_from(count).unwrap_or(usize::MAX);
    let (whole, shared) = all.split_at(shards - shards % parts);
    let whole = whole
        .iter()
        .skip(usize::try_from(index).unwrap_or(usize::MAX))
        .step_by(parts)
        .map(|&shard| Share {
            shard,
            first: 0,
            every: 1,
        });
    let shared = shared.iter().map(|&shard| Share {
        shard,
        first: index,
        every: count,
    });
    whole.chain(shared).collect()
}
