//! The bookkeeping of a beam search over one text: which unfinished texts are kept, which are done.

use std::cmp::Ordering;

/// A text so far.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// Its tokens, the ending one left out.
    pub ids: Vec<u32>,
    /// Sum of its tokens' log-probabilities; divided by a power of its length once it is done.
    pub score: f64,
}

/// An unfinished text that is kept, and the one it goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Index among the unfinished texts of the step before.
    pub from: usize,
    /// The token that was added.
    pub token: u32,
}

/// One text's search.
#[derive(Debug, Clone)]
pub(super) struct Search {
    beams: usize,
    length_penalty: f64,
    eos: Option<u32>,
    live: Vec<Text>,
    /// The best first, at most `beams` of them.
    done: Vec<Text>,
    /// Tokens a text has now.
    length: usize,
}

impl Search {
    pub fn new(beams: usize, length_penalty: f64, eos: Option<u32>) -> Self {
        Self {
            beams,
            length_penalty,
            eos,
            live: vec![Text {
                ids: Vec::new(),
                score: 0.0,
            }],
            done: Vec::new(),
            length: 0,
        }
    }

    /// Adds a token to every unfinished text; `logits` holds a row for each. Gives the texts that
    /// are kept, at most `beams`.
    pub fn extend(&mut self, logits: &[&[f32]]) -> Vec<Step> {
        let mut candidates: Vec<(f64, Step)> = Vec::new();
        for (from, (text, logits)) in self.live.iter().zip(logits).enumerate() {
            // As many as could be kept if every other one ended its text.
            let best = likeliest(logits, 2 * self.beams);
            let total = log_sum_exp(logits);
            candidates.extend(best.into_iter().map(|token| {
                let logit = logits.get(token as usize).copied().unwrap_or(f32::MIN);
                (text.score + f64::from(logit) - total, Step { from, token })
            }));
        }
        // Stable: equal scores keep the order of texts, then of likelihood, on every platform.
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.length += 1;
        let mut kept = Vec::with_capacity(self.beams);
        let mut live = Vec::with_capacity(self.beams);
        for (rank, (score, step)) in candidates.into_iter().enumerate() {
            if kept.len() == self.beams {
                break;
            }
            let Some(text) = self.live.get(step.from) else {
                continue;
            };
            let mut ids = text.ids.clone();
            if Some(step.token) == self.eos {
                // One that ends where better ones go on is no better for being short.
                if rank < self.beams {
                    self.finish(Text { ids, score });
                }
                continue;
            }
            ids.push(step.token);
            live.push(Text { ids, score });
            kept.push(step);
        }
        self.live = live;
        kept
    }

    /// Whether no unfinished text is likely to become better than those that are done: the best of
    /// them, were it to end now, is not.
    pub fn is_done(&self) -> bool {
        let best = self.live.first().map(|text| self.normalised(text.score));
        match (best, self.done.get(self.beams - 1)) {
            (None, _) => true,
            (Some(best), Some(worst)) => worst.score >= best,
            (Some(_), None) => false,
        }
    }

    /// The best text: of those that are done, where there are any, else of the others.
    pub fn best(&self) -> &[u32] {
        let best = self.done.first().or(self.live.first());
        best.map_or(&[], |text| &text.ids)
    }

    /// Ends all texts where they are.
    pub fn cut(&mut self) {
        for text in std::mem::take(&mut self.live) {
            self.finish(text);
        }
    }

    fn finish(&mut self, text: Text) {
        let score = self.normalised(text.score);
        let place = self.done.partition_point(|other| other.score >= score);
        self.done.insert(place, Text { score, ..text });
        self.done.truncate(self.beams);
    }

    fn normalised(&self, score: f64) -> f64 {
        score / (self.length.max(1) as f64).powf(self.length_penalty)
    }
}

/// The tokens of the `count` largest logits, the largest first, equal ones by id.
fn likeliest(logits: &[f32], count: usize) -> Vec<u32> {
    let order = |a: &u32, b: &u32| -> Ordering {
        let at = |id: u32| logits.get(id as usize).copied().unwrap_or(f32::MIN);
        at(*b).total_cmp(&at(*a)).then(a.cmp(b))
    };
    let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
    if count < ids.len() {
        ids.select_nth_unstable_by(count, order);
        ids.truncate(count);
    }
    ids.sort_unstable_by(order);
    ids
}

/// ln of the sum of exponentials.
fn log_sum_exp(logits: &[f32]) -> f64 {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|l| (f64::from(*l) - top).exp()).sum();
    top + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VOCABULARY: u32 = 3;
    const END: u32 = 0;
    const LONGEST: usize = 3;

    /// Logits after a text, of a model that is a table.
    fn logits(table: &[f32], ids: &[u32]) -> Vec<f32> {
        let place = ids.iter().fold(1, |at, id| at * VOCABULARY + id) as usize;
        let at = |id: u32| table[(place * VOCABULARY as usize + id as usize) % table.len()];
        (0..VOCABULARY).map(at).collect()
    }

    fn searched(table: &[f32], beams: usize, penalty: f64) -> Vec<u32> {
        let mut search = Search::new(beams, penalty, Some(END));
        for _ in 0..LONGEST {
            if search.is_done() {
                break;
            }
            let rows: Vec<Vec<f32>> = search.live.iter().map(|t| logits(table, &t.ids)).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            let before: Vec<Vec<u32>> = search.live.iter().map(|t| t.ids.clone()).collect();
            let steps = search.extend(&rows);
            for (step, text) in steps.iter().zip(&search.live) {
                assert_eq!([&before[step.from][..], &[step.token]].concat(), text.ids);
            }
        }
        search.cut();
        search.best().to_vec()
    }

    /// Every text there is, with its score.
    fn all(table: &[f32], penalty: f64) -> Vec<(f64, Vec<u32>)> {
        let (mut open, mut done) = (vec![(0.0, Vec::new())], Vec::new());
        for length in 1..=LONGEST {
            let mut longer = Vec::new();
            for (score, ids) in open {
                let row = logits(table, &ids);
                let total = log_sum_exp(&row);
                for id in 0..VOCABULARY {
                    let score: f64 = score + f64::from(row[id as usize]) - total;
                    let ends = id == END || length == LONGEST;
                    let ids = match id {
                        END => ids.clone(),
                        id => [&ids[..], &[id]].concat(),
                    };
                    match ends {
                        true => done.push((score / (length as f64).powf(penalty), ids)),
                        false => longer.push((score, ids)),
                    }
                }
            }
            open = longer;
        }
        done
    }

    proptest! {
        #[test]
        fn wide_enough_it_finds_the_best_text_of_all(
            table in proptest::collection::vec(-3.0f32..3.0, 50), penalty in 0.0f64..1.5
        ) {
            let texts = all(&table, penalty);
            let best = texts.iter().map(|(score, _)| *score).fold(f64::MIN, f64::max);
            let found = searched(&table, 30, penalty);
            let of_found = texts.iter().filter(|(_, ids)| *ids == found).map(|(score, _)| *score);
            prop_assert!(of_found.fold(f64::MIN, f64::max) >= best - 1e-9);
        }

        #[test]
        fn one_beam_is_greedy(table in proptest::collection::vec(-3.0f32..3.0, 50)) {
            let mut ids = Vec::new();
            while ids.len() < LONGEST {
                match likeliest(&logits(&table, &ids), 1)[0] {
                    END => break,
                    id => ids.push(id),
                }
            }
            prop_assert_eq!(searched(&table, 1, 1.0), ids);
        }

        #[test]
        fn the_likeliest_tokens_are_those_of_a_sort(
            logits in proptest::collection::vec(-3i8..3, 1..40), count in 1usize..50
        ) {
            let logits: Vec<f32> = logits.into_iter().map(f32::from).collect();
            let mut sorted: Vec<u32> = (0..logits.len() as u32).collect();
            sorted.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
            sorted.truncate(count);
            prop_assert_eq!(likeliest(&logits, count), sorted);
        }
    }

    #[test]
    fn the_penalty_decides_between_short_and_long() {
        // "1 END" has two likely tokens, END at once a single one that is a little less likely.
        let mut table = vec![0.0f32; 50];
        table[3..6].copy_from_slice(&[1.0, 1.0, -20.0]);
        let one = (VOCABULARY + 1) as usize * 3;
        table[one..one + 3].copy_from_slice(&[1.0, -1.0, -20.0]);
        assert_eq!(searched(&table, 4, 0.0), Vec::<u32>::new());
        assert_eq!(searched(&table, 4, 1.0), vec![1]);
    }
}
