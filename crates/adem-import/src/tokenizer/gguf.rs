//! A GGUF file's tokenizer: SentencePiece's pieces, or GPT-2's tokens and merges.

use serde_json::json;

use super::byte_level::{self, Cut};
use super::{Kind, Piece, checked, to_json};
use crate::error::ImportError;
use crate::gguf::{Metadata, Value as Field};

/// The tokenizer of a GGUF file.
pub(crate) fn of_gguf(file: &str, metadata: &Metadata) -> Result<Vec<u8>, ImportError> {
    let fault = |field: &str, reason: &str| ImportError::config(file, field, reason);
    let Some(Field::Texts(tokens)) = metadata.get("tokenizer.ggml.tokens") else {
        return Err(fault("tokenizer.ggml.tokens", "is missing"));
    };
    let numbers = |field: &str| match metadata.get(field) {
        Some(Field::Numbers(numbers)) if numbers.len() == tokens.len() => Ok(numbers),
        _ => Err(fault(field, "is missing, or not as long as the tokens")),
    };
    let kinds = numbers("tokenizer.ggml.token_type")?.iter().map(|kind| {
        let kind = Kind::of(*kind as u64);
        kind.ok_or_else(|| fault("tokenizer.ggml.token_type", "has an unknown kind"))
    });
    let kinds = kinds.collect::<Result<Vec<_>, ImportError>>()?;
    let json = match metadata.get("tokenizer.ggml.model").and_then(Field::as_str) {
        Some("llama") => {
            let scores = numbers("tokenizer.ggml.scores")?;
            let pieces = tokens.iter().zip(scores).zip(kinds);
            let pieces = pieces.map(|((text, score), kind)| Piece {
                text: text.clone(),
                score: *score,
                kind,
            });
            to_json(file, &pieces.collect::<Vec<_>>())?
        }
        Some("gpt2") => bytes(file, metadata, tokens, &kinds)?,
        other => {
            let reason = format!(
                "is {}; `llama` (SentencePiece) and `gpt2` (byte-level) are read. Give a tokenizer with --tokenizer",
                other.unwrap_or("missing")
            );
            return Err(fault("tokenizer.ggml.model", &reason));
        }
    };
    checked(file, json)
}

/// The `tokenizer.json` of GPT-2's kind of vocabulary.
fn bytes(
    file: &str,
    metadata: &Metadata,
    tokens: &[String],
    kinds: &[Kind],
) -> Result<Vec<u8>, ImportError> {
    let fault = |field: &str, reason: &str| ImportError::config(file, field, reason);
    let Some(Field::Texts(merges)) = metadata.get("tokenizer.ggml.merges") else {
        return Err(fault("tokenizer.ggml.merges", "is missing"));
    };
    let cut = match metadata.get("tokenizer.ggml.pre").and_then(Field::as_str) {
        Some("llama-bpe" | "llama3" | "llama-v3") => Cut::Llama3,
        Some("smollm") => Cut::SmolLm,
        Some("gpt-2") => Cut::Gpt2,
        other => {
            let reason = format!(
                "is {}; `llama-bpe`, `smollm` and `gpt-2` are known. Give a tokenizer with --tokenizer",
                other.unwrap_or("missing")
            );
            return Err(fault("tokenizer.ggml.pre", &reason));
        }
    };
    let added = tokens.iter().enumerate().zip(kinds);
    let added = added.filter(|(_, kind)| matches!(kind, Kind::Control | Kind::UserDefined));
    let added =
        added.map(|((id, content), kind)| byte_level::added(id, content, *kind == Kind::Control));
    let vocab = tokens.iter().enumerate();
    let vocab: serde_json::Map<_, _> = vocab.map(|(id, it)| (it.clone(), json!(id))).collect();
    if vocab.len() != tokens.len() {
        return Err(fault("tokenizer.ggml.tokens", "has a token twice"));
    }
    let json = byte_level::file(vocab, added.collect(), json!(merges), cut);
    serde_json::to_vec(&json).map_err(|e| ImportError::malformed(file, "tokenizer", e.to_string()))
}
