//! BLEU (Papineni et al., ACL 2002) as COCO's evaluation computes it.

use super::Captioned;
use super::ngrams::{Counts, LONGEST, counts};

/// Matches, lengths: of one candidate, or summed over many.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Matches {
    correct: [u64; LONGEST],
    guessed: [u64; LONGEST],
    length: u64,
    /// Of the references, the length closest to the candidate's, the shorter of two.
    reference: u64,
}

impl Matches {
    pub(super) fn of(item: &Captioned) -> Self {
        let length = item.candidate.len();
        let mut most = Counts::new();
        for reference in &item.references {
            for (run, count) in counts(reference) {
                let entry = most.entry(run).or_default();
                *entry = count.max(*entry);
            }
        }
        let mut found = Self {
            length: length as u64,
            ..Self::default()
        };
        for (run, count) in counts(&item.candidate) {
            let allowed = most.get(run).copied().unwrap_or(0);
            found.correct[run.len() - 1] += u64::from(count.min(allowed));
        }
        for (n, guessed) in found.guessed.iter_mut().enumerate() {
            *guessed = length.saturating_sub(n) as u64;
        }
        let lengths = item.references.iter().map(Vec::len);
        let closest = lengths.min_by_key(|l| (l.abs_diff(length), *l));
        found.reference = closest.unwrap_or(0) as u64;
        found
    }

    pub(super) fn add(&mut self, other: &Self) {
        for n in 0..LONGEST {
            self.correct[n] += other.correct[n];
            self.guessed[n] += other.guessed[n];
        }
        self.length += other.length;
        self.reference += other.reference;
    }

    /// BLEU-1 to BLEU-4: geometric means of the precisions, times the brevity penalty.
    pub(super) fn scores(&self) -> [f64; LONGEST] {
        /// What keeps the original from dividing by, and taking the root of, nothing.
        const TINY: f64 = 1e-15;
        const SMALL: f64 = 1e-9;
        let ratio = (self.length as f64 + TINY) / (self.reference as f64 + SMALL);
        let penalty = if ratio < 1.0 {
            (1.0 - 1.0 / ratio).exp()
        } else {
            1.0
        };
        let mut product = 1.0;
        std::array::from_fn(|n| {
            product *= (self.correct[n] as f64 + TINY) / (self.guessed[n] as f64 + SMALL);
            f64::powf(product, 1.0 / (n as f64 + 1.0)) * penalty
        })
    }
}
