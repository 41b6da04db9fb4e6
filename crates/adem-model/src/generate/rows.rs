//! Prompts as rows of one length.

use super::GenerationOptions;
use crate::adem::{AdemVl, VisualPrompt};
use crate::assemble::{Prefix, Slot, with_prefix};
use crate::error::ModelError;

/// Prompts with their visual tokens, padded on the left to the longest.
pub(super) struct Rows {
    pub slots: Vec<Vec<Slot>>,
    /// Pads of each row.
    pub padding: Vec<usize>,
    /// Slots of a row.
    pub longest: usize,
}

impl Rows {
    /// One row for each of `texts` (token ids without `BOS`) about the pictures of `prompt`.
    ///
    /// # Errors
    /// [`ModelError::ContextExceeded`], and [`ModelError::Argument`] where rows and pictures differ
    /// in number.
    pub fn new(
        model: &AdemVl,
        prompt: &VisualPrompt,
        texts: &[Vec<u32>],
        prefix: &Prefix,
        options: &GenerationOptions,
    ) -> Result<Self, ModelError> {
        let rows = texts.len();
        prompt.serves(rows)?;
        let mut slots: Vec<Vec<Slot>> = Vec::with_capacity(rows);
        for (row, text) in texts.iter().enumerate() {
            let ids: Vec<u32> = std::iter::once(options.bos)
                .chain(text.iter().copied())
                .collect();
            let picture = prompt.has_picture(row, rows);
            slots.push(with_prefix(&ids, picture, model.text_tokens(), prefix));
        }
        let longest = slots.iter().map(Vec::len).max().unwrap_or(0);
        let limit = model.config().llama.max_seq_len;
        let needed = longest.saturating_add(options.max_new_tokens);
        if needed > limit {
            return Err(ModelError::ContextExceeded { needed, limit });
        }
        let padding: Vec<usize> = slots.iter().map(|s| longest - s.len()).collect();
        for (row, pad) in slots.iter_mut().zip(&padding) {
            row.splice(0..0, std::iter::repeat_n(Slot::Pad, *pad));
        }
        Ok(Self {
            slots,
            padding,
            longest,
        })
    }
}
