//! What can be wrong with a `tokenizer.json` or with ids given to it.

/// Why a tokenizer was refused or could not decode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// The file is larger than any tokenizer of this family.
    #[error(
        "tokenizer.json is {bytes} bytes, more than the limit of {limit}; use the package's own file"
    )]
    TooLarge {
        /// Size of the file.
        bytes: usize,
        /// The limit it passed.
        limit: usize,
    },
    /// Not JSON, or not of the expected shape.
    #[error("tokenizer.json cannot be read: {reason}; use the file that came with the model")]
    Parse {
        /// The parser's words, with line and column.
        reason: String,
    },
    /// A tokenizer of another kind than LLaMA's BPE.
    #[error("tokenizer.json: {field} is {found}, but only {expected} is supported")]
    Unsupported {
        /// Path of the field.
        field: &'static str,
        /// What the file says.
        found: String,
        /// What is read.
        expected: &'static str,
    },
    /// Ids must be 0..n without gaps, or arrays indexed by them could not be built.
    #[error(
        "tokenizer.json: the vocabulary of {count} tokens has no token with id {missing}; ids must run from 0 without gaps"
    )]
    Gap {
        /// Number of tokens in the file.
        count: usize,
        /// The smallest id no token has.
        missing: u32,
    },
    /// A merge names a token that is not in the vocabulary.
    #[error("tokenizer.json: merge {rank} needs the token {token:?}, which the vocabulary lacks")]
    Merge {
        /// Position in the list of merges.
        rank: usize,
        /// The missing token.
        token: String,
    },
    /// Text could contain characters that no token stands for.
    #[error(
        "tokenizer.json: neither an unknown token nor all 256 byte tokens are in the vocabulary"
    )]
    NoFallback,
    /// A special token is missing.
    #[error("tokenizer.json: the vocabulary has no {token:?}; give its id explicitly")]
    NoSpecial {
        /// The token's usual text.
        token: &'static str,
    },
    /// An id outside the vocabulary.
    #[error(
        "token id {id} is outside the vocabulary of {vocab} tokens; the model and its tokenizer do not belong together"
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// Training cannot fit what every vocabulary must hold.
    #[error(
        "a vocabulary of {asked} tokens is too small: special, byte and single-character tokens alone are {needed}"
    )]
    VocabTooSmall {
        /// The size asked for.
        asked: usize,
        /// The least size.
        needed: usize,
    },
}
