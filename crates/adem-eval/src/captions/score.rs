//! All metrics together.

use serde::{Deserialize, Serialize};

use super::bleu::Matches;
use super::cider::cider;
use super::ptb::tokenize;
use super::rouge::rouge_l;

/// A caption and what people wrote about the same picture, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captioned {
    /// What is judged.
    pub candidate: Vec<String>,
    /// What it is judged by.
    pub references: Vec<Vec<String>>,
}

impl Captioned {
    /// Cuts the texts into words with [`tokenize`].
    pub fn new<S: AsRef<str>>(candidate: &str, references: impl IntoIterator<Item = S>) -> Self {
        let references = references.into_iter();
        Self {
            candidate: tokenize(candidate),
            references: references.map(|r| tokenize(r.as_ref())).collect(),
        }
    }
}

/// Scores of one caption or of many. BLEU and ROUGE-L are between 0 and 1, CIDEr-D between 0 and 10;
/// papers print all of them times 100.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// BLEU-1 to BLEU-4.
    pub bleu: [f64; 4],
    /// ROUGE-L.
    pub rouge_l: f64,
    /// CIDEr-D.
    pub cider: f64,
}

/// Scores of many captions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scored {
    /// Of all together: BLEU over the summed matches, the others as means.
    pub corpus: Metrics,
    /// Of each, in the order given.
    pub each: Vec<Metrics>,
}

/// Scores captions as COCO's evaluation (`pycocoevalcap`) does. CIDEr-D weighs words by how rare they
/// are among these items' references, so it says nothing of a single item.
pub fn score(items: &[Captioned]) -> Scored {
    let mut all = Matches::default();
    let each: Vec<Metrics> = items
        .iter()
        .zip(cider(items))
        .map(|(item, cider)| {
            let matches = Matches::of(item);
            all.add(&matches);
            Metrics {
                bleu: matches.scores(),
                rouge_l: rouge_l(item),
                cider,
            }
        })
        .collect();
    let mean = |of: fn(&Metrics) -> f64| {
        let sum: f64 = each.iter().map(of).sum();
        sum / each.len().max(1) as f64
    };
    Scored {
        corpus: Metrics {
            bleu: all.scores(),
            rouge_l: mean(|m| m.rouge_l),
            cider: mean(|m| m.cider),
        },
        each,
    }
}
