//! CIDEr-D (Vedantam et al., arXiv 1411.5726) as COCO's evaluation computes it: cosine of tf-idf
//! vectors of runs of words, clipped, with a penalty for other lengths.

use std::collections::BTreeMap;

use super::Captioned;
use super::ngrams::{Counts, LONGEST, counts};

/// Width of the length penalty, in words.
const SIGMA: f64 = 6.0;

/// In how many items' references a run of words occurs.
#[derive(Debug, Clone)]
struct Documents {
    count: BTreeMap<Vec<String>, f64>,
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

impl Documents {
    fn new<'a>(references: impl Iterator<Item = Vec<Counts<'a>>>) -> Self {
        let mut count: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        let mut items = 0u32;
        for item in references {
            let mut runs: Vec<&[String]> = item.iter().flat_map(|c| c.keys().copied()).collect();
            runs.sort_unstable();
            runs.dedup();
            for run in runs {
                match count.get_mut(run) {
                    Some(times) => *times += 1.0,
                    None => {
                        count.insert(run.to_vec(), 1.0);
                    }
                }
            }
            items += 1;
        }
        Self {
            count,
            all: f64::from(items).ln(),
        }
    }

    fn vector<'a>(&self, counts: &Counts<'a>) -> Vector<'a> {
        let (mut norms, mut length) = ([0.0; LONGEST], 0.0);
        let mut weights = BTreeMap::new();
        for (run, times) in counts {
            let known = self.count.get(*run).map_or(0.0, |n| n.ln());
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
    let references = items.iter().map(|item| item.references.as_slice());
    let cider = Cider::new(references);
    let scored = items.iter().map(|item| {
        let judge = cider.judge(&item.references);
        judge.score(&item.candidate)
    });
    scored.collect()
}

/// CIDEr-D with the document frequencies of a corpus, for captions that are not a part of it.
#[derive(Debug, Clone)]
pub struct Cider(Documents);

/// CIDEr-D beside the captions of one picture.
pub struct CiderJudge<'a> {
    documents: &'a Documents,
    references: Vec<Vector<'a>>,
}

impl Cider {
    /// Takes the document frequencies of pictures, each with all its captions in words.
    pub fn new<'a>(pictures: impl Iterator<Item = &'a [Vec<String>]>) -> Self {
        let counted = pictures.map(|references| references.iter().map(|r| counts(r)).collect());
        Self(Documents::new(counted))
    }

    /// Judges captions of a picture by `references` in words.
    pub fn judge<'a>(&'a self, references: &'a [Vec<String>]) -> CiderJudge<'a> {
        let vectors = references.iter().map(|r| self.0.vector(&counts(r)));
        CiderJudge {
            documents: &self.0,
            references: vectors.collect(),
        }
    }
}

impl CiderJudge<'_> {
    /// CIDEr-D of a caption in words, 0 to 10.
    pub fn score(&self, candidate: &[String]) -> f64 {
        let counted = counts(candidate);
        let vector = self.documents.vector(&counted);
        let references = self.references.iter();
        let sum: f64 = references.map(|r| vector.similarity(r)).sum();
        10.0 * sum / self.references.len().max(1) as f64
    }
}
