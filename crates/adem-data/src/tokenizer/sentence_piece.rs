//! SentencePiece's way from text to tokens: a space before the text, spaces visible, one token a
//! character.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::json::{File, SPACE, field, llama_normalizer, refused};
use super::{Ids, TokenizerError};

/// A SentencePiece-style tokenizer's way from text to ids.
#[derive(Debug, Clone)]
pub(super) struct SentencePiece {
    chars: HashMap<char, u32>,
    bytes: Option<Box<[u32; 256]>>,
    fuse_unk: bool,
    lowercase: bool,
}

impl SentencePiece {
    /// Takes what is needed out of a file, and refuses, naming the field, what would need another
    /// algorithm.
    pub fn new(file: &File, ids: &Ids, special: &HashSet<u32>) -> Result<Self, TokenizerError> {
        if file.model.ignore_merges {
            return Err(refused("model.ignore_merges", &Value::Bool(true), "false"));
        }
        let first = &file.normalizer["normalizers"][0];
        let lowercase = field(first, "type") == "Lowercase";
        if file.normalizer != llama_normalizer(lowercase) {
            return Err(refused(
                "normalizer",
                &file.normalizer,
                "LLaMA's (prepend and replace spaces by U+2581), or Lowercase before it",
            ));
        }
        if !file.pre_tokenizer.is_null() {
            return Err(refused(
                "pre_tokenizer",
                &file.pre_tokenizer,
                "null, or one with ByteLevel,",
            ));
        }
        if let Some(token) = file.added_tokens.iter().find(|t| !t.special) {
            return Err(TokenizerError::Unsupported {
                field: "added_tokens",
                found: format!("the ordinary token {:?}", token.content),
                expected: "special tokens",
            });
        }
        let bytes = if file.model.byte_fallback {
            let all: Option<Vec<u32>> = (0..256)
                .map(|b| ids.get(&format!("<0x{b:02X}>")).copied())
                .collect();
            all.and_then(|all| Box::<[u32; 256]>::try_from(all.into_boxed_slice()).ok())
        } else {
            None
        };
        let chars = ids
            .iter()
            .filter(|(_, id)| !special.contains(id))
            .filter_map(|(token, &id)| {
                let mut chars = token.chars();
                Some((chars.next().filter(|_| chars.next().is_none())?, id))
            })
            .collect();
        Ok(Self {
            chars,
            bytes,
            fuse_unk: file.model.fuse_unk,
            lowercase,
        })
    }

    /// The id of each byte, where characters without a token are spelled by those.
    pub fn bytes(&self) -> Option<&[u32; 256]> {
        self.bytes.as_deref()
    }

    /// The tokens of `text` before any are merged; `unk` stands for what has none.
    pub fn ids(&self, text: &str, unk: Option<u32>) -> Vec<u32> {
        let mut ids = Vec::with_capacity(text.len() + 1);
        let small = text.chars().flat_map(|c| {
            let small = self.lowercase.then(|| c.to_lowercase());
            let same = (!self.lowercase).then_some(c);
            small.into_iter().flatten().chain(same)
        });
        for c in std::iter::once(' ').chain(small) {
            let c = if c == ' ' { SPACE } else { c };
            if let Some(&id) = self.chars.get(&c) {
                ids.push(id);
            } else if let Some(bytes) = &self.bytes {
                let mut buffer = [0; 4];
                let utf8 = c.encode_utf8(&mut buffer).bytes();
                ids.extend(utf8.map(|b| bytes[usize::from(b)]));
            } else if let Some(unk) = unk
                && !(self.fuse_unk && ids.last() == Some(&unk))
            {
                ids.push(unk);
            }
        }
        ids
    }
}

/// The bytes a token of the vocabulary stands for, where it is not one byte.
pub(super) fn spelled(token: &str) -> Vec<u8> {
    token.replace(SPACE, " ").into_bytes()
}
