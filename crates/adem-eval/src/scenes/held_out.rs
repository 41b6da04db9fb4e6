//! Which scenes an evaluation judges.

use adem_data::scenes::HELD_OUT_SEEDS;

/// Seed of scene number `index` of the evaluation set `set`.
///
/// Every seed is below [`HELD_OUT_SEEDS`], from which training never draws. Sets of different
/// numbers are different scenes.
pub fn held_out_seed(set: u64, index: u64) -> u64 {
    mix(mix(set).wrapping_add(index)) % HELD_OUT_SEEDS
}

/// SplitMix64's finaliser: every bit of the input changes about half of the output.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn sets_hold_different_scenes_that_are_all_held_out() {
        let mut seen = HashSet::new();
        for set in 0..20 {
            for index in 0..1000 {
                let seed = held_out_seed(set, index);
                assert!(seed < HELD_OUT_SEEDS);
                assert!(seen.insert(seed), "set {set}, scene {index} occurs twice");
            }
        }
    }
}
