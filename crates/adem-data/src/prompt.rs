//! Prompts: the words around the picture, and the room a model has for them.

use serde::{Deserialize, Serialize};

use crate::tokenizer::Tokenizer;

/// Largest question that is tokenised at all, in bytes: far beyond any context window.
pub const MAX_QUESTION_BYTES: usize = 1 << 20;

/// The slot in [`PromptTemplates::question`].
const SLOT: &str = "{question}";

/// A model's prompts, as its package states them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptTemplates {
    /// Between BOS and the `[cls]` token of a picture.
    pub image_prefix: String,
    /// After BOS where there is no picture.
    pub no_image_prefix: String,
    /// Asks for a caption.
    pub caption: String,
    /// Asks `{question}`, which it holds exactly once.
    pub question: String,
}

impl Default for PromptTemplates {
    fn default() -> Self {
        Self {
            image_prefix: "Image: ".into(),
            no_image_prefix: "Image: N/A".into(),
            caption: "a picture of".into(),
            question: "Question: {question}\nAnswer:".into(),
        }
    }
}

/// Why a prompt was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptError {
    /// Nothing but white space.
    #[error("the question is empty; write one, or ask for a caption instead")]
    Empty,
    /// Too large to even count its tokens.
    #[error("the question is {bytes} bytes, more than the limit of {limit}; shorten it")]
    TooLarge {
        /// Size of the question.
        bytes: usize,
        /// The limit it passed.
        limit: usize,
    },
    /// More tokens than fit beside the picture and the answer.
    #[error(
        "the prompt is too long: {words} words make {tokens} tokens, but the model has room for {room}; shorten the question to about {} words",
        (words * room / tokens.max(&1)).saturating_sub(1).max(1)
    )]
    TooLong {
        /// Words in the question.
        words: usize,
        /// Tokens of the whole prompt.
        tokens: usize,
        /// Tokens there is room for.
        room: usize,
    },
    /// A package's template without its slot.
    #[error(
        "the package's question prompt {template:?} must hold {SLOT} exactly once; correct `prompts.question` in adem.json"
    )]
    Template {
        /// The template as found.
        template: String,
    },
    /// The context window is smaller than what surrounds the prompt.
    #[error(
        "a context of {context} positions leaves no room for a prompt beside {reserved} for the picture's prefix and the answer; allow fewer new tokens"
    )]
    NoRoom {
        /// Positions in all.
        context: usize,
        /// Positions taken by everything else.
        reserved: usize,
    },
}

impl PromptTemplates {
    /// Ids between BOS and the `[cls]` slot (with a picture) or the prompt (without).
    pub fn prefix_ids(&self, tokenizer: &Tokenizer, with_image: bool) -> Vec<u32> {
        tokenizer.encode(if with_image {
            &self.image_prefix
        } else {
            &self.no_image_prefix
        })
    }

    /// The question prompt as text, white space around the question removed.
    ///
    /// # Errors
    /// [`PromptError::Empty`], [`PromptError::TooLarge`], [`PromptError::Template`].
    pub fn question_text(&self, question: &str) -> Result<String, PromptError> {
        let question = question.trim();
        if question.is_empty() {
            return Err(PromptError::Empty);
        }
        if question.len() > MAX_QUESTION_BYTES {
            return Err(PromptError::TooLarge {
                bytes: question.len(),
                limit: MAX_QUESTION_BYTES,
            });
        }
        match self.question.split_once(SLOT) {
            Some((before, after)) if !after.contains(SLOT) => {
                Ok(format!("{before}{question}{after}"))
            }
            _ => Err(PromptError::Template {
                template: self.question.clone(),
            }),
        }
    }

    /// Ids of the caption prompt, without BOS and prefix.
    ///
    /// # Errors
    /// [`PromptError::TooLong`] when `room` (see [`prompt_room`]) is smaller.
    pub fn caption_ids(&self, tokenizer: &Tokenizer, room: usize) -> Result<Vec<u32>, PromptError> {
        fit(tokenizer, &self.caption, 0, room)
    }

    /// Ids of the prompt that asks `question`, without BOS and prefix.
    ///
    /// # Errors
    /// Those of [`PromptTemplates::question_text`], and [`PromptError::TooLong`] when `room` (see
    /// [`prompt_room`]) is smaller: a question is never cut, as the model would answer another one.
    pub fn question_ids(
        &self,
        tokenizer: &Tokenizer,
        question: &str,
        room: usize,
    ) -> Result<Vec<u32>, PromptError> {
        let text = self.question_text(question)?;
        fit(tokenizer, &text, question.split_whitespace().count(), room)
    }
}

fn fit(
    tokenizer: &Tokenizer,
    text: &str,
    words: usize,
    room: usize,
) -> Result<Vec<u32>, PromptError> {
    let ids = tokenizer.encode(text);
    if ids.len() > room {
        return Err(PromptError::TooLong {
            words,
            tokens: ids.len(),
            room,
        });
    }
    Ok(ids)
}

/// Tokens a prompt may have in a window of `context` positions, beside BOS, `prefix` ids, `slots`
/// visual tokens (1 for `[cls]`, 0 without a picture) and `max_new_tokens` of answer. Reserving the
/// slot here is what keeps a long prompt from pushing `[cls]` out of the window.
///
/// # Errors
/// [`PromptError::NoRoom`].
pub fn prompt_room(
    context: usize,
    prefix: usize,
    slots: usize,
    max_new_tokens: usize,
) -> Result<usize, PromptError> {
    let reserved = (1 + prefix + slots).saturating_add(max_new_tokens);
    match context.checked_sub(reserved) {
        Some(room) if room > 0 => Ok(room),
        _ => Err(PromptError::NoRoom { context, reserved }),
    }
}
