//! Batches of similar length.

use adem_data::datasets::Buckets;
use proptest::prelude::*;

fn buckets(batch: usize, pool: usize, seed: u64) -> Buckets {
    Buckets {
        batch,
        pool,
        seed,
        shuffle: true,
    }
}

/// Positions of padding in the batches of all pools.
fn padding(buckets: &Buckets, lengths: &[usize]) -> usize {
    let mut padding = 0;
    for (pool, lengths) in (0..).zip(lengths.chunks(buckets.pool_rows())) {
        for batch in buckets.batches(lengths, 0, pool) {
            let longest = batch.iter().map(|&row| lengths[row]).max().unwrap();
            padding += batch
                .iter()
                .map(|&row| longest - lengths[row])
                .sum::<usize>();
        }
    }
    padding
}

#[test]
fn sorting_in_pools_leaves_little_padding() {
    // Lengths of captions and, now and then, of long answers.
    let lengths: Vec<usize> = (0..4096u64)
        .map(|i| {
            let x = i.wrapping_mul(6_364_136_223_846_793_005) >> 40;
            (10 + x % 12 + if x % 17 == 0 { x % 200 } else { 0 }) as usize
        })
        .collect();
    let (plain, pooled) = (
        padding(&buckets(16, 1, 1), &lengths),
        padding(&buckets(16, 32, 1), &lengths),
    );
    assert!(
        pooled * 8 < plain,
        "{plain} positions without pools, {pooled} with"
    );
}

proptest! {
    #[test]
    fn every_row_is_in_one_batch(
        lengths in prop::collection::vec(0usize..600, 0..200), batch in 1usize..20, pool in 1usize..9, seed: u64
    ) {
        let buckets = buckets(batch, pool, seed);
        let batches = buckets.batches(&lengths, 2, 5);
        prop_assert_eq!(&batches, &buckets.batches(&lengths, 2, 5));
        let mut rows: Vec<_> = batches.iter().flatten().copied().collect();
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..lengths.len()).collect::<Vec<_>>());
        // All are full but one.
        let short = batches.iter().filter(|b| b.len() < batch).count();
        prop_assert_eq!(short, usize::from(!lengths.len().is_multiple_of(batch)));
    }
}

#[test]
fn the_order_of_batches_is_another_in_every_pool_and_epoch() {
    let lengths: Vec<_> = (0..64).collect();
    let buckets = buckets(4, 16, 3);
    let first = buckets.batches(&lengths, 0, 0);
    assert_ne!(first, buckets.batches(&lengths, 0, 1));
    assert_ne!(first, buckets.batches(&lengths, 1, 0));
    let unshuffled = Buckets {
        shuffle: false,
        ..buckets
    };
    let shortest_first: Vec<_> = unshuffled.batches(&lengths, 0, 0).concat();
    assert_eq!(shortest_first, lengths);
}
