//! One request being answered, step by step.

use adem_data::tokenizer::TextStream;
use adem_model::{Generation, GenerationOptions, ModelError, Sight, VisualPrompt};
use adem_package::Digest;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::captioner::Captioner;
use crate::error::PipelineError;
use crate::timing::{Stopwatch, Timings};

/// What happened at one step of a [`Session`].
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The picture was decoded and encoded, or there is none; the text begins.
    Seen {
        /// Milliseconds it took.
        ms: f64,
    },
    /// A token was generated.
    Token {
        /// The whole characters that are certain now; empty while one is incomplete.
        text: String,
        /// The token's id.
        id: u32,
    },
    /// The text is complete; nothing follows.
    Done(Outcome),
}

/// A finished text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The texts of all tokens joined, without white space at the end.
    pub text: String,
    /// Number of tokens.
    pub tokens: usize,
    /// Whether the model ended the text itself, rather than being cut at the most tokens.
    pub complete: bool,
    /// Where the time went.
    pub timings: Timings,
}

/// One request being answered. Poll [`next`](Self::next) until it gives `None`; drop the session
/// to stop.
#[derive(Debug)]
pub struct Session<'c> {
    captioner: &'c Captioner,
    stage: Stage<'c>,
    timings: Timings,
    traced: bool,
}

#[derive(Debug)]
enum Stage<'c> {
    Picture {
        picture: Option<Vec<u8>>,
        prompt: Vec<u32>,
        options: GenerationOptions,
    },
    Text(Box<Writing<'c>>),
    Ended,
}

#[derive(Debug)]
struct Writing<'c> {
    generation: Generation<'c>,
    stream: TextStream<'c>,
    text: String,
    tokens: usize,
    steps: usize,
}

impl<'c> Session<'c> {
    pub(crate) fn new(
        captioner: &'c Captioner,
        picture: Option<Vec<u8>>,
        prompt: Vec<u32>,
        options: GenerationOptions,
    ) -> Self {
        Self {
            captioner,
            stage: Stage::Picture {
                picture,
                prompt,
                options,
            },
            timings: Timings::default(),
            traced: false,
        }
    }

    /// The same session, noting what each token looked at; see [`sight`](Self::sight). A session
    /// that has begun its text is left as it is.
    pub fn traced(mut self) -> Self {
        self.traced = true;
        self
    }

    /// What the last token looked at; `None` before the first, after the end and where the session
    /// is not [`traced`](Self::traced).
    pub fn sight(&self) -> Option<&Sight> {
        match &self.stage {
            Stage::Text(writing) => writing.generation.last_sights().first(),
            Stage::Picture { .. } | Stage::Ended => None,
        }
    }

    /// Goes one step further: first the picture, then a token at a time. `None` after
    /// [`Event::Done`], and after an error.
    ///
    /// # Errors
    /// A picture that cannot be read, a device that fails, weights that give no numbers.
    pub async fn next(&mut self) -> Result<Option<Event>, PipelineError> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Picture {
                picture,
                prompt,
                options,
            } => {
                let clock = Stopwatch::start();
                let seen = match picture {
                    Some(bytes) => self.see(&bytes).await?,
                    None => self.captioner.see_nothing(),
                };
                let (model, prefix) = (self.captioner.model(), self.captioner.prefix());
                let mut generation = Generation::new(model, seen, &[prompt], prefix, options)?;
                if self.traced {
                    generation.trace();
                }
                self.stage = Stage::Text(Box::new(Writing {
                    generation,
                    stream: self.captioner.tokenizer().stream(),
                    text: String::new(),
                    tokens: 0,
                    steps: 0,
                }));
                Ok(Some(Event::Seen { ms: clock.ms() }))
            }
            Stage::Text(mut writing) => match self.write(&mut writing).await? {
                Some(token) => {
                    self.stage = Stage::Text(writing);
                    Ok(Some(token))
                }
                None => Ok(Some(Event::Done(self.outcome(*writing)))),
            },
            Stage::Ended => Ok(None),
        }
    }

    /// Runs the session to its end.
    ///
    /// # Errors
    /// Those of [`next`](Self::next), and [`PipelineError::Argument`] where the session has ended
    /// before.
    pub async fn finish(self) -> Result<Outcome, PipelineError> {
        self.finish_with(|_| Ok(())).await
    }

    /// Runs the session to its end, handing every piece of text on as it comes; an error of `each`
    /// ends the session.
    ///
    /// # Errors
    /// Those of [`finish`](Self::finish) and of `each`.
    pub async fn finish_with<E: From<PipelineError>>(
        mut self,
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<Outcome, E> {
        while let Some(event) = self.next().await? {
            match event {
                Event::Seen { .. } => {}
                Event::Token { text, .. } => each(&text)?,
                Event::Done(outcome) => return Ok(outcome),
            }
        }
        Err(PipelineError::argument("session", "has ended already; start another one").into())
    }

    async fn see(&mut self, bytes: &[u8]) -> Result<VisualPrompt, PipelineError> {
        let captioner = self.captioner;
        let digest = Digest::of(bytes);
        if let Some(prompt) = captioner.recall(&digest) {
            return Ok(prompt);
        }
        let clock = Stopwatch::start();
        let pixels = captioner.decode(bytes)?;
        self.timings.picture_ms = clock.ms();
        let clock = Stopwatch::start();
        let features = captioner.features(pixels, 1);
        let prompt = captioner.see(features.clone());
        wait_for(features.clone()).await?;
        self.timings.vision_ms = clock.ms();
        captioner.remember(digest, features, &prompt);
        Ok(prompt)
    }

    /// One step of the generation; `None` at the end of the text.
    async fn write(&mut self, writing: &mut Writing<'c>) -> Result<Option<Event>, PipelineError> {
        if writing.generation.is_done() {
            return Ok(None);
        }
        let clock = Stopwatch::start();
        let step = writing.generation.step().await?;
        if writing.steps == 0 {
            self.timings.prefill_ms = clock.ms();
        } else {
            self.timings.decode_ms += clock.ms();
            self.timings.decode_steps += 1;
            self.timings.launches = writing.generation.launches();
        }
        writing.steps += 1;
        let Some(id) = step.and_then(|step| step.tokens.first().copied().flatten()) else {
            return Ok(None);
        };
        writing.tokens += 1;
        let text = writing.stream.push(id)?;
        writing.text.push_str(&text);
        Ok(Some(Event::Token { text, id }))
    }

    fn outcome(&self, writing: Writing<'c>) -> Outcome {
        let mut text = writing.text;
        text.push_str(&writing.stream.finish());
        text.truncate(text.trim_end().len());
        Outcome {
            text,
            tokens: writing.tokens,
            complete: writing.steps > writing.tokens,
            timings: self.timings,
        }
    }
}

/// Waits until the device has computed `features` `[batch, tokens, width]`, by reading one value:
/// devices work behind the caller's back, and a time without its work would be no time.
async fn wait_for(features: Tensor<3>) -> Result<(), PipelineError> {
    let one = features.narrow(0, 0, 1).narrow(1, 0, 1).narrow(2, 0, 1);
    let read = adem_kernels::read_floats(one).await;
    read.map_err(|error| ModelError::Read(error.to_string()))?;
    Ok(())
}
