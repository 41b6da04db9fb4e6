//! Seeds that follow from seeds.

/// A seed that follows from another and from `words`, each of which changes all of it (SplitMix64's
/// finaliser after every word).
pub(super) fn derive(seed: u64, words: &[u64]) -> u64 {
    words
        .iter()
        .fold(scatter(seed), |state, &word| scatter(state ^ word))
}

fn scatter(word: u64) -> u64 {
    let z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that follows from a text, the same on every platform and in every release (FNV-1a).
pub(super) fn text_word(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
