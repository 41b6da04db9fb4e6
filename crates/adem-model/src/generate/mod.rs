//! Generation as an object that is polled: prefill, then one decode step at a time.

mod beam;
mod flight;
mod rows;
mod search;

use burn::tensor::Tensor;

use crate::adem::{AdemVl, VisualPrompt};
use crate::assemble::{Prefix, Slot};
use crate::error::ModelError;
use crate::language::{KvCache, Positions, ResidentCache, Vision};
use crate::sampling::{Sampler, Sampling};
use crate::trace::{Sight, Trace};
pub use beam::{BeamSearch, Beams};
use flight::Flights;
use rows::Rows;

/// What a text starts from and when it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    /// First token of every row.
    pub bos: u32,
    /// Token that ends a row; `None` generates until `max_new_tokens`.
    pub eos: Option<u32>,
    /// Tokens to generate at most in a row.
    pub max_new_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

/// The tokens one step gave: for each row `None` once the row has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTokens {
    /// One entry a row; the ending token itself is not reported.
    pub tokens: Vec<Option<u32>>,
}

/// A batch of texts being generated. Each [`step`](Self::step) yields one token a row; drop the
/// object to stop.
///
/// One text on a device with kernels, greedily, is decoded ahead of its reader: up to two steps more
/// than were asked for are computed.
#[derive(Debug)]
pub struct Generation<'m> {
    model: &'m AdemVl,
    prompt: VisualPrompt,
    options: GenerationOptions,
    samplers: Vec<Sampler>,
    way: Way,
    padding: Vec<usize>,
    prompt_tokens: usize,
    /// Slots to feed at the next step.
    next: Vec<Vec<Slot>>,
    ended: Vec<bool>,
    generated: usize,
    logits: Option<Tensor<3>>,
    trace: Option<Trace>,
    sights: Vec<Sight>,
    /// Tokens that are taken in place of chosen ones.
    given: Option<Vec<Vec<u32>>>,
}

/// How steps are computed.
#[derive(Debug)]
enum Way {
    /// In Burn's operations, any number of rows.
    Plain(KvCache),
    /// With kernels, the token chosen here.
    Resident(Box<ResidentCache>),
    /// With kernels, the token chosen there.
    Ahead(Box<Flights>),
}

impl<'m> Generation<'m> {
    /// Prepares to continue `texts` (token ids without `BOS`), one row each, about the pictures of
    /// `prompt`; texts that follow one another may share a picture, as many for each. Nothing is
    /// computed before the first step.
    ///
    /// # Errors
    /// [`ModelError::ContextExceeded`] when a text and its answer do not fit the context window,
    /// [`ModelError::Argument`] when rows and pictures differ in number or sampling is impossible.
    pub fn new(
        model: &'m AdemVl,
        prompt: VisualPrompt,
        texts: &[Vec<u32>],
        prefix: &Prefix,
        options: GenerationOptions,
    ) -> Result<Self, ModelError> {
        let rows = texts.len();
        let Rows {
            slots,
            padding,
            longest,
        } = Rows::new(model, &prompt, texts, prefix, &options)?;
        let mut samplers = Vec::with_capacity(rows);
        for row in 0..rows {
            // Rows draw from sequences of their own: a row is the same alone and in a batch's
            // first place.
            samplers.push(Sampler::new(match options.sampling {
                Sampling::TopP {
                    temperature,
                    top_p,
                    seed,
                } => Sampling::TopP {
                    temperature,
                    top_p,
                    seed: seed.wrapping_add(row as u64),
                },
                Sampling::Greedy => Sampling::Greedy,
            })?);
        }
        let needed = longest.saturating_add(options.max_new_tokens);
        let device = prompt.memory.keys().device();
        let resident = match rows {
            1 => ResidentCache::new(&model.llama, &model.config().adem, needed, &device),
            _ => None,
        };
        let way = match (resident, options.sampling) {
            (Some(cache), Sampling::Greedy) => Way::Ahead(Box::new(Flights::new(cache))),
            (Some(cache), Sampling::TopP { .. }) => Way::Resident(Box::new(cache)),
            (None, _) => Way::Plain(KvCache::new(model.config().llama.n_layers)),
        };
        Ok(Self {
            model,
            prompt,
            options,
            samplers,
            way,
            padding,
            prompt_tokens: longest,
            next: slots,
            ended: vec![false; rows],
            generated: 0,
            logits: None,
            trace: None,
            sights: Vec::new(),
            given: None,
        })
    }

    /// Tokens of the longest prompt, visual tokens included.
    pub fn prompt_tokens(&self) -> usize {
        self.prompt_tokens
    }

    /// Every row has ended, or the limit of new tokens is reached.
    pub fn is_done(&self) -> bool {
        self.generated >= self.options.max_new_tokens || self.ended.iter().all(|e| *e)
    }

    /// Every step notes what its token looks at; see [`last_sights`](Self::last_sights). To be
    /// called before the first step: what is noted is computed in Burn's operations.
    pub fn trace(&mut self) {
        self.trace = Some(Trace::default());
        self.plain();
    }

    /// Every step takes its tokens from `texts` (token ids, one entry a row) as long as they last,
    /// and a row ends with its text. To be called before the first step.
    ///
    /// # Errors
    /// [`ModelError::Argument`] where rows and texts differ in number.
    pub fn follow(&mut self, texts: Vec<Vec<u32>>) -> Result<(), ModelError> {
        if texts.len() != self.next.len() {
            let message = format!("are {}, there are {} rows", texts.len(), self.next.len());
            return Err(ModelError::argument("texts", message));
        }
        self.given = Some(texts);
        self.plain();
        Ok(())
    }

    fn plain(&mut self) {
        self.way = Way::Plain(KvCache::new(self.model.config().llama.n_layers));
    }

    /// What the tokens of the last step looked at, one entry a row; none without
    /// [`trace`](Self::trace).
    pub fn last_sights(&self) -> &[Sight] {
        &self.sights
    }

    /// Logits of the last step, `[rows, 1, vocabulary]`; `None` before the first.
    pub fn last_logits(&self) -> Option<Tensor<3>> {
        self.logits.clone()
    }

    /// Computes the next token of every row; `None` when the generation is done.
    ///
    /// # Errors
    /// [`ModelError::Read`] when the device fails, [`ModelError::NanLogits`] for broken weights.
    pub async fn step(&mut self) -> Result<Option<StepTokens>, ModelError> {
        if self.is_done() {
            return Ok(None);
        }
        let mut tokens = self.choose().await?;
        for (row, token) in tokens.iter_mut().enumerate() {
            *token = token.filter(|t| Some(*t) != self.options.eos);
            self.ended[row] = token.is_none();
            // A row that has ended is fed anything; no other row sees it.
            self.next[row] = vec![Slot::Token(token.unwrap_or(self.options.bos))];
        }
        self.generated += 1;
        if self.ended.iter().all(|e| *e) {
            return Ok(None);
        }
        Ok(Some(StepTokens { tokens }))
    }

    /// Kernels launched for one token after the first; `None` where others than ours have part in
    /// it, and before the second step.
    pub fn launches(&self) -> Option<u64> {
        match &self.way {
            Way::Ahead(flights) => flights.launches,
            Way::Plain(_) | Way::Resident(_) => None,
        }
    }

    /// The next token of every row, the ending one included; `None` where the row has ended.
    async fn choose(&mut self) -> Result<Vec<Option<u32>>, ModelError> {
        let (model, seen) = (self.model, &self.prompt);
        if let Way::Ahead(flights) = &mut self.way {
            let first = || model.embed(&self.next, seen.tokens.as_ref());
            let most = self.options.max_new_tokens;
            let Some((id, logits)) = flights.next(model, seen, most, first).await? else {
                return Ok(vec![None]);
            };
            self.logits = Some(logits);
            return Ok(vec![Some(id)]);
        }
        let logits = self.forward();
        self.logits = Some(logits.clone());
        let logits = read(logits).await?;
        if let Some(trace) = &self.trace {
            self.sights = trace.take(&model.config().adem).await?;
        }
        if let Some(given) = &self.given {
            let next = given.iter().map(|ids| ids.get(self.generated).copied());
            return Ok(next.collect());
        }
        let rows = logits.chunks_exact(model.config().llama.vocab_size);
        let rows = rows.zip(&self.ended).zip(&mut self.samplers);
        rows.map(|((logits, ended), sampler)| match ended {
            true => Ok(None),
            false => sampler.choose(logits).map(Some),
        })
        .collect()
    }

    /// Logits `[rows, 1, vocabulary]` after the tokens in `next`.
    fn forward(&mut self) -> Tensor<3> {
        let embeddings = self.model.embed(&self.next, self.prompt.tokens.as_ref());
        let [rows, tokens, dim] = embeddings.dims();
        let vision = Some(Vision {
            trace: self.trace.as_ref(),
            ..self.model.vision(&self.prompt)
        });
        let llama = &self.model.llama;
        let cache = match &mut self.way {
            Way::Plain(cache) => cache,
            Way::Resident(cache) => return llama.step(embeddings, vision, cache),
            Way::Ahead(flights) => return llama.step(embeddings, vision, &mut flights.cache),
        };
        let positions = Positions::new(tokens, cache.tokens(), &self.padding);
        let hidden = llama.hidden(embeddings, vision, &positions, Some(cache));
        let last = hidden.narrow(1, tokens - 1, 1).reshape([rows, 1, dim]);
        llama.logits(last)
    }
}

/// A tensor's values on the host, as f32.
pub(crate) async fn read(x: Tensor<3>) -> Result<Vec<f32>, ModelError> {
    let values = adem_kernels::read_floats(x).await;
    values.map_err(|e| ModelError::Read(e.to_string()))
}
