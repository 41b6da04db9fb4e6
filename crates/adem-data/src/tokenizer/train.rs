//! Learning a BPE vocabulary from text. The same texts in the same order give the same bytes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use super::TokenizerError;
use super::bpe::Pair;
use super::json::{File, SPACE};

/// The special tokens, at ids 0 to 3.
const SPECIAL: [&str; 4] = ["<unk>", "<s>", "</s>", "<pad>"];

/// What a vocabulary is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BpeTraining {
    /// Most tokens in all, special ones included.
    pub vocab_size: usize,
    /// Least number of occurrences for a pair to be merged.
    pub min_count: u64,
    /// Adds 256 byte tokens, so that any text can be spelled; without them, characters never seen
    /// become `<unk>`.
    pub byte_fallback: bool,
    /// Adds every printable ASCII character, seen or not.
    pub ascii: bool,
    /// Makes capitals small before anything else: text that differs in them alone is the same.
    pub lowercase: bool,
}

impl Default for BpeTraining {
    /// 512 tokens, pairs seen twice, printable ASCII, no byte tokens (they would be half of it).
    fn default() -> Self {
        Self {
            vocab_size: 512,
            min_count: 2,
            byte_fallback: false,
            ascii: true,
            lowercase: false,
        }
    }
}

/// Learns a vocabulary and returns it as a `tokenizer.json`.
///
/// Ids: `<unk>`, `<s>`, `</s>`, `<pad>`, then bytes, characters, and merges by frequency. Merges stay
/// within words (letters with the space before them; a digit or a mark is a word of its own), so
/// that a prompt that ends where a word does is tokenised the same alone and before its answer.
///
/// # Errors
/// [`TokenizerError::VocabTooSmall`] when not even the characters fit.
pub fn train_bpe<I>(texts: I, settings: &BpeTraining) -> Result<Vec<u8>, TokenizerError>
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in texts {
        let text = text.as_ref();
        let small: String = match settings.lowercase {
            true => text.chars().flat_map(char::to_lowercase).collect(),
            false => text.to_owned(),
        };
        for word in words(&small) {
            *counts.entry(word).or_default() += 1;
        }
    }
    let mut alphabet: BTreeSet<char> = counts.keys().flat_map(|w| w.chars()).collect();
    alphabet.insert(SPACE);
    if settings.ascii {
        alphabet.extend('!'..='~');
    }
    let mut tokens: Vec<String> = SPECIAL.map(String::from).to_vec();
    if settings.byte_fallback {
        tokens.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    }
    let first_char = tokens.len();
    tokens.extend(alphabet.iter().map(char::to_string));
    if tokens.len() > settings.vocab_size {
        return Err(TokenizerError::VocabTooSmall {
            asked: settings.vocab_size,
            needed: tokens.len(),
        });
    }
    let ids: HashMap<char, u32> = alphabet.into_iter().zip(first_char as u32..).collect();
    let corpus = counts.iter().map(|(word, &count)| {
        let spelled = word.chars().filter_map(|c| ids.get(&c).copied());
        (spelled.collect(), count)
    });
    let mut corpus = Corpus::new(corpus.collect());
    let mut merges = Vec::new();
    while tokens.len() < settings.vocab_size
        && let Some((left, right)) = corpus.commonest(settings.min_count)
    {
        let (a, b) = (&tokens[left as usize], &tokens[right as usize]);
        let merged = format!("{a}{b}");
        merges.push((a.clone(), b.clone()));
        // Two ways to the same text share one token.
        let id = match tokens.iter().position(|t| *t == merged) {
            Some(id) => id,
            None => {
                tokens.push(merged);
                tokens.len() - 1
            }
        };
        corpus.merge((left, right), id as u32);
    }
    File::trained(&tokens, merges, SPECIAL.len(), settings).to_bytes()
}

/// Splits a text, as encoding sees it, into the units that merges never cross.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    if text.is_empty() {
        return words;
    }
    for c in std::iter::once(' ').chain(text.chars()) {
        let c = if c == ' ' { SPACE } else { c };
        match words.last_mut() {
            Some(word)
                if c.is_alphabetic()
                    && word
                        .chars()
                        .last()
                        .is_some_and(|p| p.is_alphabetic() || p == SPACE) =>
            {
                word.push(c);
            }
            _ => words.push(c.into()),
        }
    }
    words
}

/// Distinct words with their counts, and where each adjacent pair occurs.
struct Corpus {
    words: Vec<(Vec<u32>, u64)>,
    counts: HashMap<Pair, u64>,
    places: HashMap<Pair, BTreeSet<usize>>,
    /// Candidates by count; stale ones are corrected when they surface.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Corpus {
    fn new(words: Vec<(Vec<u32>, u64)>) -> Self {
        let mut corpus = Self {
            words,
            counts: HashMap::new(),
            places: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for index in 0..corpus.words.len() {
            corpus.enter(index);
        }
        let all = corpus.counts.iter();
        corpus.queue = all.map(|(&pair, &n)| (n, Reverse(pair))).collect();
        corpus
    }

    /// The commonest pair; among equals the one with the lowest ids.
    fn commonest(&mut self, min_count: u64) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            let now = self.counts.get(&pair).copied().unwrap_or(0);
            if now != count {
                self.queue.push((now, Reverse(pair)));
            } else if count < min_count.max(1) {
                return None;
            } else {
                return Some(pair);
            }
        }
        None
    }

    fn merge(&mut self, pair: Pair, id: u32) {
        for index in self.places.remove(&pair).unwrap_or_default() {
            self.leave(index);
            let (word, _) = &mut self.words[index];
            let mut merged = Vec::with_capacity(word.len());
            let mut rest = word.as_slice();
            while let [first, tail @ ..] = rest {
                if tail.first().is_some_and(|&second| (*first, second) == pair) {
                    merged.push(id);
                    rest = &tail[1..];
                } else {
                    merged.push(*first);
                    rest = tail;
                }
            }
            *word = merged;
            for pair in self.enter(index) {
                let count = self.counts.get(&pair).copied().unwrap_or(0);
                self.queue.push((count, Reverse(pair)));
            }
        }
        self.counts.remove(&pair);
    }

    /// Takes a word's pairs out of the counts.
    fn leave(&mut self, index: usize) {
        let (word, count) = &self.words[index];
        for pair in pairs(word) {
            if let Some(n) = self.counts.get_mut(&pair) {
                *n = n.saturating_sub(*count);
            }
        }
    }

    /// Counts a word's pairs in, and names them.
    fn enter(&mut self, index: usize) -> Vec<Pair> {
        let (word, count) = &self.words[index];
        let pairs: Vec<Pair> = pairs(word).collect();
        for &pair in &pairs {
            *self.counts.entry(pair).or_default() += count;
            self.places.entry(pair).or_default().insert(index);
        }
        pairs
    }
}

fn pairs(word: &[u32]) -> impl Iterator<Item = Pair> {
    word.iter().copied().zip(word.iter().copied().skip(1))
}
