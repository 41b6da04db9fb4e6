//! Token ids to text, a piece at a time.

use super::{Piece, Tokenizer, TokenizerError};

/// Turns ids into text as they are generated.
///
/// Emits only whole characters: bytes of an unfinished one are held back until the character is
/// complete, or is known never to be and becomes U+FFFD. Special tokens emit nothing. A single space
/// at the beginning is taken off: it is encoding that puts it before a text, or it parts an answer
/// from its prompt. The concatenated pieces, with [`TextStream::finish`]'s, equal
/// [`Tokenizer::decode`] of all ids.
#[derive(Debug, Clone)]
pub struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    /// At most three bytes: the beginning of a UTF-8 sequence.
    held: Vec<u8>,
    started: bool,
}

impl<'a> TextStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            held: Vec::new(),
            started: false,
        }
    }

    /// Takes one id and returns the text that is now certain; empty when there is none yet.
    ///
    /// # Errors
    /// [`TokenizerError::UnknownId`]; the stream is as before and can go on.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        let mut text = String::new();
        match self.tokenizer.piece(id)? {
            Piece::Special => {}
            Piece::Bytes(bytes) => {
                self.held.extend_from_slice(bytes);
                self.release(&mut text);
            }
        }
        Ok(self.strip(text))
    }

    /// The end: what was held back of an unfinished character becomes U+FFFD.
    pub fn finish(mut self) -> String {
        let text = match self.held.is_empty() {
            true => String::new(),
            false => char::REPLACEMENT_CHARACTER.into(),
        };
        self.strip(text)
    }

    /// Moves every decided byte from `held` to `text`.
    fn release(&mut self, text: &mut String) {
        while !self.held.is_empty() {
            let (valid, bad) = match std::str::from_utf8(&self.held) {
                Ok(all) => (all.len(), 0),
                Err(e) => match e.error_len() {
                    Some(bad) => (e.valid_up_to(), bad),
                    None if e.valid_up_to() == 0 => return,
                    None => (e.valid_up_to(), 0),
                },
            };
            text.push_str(std::str::from_utf8(&self.held[..valid]).unwrap_or_default());
            if bad > 0 {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            self.held.drain(..valid + bad);
        }
    }

    fn strip(&mut self, mut text: String) -> String {
        if !self.started && !text.is_empty() {
            self.started = true;
            if text.starts_with(' ') {
                text.remove(0);
            }
        }
        text
    }
}
