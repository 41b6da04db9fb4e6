//! Runs of one to four words.

use std::collections::BTreeMap;

/// Longest run that the metrics look at.
pub(super) const LONGEST: usize = 4;

/// How often each run of words occurs in a text; ordered, so that sums over it are the same in
/// every process.
pub(super) type Counts<'a> = BTreeMap<&'a [String], u32>;

/// Counts the runs of one to [`LONGEST`] words.
pub(super) fn counts(words: &[String]) -> Counts<'_> {
    let mut counts = Counts::new();
    for n in 1..=LONGEST {
        for run in words.windows(n) {
            *counts.entry(run).or_default() += 1;
        }
    }
    counts
}
