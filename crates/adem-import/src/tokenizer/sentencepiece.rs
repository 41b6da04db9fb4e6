//! SentencePiece's `tokenizer.model` (google/sentencepiece, `sentencepiece_model.proto`).

use super::protobuf::{Fields, Held};
use super::{Kind, Piece};
use crate::error::ImportError;

const FORMAT: &str = "SentencePiece";
/// `TrainerSpec.ModelType.BPE`.
const BPE: u64 = 2;

/// The pieces of a BPE model of LLaMA's kind.
pub(super) fn pieces(file: &str, bytes: &[u8]) -> Result<Vec<Piece>, ImportError> {
    let fault = |reason: &str| ImportError::malformed(file, FORMAT, reason);
    let mut pieces = Vec::new();
    let mut trainer = None;
    let mut normalizer: &[u8] = &[];
    let mut fields = Fields::new(bytes);
    for field in fields.by_ref() {
        match field {
            (1, Held::Bytes(message)) => {
                let piece = piece(message);
                pieces.push(piece.ok_or_else(|| fault("a piece is damaged"))?);
            }
            (2, Held::Bytes(message)) => trainer = Some(message),
            (3, Held::Bytes(message)) => normalizer = message,
            _ => {}
        }
    }
    let (true, Some(trainer)) = (fields.is_sound() && !pieces.is_empty(), trainer) else {
        return Err(fault(
            "it is no model of pieces; SentencePiece's, Llama 3's (tiktoken), llama2.c's and tokenizer.json are read",
        ));
    };
    let kind = Fields::new(trainer).find_map(|field| match field {
        (3, Held::Number(kind)) => Some(kind),
        _ => None,
    });
    // Unigram where nothing is said.
    if kind != Some(BPE) {
        return Err(fault("its model is not BPE, which LLaMA's are"));
    }
    check_normalizer(normalizer).map_err(|reason| fault(&reason))?;
    Ok(pieces)
}

fn piece(message: &[u8]) -> Option<Piece> {
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: Kind::Text,
    };
    let mut fields = Fields::new(message);
    for field in fields.by_ref() {
        match field {
            (1, Held::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (2, Held::Fixed32(score)) => piece.score = f32::from_le_bytes(score),
            (3, Held::Number(kind)) => piece.kind = Kind::of(kind)?,
            _ => {}
        }
    }
    (fields.is_sound() && !piece.text.is_empty()).then_some(piece)
}

/// Refuses what LLaMA's models do not do to a text: they put a space before it, make spaces
/// visible, and leave it as it is otherwise.
fn check_normalizer(message: &[u8]) -> Result<(), String> {
    let (mut prefix, mut collapse, mut escape) = (true, true, true);
    let mut table = false;
    let mut fields = Fields::new(message);
    for field in fields.by_ref() {
        match field {
            (2, Held::Bytes(map)) => table = !map.is_empty(),
            (3, Held::Number(on)) => prefix = on != 0,
            (4, Held::Number(on)) => collapse = on != 0,
            (5, Held::Number(on)) => escape = on != 0,
            _ => {}
        }
    }
    for (wrong, what) in [
        (!fields.is_sound(), "is damaged"),
        (table, "changes characters (precompiled_charsmap)"),
        (!prefix, "puts no space before a text (add_dummy_prefix)"),
        (collapse, "takes spaces away (remove_extra_whitespaces)"),
        (!escape, "leaves spaces as they are (escape_whitespaces)"),
    ] {
        if wrong {
            return Err(format!("its normaliser {what}, which LLaMA's does not"));
        }
    }
    Ok(())
}
