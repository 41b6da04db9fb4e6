//! Vocabularies of other files as `tokenizer.json`.

mod byte_level;
mod gguf;
mod protobuf;
mod sentencepiece;
mod tiktoken;

use std::collections::HashMap;
use std::path::Path;

use adem_data::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::error::{ImportError, excerpt};
use crate::input::Input;
use crate::limits;

pub(crate) use gguf::of_gguf;

/// SentencePiece's visible space, U+2581.
const SPACE: &str = "\u{2581}";

/// What a piece stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Unknown,
    /// `<s>` and the like, which no text is.
    Control,
    /// A text that is never taken apart.
    UserDefined,
    Unused,
    Byte,
}

impl Kind {
    /// SentencePiece's number of it, which GGUF uses too.
    fn of(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Text,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Piece {
    text: String,
    score: f32,
    kind: Kind,
}

/// The tokenizer in the file at `path` as `tokenizer.json`: that itself, SentencePiece's
/// `tokenizer.model`, Llama 3's of the same name (tiktoken's ranks) or llama2.c's `tokenizer.bin`.
///
/// # Errors
/// [`ImportError`]: unreadable, or of a kind that LLaMA's tokenizers are not.
pub fn read_tokenizer(path: &Path) -> Result<Vec<u8>, ImportError> {
    let input = Input::open(path)?;
    let bytes = input.whole("tokenizer", limits::TOKENIZER_BYTES)?;
    tokenizer_json(input.name(), bytes)
}

/// [`read_tokenizer`], for the bytes of a file called `file`.
///
/// # Errors
/// Those of [`read_tokenizer`].
pub fn tokenizer_json(file: &str, bytes: Vec<u8>) -> Result<Vec<u8>, ImportError> {
    let json = if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{') {
        bytes
    } else if tiktoken::is_tiktoken(&bytes) {
        tiktoken::to_json(file, &bytes)?
    } else if let Some(pieces) = llama2c(&bytes) {
        to_json(file, &pieces)?
    } else {
        to_json(file, &sentencepiece::pieces(file, &bytes)?)?
    };
    checked(file, json)
}

/// The pieces of llama2.c's `tokenizer.bin`: the longest piece's length, then of each piece its
/// score, its length and its bytes, with spaces for U+2581. Ids 0, 1 and 2 are SentencePiece's.
fn llama2c(bytes: &[u8]) -> Option<Vec<Piece>> {
    let (longest, mut rest) = bytes.split_first_chunk()?;
    let longest = u32::from_le_bytes(*longest) as usize;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (score, after) = rest.split_first_chunk()?;
        let (length, after) = after.split_first_chunk()?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > longest {
            return None;
        }
        let (text, after) = after.split_at_checked(length)?;
        rest = after;
        let text = std::str::from_utf8(text).ok()?;
        let (kind, text) = match pieces.len() {
            0 => (Kind::Unknown, text.trim().to_owned()),
            1 | 2 => (Kind::Control, text.trim().to_owned()),
            3..=258 if text.starts_with("<0x") => (Kind::Byte, text.to_owned()),
            _ => (Kind::Text, text.replace(' ', SPACE)),
        };
        pieces.push(Piece {
            text,
            score: f32::from_le_bytes(*score),
            kind,
        });
    }
    let first = pieces.iter().take(3).map(|piece| piece.text.as_str());
    first.eq(["<unk>", "<s>", "</s>"]).then_some(pieces)
}

/// The tokenizer, if the model's own reader takes it.
fn checked(file: &str, json: Vec<u8>) -> Result<Vec<u8>, ImportError> {
    match Tokenizer::from_bytes(&json) {
        Ok(_) => Ok(json),
        Err(source) => Err(ImportError::Tokenizer {
            file: file.to_owned(),
            source,
        }),
    }
}

/// The `tokenizer.json` of a SentencePiece BPE vocabulary, piece `i` having id `i`.
fn to_json(file: &str, pieces: &[Piece]) -> Result<Vec<u8>, ImportError> {
    let fault = |reason: String| ImportError::malformed(file, "tokenizer", reason);
    let mut vocab = HashMap::new();
    for (id, piece) in pieces.iter().enumerate() {
        let name = excerpt(&piece.text);
        if piece.kind == Kind::UserDefined {
            return Err(fault(format!(
                "`{name}` is a user-defined piece, which are not read here"
            )));
        }
        if !piece.score.is_finite() {
            return Err(fault(format!("the score of `{name}` is no number")));
        }
        if vocab.insert(piece.text.as_str(), id).is_some() {
            return Err(fault(format!("`{name}` is there twice")));
        }
    }
    let named = |kind: Kind| pieces.iter().position(|piece| piece.kind == kind);
    let special = |kind: Kind| matches!(kind, Kind::Unknown | Kind::Control);
    let added: Vec<Value> = pieces
        .iter()
        .enumerate()
        .filter(|(_, piece)| special(piece.kind))
        .map(|(id, piece)| {
            json!({
                "id": id, "content": piece.text, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let spaces = json!({"type": "Sequence", "normalizers": [
        {"type": "Prepend", "prepend": SPACE},
        {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
    ]});
    let bos = "<s>";
    let first = json!({"SpecialToken": {"id": bos, "type_id": 0}});
    let sequence = |id: &str, kind: u32| json!({"Sequence": {"id": id, "type_id": kind}});
    let bos_ids: Vec<usize> = vocab.get(bos).copied().into_iter().collect();
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": spaces,
        "pre_tokenizer": null,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, sequence("A", 0)],
            "pair": [first, sequence("A", 0), {"SpecialToken": {"id": bos, "type_id": 1}}, sequence("B", 1)],
            "special_tokens": {bos: {"id": bos, "ids": bos_ids, "tokens": [bos]}},
        },
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": named(Kind::Unknown).map(|id| pieces[id].text.as_str()),
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": pieces.iter().filter(|piece| piece.kind == Kind::Byte).count() == 256,
            "ignore_merges": false,
            "vocab": vocab,
            "merges": merges(pieces, &vocab),
        },
    });
    serde_json::to_vec(&json).map_err(|e| fault(e.to_string()))
}

/// Every way of making a piece of two others, best score first, longer left sides before shorter:
/// the order of Hugging Face's converter. A piece that no text becomes is not made.
fn merges<'a>(pieces: &'a [Piece], vocab: &HashMap<&str, usize>) -> Vec<[&'a str; 2]> {
    let id = |text: &str| {
        let id = vocab.get(text).copied();
        id.filter(|id| pieces[*id].kind == Kind::Text)
    };
    let mut all = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.kind == Kind::Text) {
        let places = piece.text.char_indices().skip(1).map(|(at, _)| at);
        let mut splits: Vec<_> = places
            .filter_map(|at| {
                let (left, right) = piece.text.split_at(at);
                Some((id(left)?, id(right)?, [left, right]))
            })
            .collect();
        splits.sort_by_key(|(left, right, _)| (*left, *right));
        all.extend(splits.into_iter().map(|(_, _, sides)| (piece.score, sides)));
    }
    // Stable: what compares equal stays in the order of ids.
    let lengths = |sides: &[&str; 2]| sides.map(|side| side.chars().count());
    all.sort_by(|(a, left), (b, right)| {
        b.total_cmp(a)
            .then_with(|| lengths(right).cmp(&lengths(left)))
    });
    all.into_iter().map(|(_, sides)| sides).collect()
}
