//! Samples to training rows: the model's prompt, the answer that is learned, and its label mask.

use serde::{Deserialize, Serialize};

use super::error::{DataError, RowFault};
use super::sample::{Prompt, Sample};
use crate::prompt::{PromptError, PromptTemplates};
use crate::rows::{Row, RowLayout, training_row};
use crate::tasks::caption::{MAX_WORDS, clean_caption};
use crate::tokenizer::Tokenizer;

/// How captions are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptionStyle {
    /// Lower case and without punctuation ([`clean_caption`]), as the COCO recipe learns them.
    pub clean: bool,
    /// Most words of a cleaned caption.
    pub max_words: usize,
    /// The prompt twice, "a picture of a picture of …", and the second one learned, as published
    /// checkpoints were trained.
    pub doubled: bool,
}

impl Default for CaptionStyle {
    fn default() -> Self {
        Self {
            clean: true,
            max_words: MAX_WORDS,
            doubled: false,
        }
    }
}

/// Makes rows of samples.
#[derive(Debug, Clone)]
pub struct Encoder {
    /// The model's tokeniser.
    pub tokenizer: Tokenizer,
    /// The model's prompts.
    pub prompts: PromptTemplates,
    /// The shape of a row.
    pub layout: RowLayout,
    /// How captions are learned.
    pub captions: CaptionStyle,
}

impl Encoder {
    /// The text of a sample's prompt, and that of its first target as it follows the prompt.
    ///
    /// # Errors
    /// [`PromptError`] where a question cannot be asked.
    pub fn texts(&self, sample: &Sample) -> Result<(String, String), PromptError> {
        let target = sample.targets.first().map_or("", String::as_str).trim();
        Ok(match &sample.prompt {
            Prompt::Caption => {
                let caption = if self.captions.clean {
                    clean_caption(target, self.captions.max_words)
                } else {
                    target.to_owned()
                };
                let prompt = self.prompts.caption.clone();
                match caption.is_empty() {
                    true => (prompt, caption),
                    // The authors set the prompt before the caption, too, and end it in a blank.
                    false if self.captions.doubled => {
                        let prompt = format!("{prompt} ");
                        let answer = format!("{prompt}{caption}");
                        (prompt, answer)
                    }
                    false => (prompt, format!(" {caption}")),
                }
            }
            Prompt::Question(question) => {
                (self.prompts.question_text(question)?, format!(" {target}"))
            }
            Prompt::Exact(prompt) => (prompt.clone(), target.to_owned()),
        })
    }

    /// The row of a sample: `BOS prompt answer EOS` with labels on answer and EOS alone. What is wrong
    /// with the sample is the inner error, what is wrong with the model's prompts the outer one.
    ///
    /// # Errors
    /// [`DataError::Prompt`] for a broken template.
    pub fn row(&self, sample: &Sample) -> Result<Result<Row, RowFault>, DataError> {
        let (prompt, answer) = match self.texts(sample) {
            Ok(texts) => texts,
            Err(error @ PromptError::Template { .. }) => return Err(error.into()),
            Err(error) => return Ok(Err(RowFault::Prompt(error))),
        };
        if answer.trim().is_empty() {
            return Ok(Err(RowFault::Empty(super::fields::target_name(
                &sample.prompt,
            ))));
        }
        Ok(training_row(&self.tokenizer, &prompt, &answer, &self.layout).map_err(RowFault::Row))
    }
}
