//! CIDEr-D (Vedantam et al., arXiv 1411.5726) as COCO's evaluation computes it: cosine of tf-idf
//! vectors of runs of words, clipped, with a penalty for other lengths.

use std::collections::BTreeMap;

use super::Captioned;
use super::ngrams::{Counts, LONGEST, counts};

/// Width of the length penalty, in words.
const SIGMA: f64 = 6.0;

/// In how many items' references a run of words occurs.
struct Documents<'a> {
    count: BTreeMap<&'a [String], f64>,
    /// Logarithm of the number of items.
    all: f64,
}

/// A text as a vector of tf-idf weights for each length of runs.
struct Vector<'a> {
    weights: BTreeMap<&'a [String], f64>,
    norms: [f64; LONGEST],
    /// Runs of two words, which the original takes for the text's length.
    length: f64,
}

impl<'a> Documents<'a> {
    fn new(references: &[Vec<Counts<'a>>]) -> Self {
        let mut count: BTreeMap<&[String], f64> = BTreeMap::new();
        for item in references {
            let mut runs: Vec<&[String]> = item.iter().flat_map(|c| c.keys().copied()).collect();
            runs.sort_unstable();
            runs.dedup();
            for run in runs {
                *count.entry(run).or_default() += 1.0;
            }
        }
        Self {
            count,
            all: (references.len() as f64).ln(),
        }
    }

    fn vector(&self, counts: &Counts<'a>) -> Vector<'a> {
        let (mut norms, mut length) = ([0.0; LONGEST], 0.0);
        let mut weights = BTreeMap::new();
        for (run, times) in counts {
            let known = self.count.get(run).map_or(0.0, |n| n.ln());
            let weight = f64::from(*times) * (self.all - known);
            norms[run.len() - 1] += weight * weight;
            if run.len() == 2 {
                length += f64::from(*times);
            }
            weights.insert(*run, weight);
        }
        Vector {
            weights,
            norms: norms.map(f64::sqrt),
            length,
        }
    }
}

impl Vector<'_> {
    /// Mean over the lengths of runs of the clipped cosines.
    fn similarity(&self, reference: &Self) -> f64 {
        let mut cosines = [0.0; LONGEST];
        for (run, weight) in &self.weights {
            let other = reference.weights.get(run).copied().unwrap_or(0.0);
            cosines[run.len() - 1] += weight.min(other) * other;
        }
        for (n, cosine) in cosines.iter_mut().enumerate() {
            let norm = self.norms[n] * reference.norms[n];
            if norm != 0.0 {
                *cosine /= norm;
            }
        }
        let delta = self.length - reference.length;
        let penalty = (-delta * delta / (2.0 * SIGMA * SIGMA)).exp();
        cosines.iter().sum::<f64>() / LONGEST as f64 * penalty
    }
}

/// CIDEr-D of every item; document frequencies are those of all the items' references.
pub(super) fn cider(items: &[Captioned]) -> Vec<f64> {
    let references: Vec<Vec<Counts>> = items
        .iter()
        .map(|item| item.references.iter().map(|r| counts(r)).collect())
        .collect();
    let documents = Documents::new(&references);
    let scored = items.iter().zip(&references).map(|(item, references)| {
        let candidate = counts(&item.candidate);
        let candidate = documents.vector(&candidate);
        let sum: f64 = references
            .iter()
            .map(|r| candidate.similarity(&documents.vector(r)))
            .sum();
        10.0 * sum / references.len().max(1) as f64
    });
    scored.collect()
}
