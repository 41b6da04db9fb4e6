//! Training rows: BOS, prompt, answer, EOS, padded on the right, with labels on the answer alone.

use serde::{Deserialize, Serialize};

use crate::tokenizer::Tokenizer;

/// The label of positions that do not count towards the loss: BOS, prompt, padding, `<unk>`, and
/// whatever the model inserts. It is no token's id: 0, which stood for it in the authors' code, is
/// the end of a text in some vocabularies.
pub const IGNORE: u32 = u32::MAX;

/// What happens to a row longer than its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// The answer's tail is dropped and EOS closes the row, so that no example teaches to run on.
    #[default]
    KeepEos,
    /// Everything past the room is dropped, EOS included, as published checkpoints were trained. They
    /// reserve nothing, either: what the model inserts pushes the end of a long row out.
    Compat,
}

/// The shape of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowLayout {
    /// Length of `ids` and `labels`, padding included.
    pub width: usize,
    /// Positions of `width` to leave as padding for what the model inserts after BOS: the prefix and
    /// `[cls]`. The model cuts what it inserts into back to `width`, so without this a long row
    /// would lose its end.
    pub reserve: usize,
    /// Id of the padding: not `<unk>`'s.
    pub pad: u32,
    /// What to do with a longer text.
    pub truncation: Truncation,
}

/// One example, ready for a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Token ids, `[width]`.
    pub ids: Vec<u32>,
    /// The id at each position of the answer and its EOS, elsewhere [`IGNORE`]: `[width]`.
    pub labels: Vec<u32>,
    /// Positions before the padding.
    pub len: usize,
    /// Positions of BOS and prompt.
    pub prompt_len: usize,
    /// Whether the prompt tokenises the same alone (as when generating) and before its answer. Where
    /// not, as with a prompt that ends in a space, training and generation see different tokens.
    pub prompt_is_prefix: bool,
}

/// Why no row could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Nothing of the answer would be left.
    #[error(
        "the prompt's {prompt} tokens leave no room for an answer in a row of {width} positions, {reserve} of them reserved; shorten the prompt or widen the rows"
    )]
    PromptTooLong {
        /// Tokens of BOS and prompt.
        prompt: usize,
        /// Positions of a row.
        width: usize,
        /// Positions kept free for the prefix and `[cls]`.
        reserve: usize,
    },
}

/// Builds the row of `prompt` followed directly by `answer`.
///
/// The two are tokenised as one text; the first positions, as many as BOS and the prompt alone have,
/// are not scored (the authors' labels, exactly).
///
/// # Errors
/// [`RowError::PromptTooLong`] (never with [`Truncation::Compat`], which makes a row without labels).
pub fn training_row(
    tokenizer: &Tokenizer,
    prompt: &str,
    answer: &str,
    layout: &RowLayout,
) -> Result<Row, RowError> {
    let special = tokenizer.special();
    let prompt_ids = tokenizer.encode_with_bos(prompt);
    let mut ids = tokenizer.encode_with_bos(&format!("{prompt}{answer}"));
    let prompt_is_prefix = ids.starts_with(&prompt_ids);
    let prompt_len = prompt_ids.len();
    ids.push(special.eos);

    let room = layout.width.saturating_sub(layout.reserve);
    match layout.truncation {
        Truncation::Compat => ids.truncate(room),
        Truncation::KeepEos => {
            // One answer token and EOS at least, or the row would teach to stay silent.
            if prompt_len + 2 > room {
                return Err(RowError::PromptTooLong {
                    prompt: prompt_len,
                    width: layout.width,
                    reserve: layout.reserve,
                });
            }
            if ids.len() > room {
                ids.truncate(room - 1);
                ids.push(special.eos);
            }
        }
    }

    let len = ids.len();
    let mut labels = vec![IGNORE; layout.width];
    let learned = |id: u32| special.unk != Some(id) || id == special.eos;
    for (label, &id) in labels.iter_mut().zip(&ids).skip(prompt_len) {
        *label = if learned(id) { id } else { IGNORE };
    }
    ids.resize(layout.width, layout.pad);
    Ok(Row {
        ids,
        labels,
        len,
        prompt_len,
        prompt_is_prefix,
    })
}
