//! The LLaMA family's tokenizer: SentencePiece-style BPE with byte fallback, read from
//! `tokenizer.json`.
//!
//! Written out here rather than taken from the `tokenizers` crate, which alone is half a megabyte
//! of compressed WebAssembly; the tests hold the two equal.

mod bpe;
mod error;
mod json;
mod stream;
#[cfg(not(target_arch = "wasm32"))]
mod train;

use std::collections::{HashMap, HashSet};

pub use error::TokenizerError;
pub use stream::TextStream;
#[cfg(not(target_arch = "wasm32"))]
pub use train::{BpeTraining, train_bpe};

use bpe::Merges;
use json::{File, SPACE};

/// Largest `tokenizer.json` that is read: several times Llama 3's.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// Ids the model needs to know apart from ordinary text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialIds {
    /// Begins every sequence.
    pub bos: u32,
    /// Ends an answer.
    pub eos: u32,
    /// Fills rows of a batch; `None` where the vocabulary has none, as LLaMA's.
    pub pad: Option<u32>,
    /// Stands for characters the vocabulary cannot spell; `None` where bytes spell all.
    pub unk: Option<u32>,
}

/// What an id stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// Emits nothing.
    Special,
    /// One byte of a character that has no token of its own.
    Byte(u8),
    /// Text, with ordinary spaces.
    Text(String),
}

/// Text to ids and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    pieces: Vec<Piece>,
    chars: HashMap<char, u32>,
    bytes: Option<Box<[u32; 256]>>,
    merges: Merges,
    fuse_unk: bool,
    lowercase: bool,
    special: SpecialIds,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Special ids are found by their usual names: `<s>`, `</s>`, `<pad>`,
    /// `<unk>`; [`Tokenizer::with_special_ids`] sets others.
    ///
    /// # Errors
    /// [`TokenizerError`]: too large, not readable, of another kind than LLaMA's, or inconsistent.
    pub fn from_bytes(json: &[u8]) -> Result<Self, TokenizerError> {
        if json.len() > MAX_JSON_BYTES {
            return Err(TokenizerError::TooLarge {
                bytes: json.len(),
                limit: MAX_JSON_BYTES,
            });
        }
        let file = File::parse(json)?;
        let lowercase = file.lowercase();
        let mut ids = file.model.vocab;
        ids.extend(file.added_tokens.iter().map(|t| (t.content.clone(), t.id)));
        let special_ids: HashSet<u32> = file.added_tokens.iter().map(|t| t.id).collect();

        let bytes = if file.model.byte_fallback {
            let all: Option<Vec<u32>> = (0..256)
                .map(|b| ids.get(&format!("<0x{b:02X}>")).copied())
                .collect();
            all.and_then(|all| Box::<[u32; 256]>::try_from(all.into_boxed_slice()).ok())
        } else {
            None
        };
        let unk = file.model.unk_token.as_ref().and_then(|t| ids.get(t));
        let unk = unk.copied();
        if unk.is_none() && bytes.is_none() {
            return Err(TokenizerError::NoFallback);
        }

        let mut merges = Merges::with_capacity(file.model.merges.len());
        for (rank, merge) in file.model.merges.iter().enumerate() {
            let (left, right) = merge.sides().ok_or_else(|| TokenizerError::Parse {
                reason: format!("merge {rank} is not two tokens separated by a space"),
            })?;
            let id = |token: &str| {
                ids.get(token)
                    .copied()
                    .ok_or_else(|| TokenizerError::Merge {
                        rank,
                        token: token.into(),
                    })
            };
            let pair = (id(left)?, id(right)?);
            let merged = id(&format!("{left}{right}"))?;
            merges.insert(pair, (rank as u32, merged));
        }

        let named = |token: &'static str| ids.get(token).copied();
        let need = |token: &'static str| named(token).ok_or(TokenizerError::NoSpecial { token });
        let special = SpecialIds {
            bos: need("<s>")?,
            eos: need("</s>")?,
            pad: named("<pad>"),
            unk,
        };
        let byte_ids = bytes.as_deref().map_or(&[][..], |b| &b[..]);
        let pieces = pieces(&ids, &special_ids, byte_ids)?;
        let chars = ids
            .iter()
            .filter(|(_, id)| !special_ids.contains(id))
            .filter_map(|(token, &id)| {
                let mut chars = token.chars();
                Some((chars.next().filter(|_| chars.next().is_none())?, id))
            })
            .collect();
        Ok(Self {
            pieces,
            chars,
            bytes,
            merges,
            fuse_unk: file.model.fuse_unk,
            lowercase,
            special,
        })
    }

    /// The same tokenizer with other special ids, as a package's manifest gives them; they emit no
    /// text when decoded.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`] for an id outside the vocabulary.
    pub fn with_special_ids(mut self, special: SpecialIds) -> Result<Self, TokenizerError> {
        let ids = [
            Some(special.bos),
            Some(special.eos),
            special.pad,
            special.unk,
        ];
        for id in ids.into_iter().flatten() {
            self.piece(id)?;
            self.pieces[id as usize] = Piece::Special;
        }
        self.special = special;
        Ok(self)
    }

    /// Number of ids.
    pub fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    /// The special ids.
    pub fn special(&self) -> SpecialIds {
        self.special
    }

    /// Text to ids, without BOS or EOS. Special tokens' names in the text (`</s>`) are spelled out
    /// like any other text: what a user types never ends or restarts a sequence.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        if text.is_empty() {
            return Vec::new();
        }
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
            } else if let Some(unk) = self.special.unk
                && !(self.fuse_unk && ids.last() == Some(&unk))
            {
                ids.push(unk);
            }
        }
        bpe::merge(&ids, &self.merges)
    }

    /// BOS followed by [`Tokenizer::encode`].
    pub fn encode_with_bos(&self, text: &str) -> Vec<u32> {
        let mut ids = vec![self.special.bos];
        ids.extend(self.encode(text));
        ids
    }

    /// Ids to text; see [`TextStream`] for how.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let mut stream = self.stream();
        let mut text = String::new();
        for &id in ids {
            text.push_str(&stream.push(id)?);
        }
        text.push_str(&stream.finish());
        Ok(text)
    }

    /// A decoder for ids that arrive one by one.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream::new(self)
    }

    fn piece(&self, id: u32) -> Result<&Piece, TokenizerError> {
        self.pieces
            .get(id as usize)
            .ok_or(TokenizerError::UnknownId {
                id,
                vocab: self.pieces.len(),
            })
    }
}

/// Inverts the vocabulary; refuses gaps, so that a hostile id cannot ask for a huge table.
fn pieces(
    ids: &HashMap<String, u32>,
    special: &HashSet<u32>,
    bytes: &[u32],
) -> Result<Vec<Piece>, TokenizerError> {
    let count = ids.len();
    let mut pieces: Vec<Option<Piece>> = vec![None; count];
    for (token, &id) in ids {
        if let Some(slot) = pieces.get_mut(id as usize) {
            *slot = Some(Piece::Text(token.replace(SPACE, " ")));
        }
    }
    for (byte, &id) in (0u8..=255).zip(bytes) {
        if let Some(slot) = pieces.get_mut(id as usize) {
            *slot = Some(Piece::Byte(byte));
        }
    }
    for &id in special {
        if let Some(slot) = pieces.get_mut(id as usize) {
            *slot = Some(Piece::Special);
        }
    }
    (0u32..)
        .zip(pieces)
        .map(|(missing, piece)| piece.ok_or(TokenizerError::Gap { count, missing }))
        .collect()
}
