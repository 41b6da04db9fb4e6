//! Generation as an object that is polled: prefill, then one decode step at a time.

use burn::tensor::{DType, Tensor};

use crate::adem::{AdemVl, VisualPrompt};
use crate::assemble::{Prefix, Slot, with_prefix};
use crate::error::ModelError;
use crate::language::{KvCache, Positions, Vision};
use crate::sampling::{Sampler, Sampling};
use crate::trace::{Sight, Trace};

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
#[derive(Debug)]
pub struct Generation<'m> {
    model: &'m AdemVl,
    prompt: VisualPrompt,
    options: GenerationOptions,
    samplers: Vec<Sampler>,
    cache: KvCache,
    padding: Vec<usize>,
    /// Slots to feed at the next step.
    next: Vec<Vec<Slot>>,
    ended: Vec<bool>,
    generated: usize,
    logits: Vec<f32>,
    trace: Option<Trace>,
    sights: Vec<Sight>,
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
        Ok(Self {
            model,
            prompt,
            options,
            samplers,
            cache: KvCache::new(model.config().llama.n_layers),
            padding,
            next: slots,
            ended: vec![false; rows],
            generated: 0,
            logits: Vec::new(),
            trace: None,
            sights: Vec::new(),
        })
    }

    /// Tokens of the longest prompt, visual tokens included.
    pub fn prompt_tokens(&self) -> usize {
        match self.generated {
            0 => self.next.first().map_or(0, Vec::len),
            n => self.cache.tokens() + 1 - n,
        }
    }

    /// Every row has ended, or the limit of new tokens is reached.
    pub fn is_done(&self) -> bool {
        self.generated >= self.options.max_new_tokens || self.ended.iter().all(|e| *e)
    }

    /// From here on every step notes what its token looked at; see
    /// [`last_sights`](Self::last_sights).
    pub fn trace(&mut self) {
        self.trace = Some(Trace::default());
    }

    /// What the tokens of the last step looked at, one entry a row; none without
    /// [`trace`](Self::trace).
    pub fn last_sights(&self) -> &[Sight] {
        &self.sights
    }

    /// Logits of the last step, `[rows * vocabulary]`.
    pub fn last_logits(&self) -> &[f32] {
        &self.logits
    }

    /// Computes the next token of every row; `None` when the generation is done.
    ///
    /// # Errors
    /// [`ModelError::Read`] when the device fails, [`ModelError::NanLogits`] for broken weights.
    pub async fn step(&mut self) -> Result<Option<StepTokens>, ModelError> {
        if self.is_done() {
            return Ok(None);
        }
        self.logits = self.forward().await?;
        let vocabulary = self.model.config().llama.vocab_size;
        let mut tokens = Vec::with_capacity(self.ended.len());
        for (row, logits) in self.logits.chunks_exact(vocabulary).enumerate() {
            let token = match self.ended[row] {
                true => None,
                false => Some(self.samplers[row].choose(logits)?),
            };
            let token = token.filter(|t| Some(*t) != self.options.eos);
            self.ended[row] = token.is_none();
            // A row that has ended is fed anything; no other row sees it.
            self.next[row] = vec![Slot::Token(token.unwrap_or(self.options.bos))];
            tokens.push(token);
        }
        self.generated += 1;
        if self.ended.iter().all(|e| *e) {
            return Ok(None);
        }
        Ok(Some(StepTokens { tokens }))
    }

    /// Logits `[rows * vocabulary]` after the tokens in `next`.
    async fn forward(&mut self) -> Result<Vec<f32>, ModelError> {
        let embeddings = self.model.embed(&self.next, self.prompt.tokens.as_ref());
        let [rows, tokens, dim] = embeddings.dims();
        let positions = Positions::new(tokens, self.cache.tokens(), &self.padding);
        let vision = Vision {
            trace: self.trace.as_ref(),
            ..self.model.vision(&self.prompt)
        };
        let llama = &self.model.llama;
        let hidden = llama.hidden(embeddings, Some(vision), &positions, Some(&mut self.cache));
        let last = hidden.narrow(1, tokens - 1, 1).reshape([rows, 1, dim]);
        let logits = read(llama.logits(last)).await?;
        if let Some(trace) = &self.trace {
            self.sights = trace.take(&self.model.config().adem).await?;
        }
        Ok(logits)
    }
}

/// A tensor's values on the host, as f32.
pub(crate) async fn read(x: Tensor<3>) -> Result<Vec<f32>, ModelError> {
    let data = x
        .into_data_async()
        .await
        .map_err(|e| ModelError::Read(e.to_string()))?;
    data.convert_dtype(DType::F32)
        .try_to_vec()
        .map_err(|e| ModelError::Read(format!("{e:?}")))
}
