//! The LLaMA family's tokenizers, read from `tokenizer.json`: SentencePiece-style BPE with byte
//! fallback, and byte-level BPE as of Llama 3, SmolLM and GPT-2.
//!
//! Written out here rather than taken from the `tokenizers` crate, which alone is half a megabyte
//! of compressed WebAssembly; the tests hold the two equal.

mod bpe;
mod byte_level;
mod error;
mod json;
mod sentence_piece;
mod stream;
#[cfg(not(target_arch = "wasm32"))]
mod train;

use std::collections::{HashMap, HashSet};

pub use byte_level::symbol as byte_symbol;
pub use error::TokenizerError;
pub use stream::TextStream;
#[cfg(not(target_arch = "wasm32"))]
pub use train::{BpeTraining, train_bpe};

use bpe::Merges;
use byte_level::{ByteLevel, is_byte_level};
use json::File;
use sentence_piece::SentencePiece;

/// Largest `tokenizer.json` that is read: several times Llama 3's.
pub const MAX_JSON_BYTES: usize = 32 << 20;

/// Usual names of the token that begins a sequence, in the order in which they are looked for: of
/// LLaMA, Llama 3, GPT-2 and chat models.
pub const BOS: [&str; 4] = ["<s>", "<|begin_of_text|>", "<|endoftext|>", "<|im_start|>"];
/// The same of the token that ends an answer.
pub const EOS: [&str; 4] = ["</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>"];

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
    /// Text, with ordinary spaces; or bytes that are text with others alone.
    Bytes(Box<[u8]>),
}

/// Ids by token.
type Ids = HashMap<String, u32>;

/// The way from text to ids.
#[derive(Debug, Clone)]
enum Spelling {
    SentencePiece(SentencePiece),
    ByteLevel(Box<ByteLevel>),
}

/// Text to ids and back.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    pieces: Vec<Piece>,
    spelling: Spelling,
    merges: Merges,
    special: SpecialIds,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Special ids are found by their usual names, [`BOS`], [`EOS`],
    /// `<pad>` and what the file says of unknown text; [`Tokenizer::with_special_ids`] sets others.
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
        let mut file = File::parse(json)?;
        let added = |name: &String| {
            let mut added = file.added_tokens.iter();
            added.find(|t| t.content == *name).map(|t| t.id)
        };
        let unk = file.model.unk_token.as_ref();
        let unk = unk.and_then(|t| file.model.vocab.get(t).copied().or_else(|| added(t)));
        let byte_level = match is_byte_level(&file.pre_tokenizer) {
            true => Some(Box::new(ByteLevel::new(&file, unk)?)),
            false => None,
        };
        let mut ids = std::mem::take(&mut file.model.vocab);
        ids.extend(file.added_tokens.iter().map(|t| (t.content.clone(), t.id)));
        let special = file.added_tokens.iter().filter(|t| t.special);
        let special: HashSet<u32> = special.map(|t| t.id).collect();
        let (mut spelling, unk) = match byte_level {
            Some(it) => {
                let unk = it.unk();
                (Spelling::ByteLevel(it), unk)
            }
            None => {
                let it = SentencePiece::new(&file, &ids, &special)?;
                if unk.is_none() && it.bytes().is_none() {
                    return Err(TokenizerError::NoFallback);
                }
                (Spelling::SentencePiece(it), unk)
            }
        };
        let merges = merges(&file, &ids)?;
        let need = |names: &[&'static str]| {
            let mut found = names.iter().filter_map(|name| ids.get(*name).copied());
            let token = names[0];
            found.next().ok_or(TokenizerError::NoSpecial { token })
        };
        let special_ids = SpecialIds {
            bos: need(&BOS)?,
            eos: need(&EOS)?,
            pad: ids.get("<pad>").copied(),
            unk,
        };
        let pieces = pieces(&ids, &special, &spelling)?;
        if let Spelling::ByteLevel(it) = &mut spelling
            && file.model.ignore_merges
        {
            // What is typed is never one of these.
            for token in &file.added_tokens {
                ids.remove(&token.content);
            }
            it.look_up(ids);
        }
        Ok(Self {
            pieces,
            spelling,
            merges,
            special: special_ids,
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

    /// Whether tokens are made of bytes, as GPT-2's, and not of characters, as SentencePiece's.
    pub fn is_byte_level(&self) -> bool {
        matches!(self.spelling, Spelling::ByteLevel(_))
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
        match &self.spelling {
            Spelling::SentencePiece(it) => {
                bpe::merge(&it.ids(text, self.special.unk), &self.merges)
            }
            Spelling::ByteLevel(it) => it.encode(text, &self.merges),
        }
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

/// The pairs that merge; each side and their union must be tokens.
fn merges(file: &File, ids: &Ids) -> Result<Merges, TokenizerError> {
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
    Ok(merges)
}

/// Inverts the vocabulary; refuses gaps, so that a hostile id cannot ask for a huge table.
fn pieces(
    ids: &Ids,
    special: &HashSet<u32>,
    spelling: &Spelling,
) -> Result<Vec<Piece>, TokenizerError> {
    let count = ids.len();
    let mut pieces: Vec<Option<Piece>> = vec![None; count];
    let mut set = |id: u32, piece| {
        if let Some(slot) = pieces.get_mut(id as usize) {
            *slot = Some(piece);
        }
    };
    for (token, &id) in ids {
        let bytes = match spelling {
            Spelling::SentencePiece(_) => sentence_piece::spelled(token),
            Spelling::ByteLevel(_) => byte_level::spelled(token),
        };
        set(id, Piece::Bytes(bytes.into()));
    }
    if let Spelling::SentencePiece(it) = spelling {
        for (byte, &id) in (0u8..=255).zip(it.bytes().into_iter().flatten()) {
            set(id, Piece::Bytes([byte].into()));
        }
    }
    for &id in special {
        set(id, Piece::Special);
    }
    (0u32..)
        .zip(pieces)
        .map(|(missing, piece)| piece.ok_or(TokenizerError::Gap { count, missing }))
        .collect()
}
