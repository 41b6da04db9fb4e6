//! Byte-level BPE, GPT-2's and Llama 3's: a text is cut into words, each byte of a word is a token,
//! and pairs are merged within words.

mod split;
mod unicode;

use serde_json::Value;
pub(super) use split::is_byte_level;
use split::{Step, steps};

use super::bpe::{self, Merges};
use super::json::{AddedToken, File, field, refused};
use super::{Ids, TokenizerError};

/// Tokens with their ids that are found in a text before it is cut; `None` for special ones, which
/// hide others and are text themselves.
type Added = Vec<(String, Option<u32>)>;

/// A byte-level tokenizer's way from text to ids.
#[derive(Debug, Clone)]
pub(super) struct ByteLevel {
    bytes: Box<[u32; 256]>,
    /// Stands for bytes without a token, where there are such.
    unk: Option<u32>,
    fuse_unk: bool,
    steps: Vec<Step>,
    /// Words that are a token already and so are not merged, where the file asks for it.
    words: Option<Ids>,
    /// Those that are looked for in the text as it was typed, then those in what is left.
    added: [Added; 2],
}

impl ByteLevel {
    /// Takes what is needed out of a file that [`is_byte_level`], and refuses what would need
    /// another algorithm.
    pub fn new(file: &File, unk: Option<u32>) -> Result<Self, TokenizerError> {
        if !file.normalizer.is_null() {
            let expected = "null, before ByteLevel,";
            return Err(refused("normalizer", &file.normalizer, expected));
        }
        if field(&file.decoder, "type") != "ByteLevel" {
            return Err(refused("decoder", &file.decoder, "ByteLevel"));
        }
        let ordinary = |token: &&AddedToken| !token.special;
        let odd = |token: &&AddedToken| token.single_word || token.lstrip || token.rstrip;
        if let Some(token) = file.added_tokens.iter().filter(ordinary).find(odd) {
            return Err(refused(
                "added_tokens",
                &Value::String(token.content.clone()),
                "a special token or one that takes no spaces",
            ));
        }
        let steps = steps(&file.pre_tokenizer)?;
        let mut bytes = Box::new([0; 256]);
        let mut lacking = false;
        for byte in 0..=255 {
            let id = file
                .model
                .vocab
                .get(symbol(byte).encode_utf8(&mut [0; 4]) as &str);
            bytes[usize::from(byte)] = match (id, unk) {
                (Some(id), _) => *id,
                // These are in no text.
                (None, _) if matches!(byte, 0xc0 | 0xc1 | 0xf5..) => 0,
                (None, None) => return Err(TokenizerError::NoFallback),
                (None, Some(unk)) => {
                    lacking = true;
                    unk
                }
            };
        }
        let mut added = [Added::new(), Added::new()];
        if file.added_tokens.iter().any(|token| !token.special) {
            for token in file.added_tokens.iter().filter(|it| !it.content.is_empty()) {
                let id = (!token.special).then_some(token.id);
                added[usize::from(token.normalized)].push((token.content.clone(), id));
            }
        }
        Ok(Self {
            bytes,
            unk: unk.filter(|_| lacking),
            fuse_unk: file.model.fuse_unk,
            steps,
            words: None,
            added,
        })
    }

    /// Looks words up before they are merged.
    pub fn look_up(&mut self, words: Ids) {
        self.words = Some(words);
    }

    /// The id of bytes that have no token, if there are such bytes.
    pub fn unk(&self) -> Option<u32> {
        self.unk
    }

    /// Text to ids.
    pub fn encode(&self, text: &str, merges: &Merges) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len());
        self.find(&self.added, text, merges, &mut ids);
        ids
    }

    /// Finds added tokens of each list in turn, and cuts what is between them.
    fn find(&self, lists: &[Added], text: &str, merges: &Merges, ids: &mut Vec<u32>) {
        let Some((list, others)) = lists.split_first() else {
            return self.cut(&self.steps, text, merges, ids);
        };
        if list.is_empty() {
            return self.find(others, text, merges, ids);
        }
        let (mut from, mut at) = (0, 0);
        while let Some(c) = text[at..].chars().next() {
            let here = list
                .iter()
                .filter(|(token, _)| text[at..].starts_with(token));
            match here.max_by_key(|(token, _)| token.len()) {
                Some((token, None)) => at += token.len(),
                Some((token, Some(id))) => {
                    self.find(others, &text[from..at], merges, ids);
                    ids.push(*id);
                    at += token.len();
                    from = at;
                }
                None => at += c.len_utf8(),
            }
        }
        self.find(others, &text[from..], merges, ids);
    }

    /// Cuts `text` by each of `steps` in turn.
    fn cut(&self, steps: &[Step], text: &str, merges: &Merges, ids: &mut Vec<u32>) {
        match steps.split_first() {
            None => self.word(text, merges, ids),
            Some((Step::Space, others)) if !text.is_empty() && !text.starts_with(' ') => {
                self.cut(others, &format!(" {text}"), merges, ids);
            }
            Some((step, others)) => {
                let mut left = text;
                while !left.is_empty() {
                    let (part, after) = left.split_at(step.first(left));
                    self.cut(others, part, merges, ids);
                    left = after;
                }
            }
        }
    }

    fn word(&self, word: &str, merges: &Merges, ids: &mut Vec<u32>) {
        if let Some(words) = &self.words {
            let symbols: String = word.bytes().map(symbol).collect();
            if let Some(&id) = words.get(&symbols) {
                return ids.push(id);
            }
        }
        let mut bytes: Vec<u32> = word.bytes().map(|b| self.bytes[usize::from(b)]).collect();
        if self.fuse_unk {
            bytes.dedup_by(|b, a| a == b && Some(*a) == self.unk);
        }
        ids.extend(bpe::merge(&bytes, merges));
    }
}

/// The visible character that stands for a byte in the vocabulary (GPT-2's `bytes_to_unicode`).
pub fn symbol(byte: u8) -> char {
    let moved = match byte {
        0..=32 => 256,
        127..=160 => 256 - 127 + 33,
        173 => 256 - 173 + 67,
        _ => 0,
    };
    char::from_u32(u32::from(byte) + moved).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The bytes a token of the vocabulary stands for; a token of other characters than [`symbol`]s is
/// text as it is.
pub(super) fn spelled(token: &str) -> Vec<u8> {
    let byte = |c: char| {
        u8::try_from(match u32::from(c) {
            c @ (33..=126 | 161..=172 | 174..=255) => c,
            c @ 256..=288 => c - 256,
            c @ 289..=322 => c - 256 - 33 + 127,
            323 => 173,
            _ => return None,
        })
        .ok()
    };
    let bytes: Option<Vec<u8>> = token.chars().map(byte).collect();
    bytes.unwrap_or_else(|| token.as_bytes().to_vec())
}
