//! What words looked at: tokens to words, scores to patches, texts to what changed between them.

use crate::output::{Scores, Token};

/// A word of a text and the scores of its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    pub scores: Vec<Scores>,
}

/// The words of a text; marks that follow a word belong to it.
pub fn words(tokens: &[Token]) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for token in tokens {
        let begins = token.text.starts_with(char::is_whitespace);
        let text = token.text.trim();
        let scores = token.scores.clone();
        match words.last_mut().filter(|_| !begins) {
            Some(word) => {
                word.text.push_str(text);
                word.scores.extend(scores);
            }
            None => words.push(Word {
                text: text.to_owned(),
                scores: scores.into_iter().collect(),
            }),
        }
    }
    words.retain(|word| !word.text.is_empty());
    words
}

/// What a word made of one patch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Patch {
    /// Share of the chosen layers (and the word's tokens) that dropped it, 0 to 1.
    pub dropped: f32,
    /// Its score where it was kept, relative to the scale's others, 0 to 1.
    pub strength: f32,
}

/// The patches of each scale, row by row, in one layer or averaged over all.
pub fn patches(
    word: &Word,
    layers: usize,
    scales: &[usize],
    layer: Option<usize>,
) -> Vec<Vec<Patch>> {
    let tokens: usize = scales.iter().sum();
    let chosen = |index: usize| layer.is_none_or(|layer| layer == index);
    let mut sums = vec![(0.0_f32, 0.0_f32, 0.0_f32); tokens];
    for scores in &word.scores {
        // Another model's, from before it was changed.
        if scores.0.len() != layers * tokens {
            continue;
        }
        let rows = scores.0.chunks_exact(tokens).enumerate();
        for (_, row) in rows.filter(|(index, _)| chosen(*index)) {
            for (sum, score) in sums.iter_mut().zip(row) {
                match score.is_nan() {
                    true => sum.0 += 1.0,
                    false => {
                        sum.1 += 1.0;
                        sum.2 += score;
                    }
                }
            }
        }
    }
    let mut rest = sums.as_slice();
    let mut maps = Vec::with_capacity(scales.len());
    for scale in scales {
        let (own, others) = rest.split_at(*scale);
        rest = others;
        let mean = |sum: &(f32, f32, f32)| (sum.1 > 0.0).then(|| sum.2 / sum.1);
        let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
        for mean in own.iter().filter_map(mean) {
            (low, high) = (low.min(mean), high.max(mean));
        }
        let spread = (high - low).max(f32::MIN_POSITIVE);
        let patch = |sum: &(f32, f32, f32)| Patch {
            dropped: sum.0 / (sum.0 + sum.1).max(1.0),
            strength: mean(sum).map_or(0.0, |mean| (mean - low) / spread),
        };
        maps.push(own.iter().map(patch).collect());
    }
    maps
}

/// The words of `new`, each with whether it is not in `old` at its place: all but their longest
/// common subsequence.
pub fn changed<'t>(old: &str, new: &'t str) -> Vec<(&'t str, bool)> {
    let old: Vec<&str> = old.split_whitespace().collect();
    let new: Vec<&str> = new.split_whitespace().collect();
    let width = new.len() + 1;
    let mut longest = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = match old[i] == new[j] {
                true => longest[(i + 1) * width + j + 1] + 1,
                false => longest[(i + 1) * width + j].max(longest[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut marked) = (0, 0, Vec::with_capacity(new.len()));
    while j < new.len() {
        if i < old.len() && old[i] == new[j] {
            marked.push((new[j], false));
            (i, j) = (i + 1, j + 1);
        } else if i < old.len() && longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            marked.push((new[j], true));
            j += 1;
        }
    }
    marked
}
