//! Beam search: the text whose tokens are most likely together, as far as a few kept at a time tell
//! (arXiv 1609.08144, section 7).

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::rows::Rows;
use super::search::Search;
use super::{GenerationOptions, read};
use crate::adem::{AdemVl, VisualPrompt};
use crate::assemble::{Prefix, Slot};
use crate::error::ModelError;
use crate::language::{KvCache, Positions};
use crate::sampling::Sampling;

/// How widely texts are searched.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Beams {
    /// Unfinished texts that are kept at a time; 1 is greedy.
    pub count: usize,
    /// A text's log-probability is divided by its length, the ending token included, to this power:
    /// 0 is for short texts, above 1 for long ones.
    pub length_penalty: f64,
}

/// Most beams: beyond it a number is taken for a mistake.
const MOST: usize = 64;

impl Beams {
    /// # Errors
    /// [`ModelError::Argument`] for a count or penalty out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        if self.count == 0 || self.count > MOST {
            let message = format!("is {}, must be in 1..={MOST}", self.count);
            return Err(ModelError::argument("beams", message));
        }
        if !(self.length_penalty.is_finite() && self.length_penalty >= 0.0) {
            let message = format!("is {}, must be 0 or more", self.length_penalty);
            return Err(ModelError::argument("length_penalty", message));
        }
        Ok(())
    }
}

/// A batch of texts being searched for. Each [`step`](Self::step) adds a token to every text that
/// is not done; drop the object to stop.
///
/// Its steps are computed in Burn's operations, `beams` rows for each text.
#[derive(Debug)]
pub struct BeamSearch<'m> {
    model: &'m AdemVl,
    prompt: VisualPrompt,
    beams: Beams,
    most: usize,
    fill: u32,
    searches: Vec<Search>,
    padding: Vec<usize>,
    cache: KvCache,
    /// Slots to feed at the next step.
    next: Vec<Vec<Slot>>,
    generated: usize,
}

impl<'m> BeamSearch<'m> {
    /// Prepares to continue `texts` (token ids without `BOS`) about the pictures of `prompt`, as
    /// [`Generation::new`](super::Generation::new) does. Nothing is computed before the first step.
    ///
    /// # Errors
    /// Those of [`Generation::new`](super::Generation::new); [`ModelError::Argument`] for beams
    /// that are impossible, or where tokens are to be drawn at random as well.
    pub fn new(
        model: &'m AdemVl,
        prompt: VisualPrompt,
        texts: &[Vec<u32>],
        prefix: &Prefix,
        options: &GenerationOptions,
        beams: Beams,
    ) -> Result<Self, ModelError> {
        beams.validate()?;
        if options.sampling != Sampling::Greedy {
            let message = "are for the most likely text; leave out what draws tokens at random";
            return Err(ModelError::argument("beams", message));
        }
        let rows = Rows::new(model, &prompt, texts, prefix, options)?;
        Ok(Self {
            model,
            prompt,
            beams,
            most: options.max_new_tokens,
            fill: options.bos,
            searches: vec![
                Search::new(beams.count, beams.length_penalty, options.eos);
                texts.len()
            ],
            padding: rows.padding,
            cache: KvCache::new(model.config().llama.n_layers),
            next: rows.slots,
            generated: 0,
        })
    }

    /// Every text is done, or has as many tokens as it may have.
    pub fn is_done(&self) -> bool {
        self.generated >= self.most || self.searches.iter().all(Search::is_done)
    }

    /// The best text so far of each row, in token ids, the ending one left out.
    pub fn best(&self) -> Vec<Vec<u32>> {
        let best = self.searches.iter().map(|search| search.best().to_vec());
        best.collect()
    }

    /// Goes one token further and says whether that was possible.
    ///
    /// # Errors
    /// [`ModelError::Read`] when the device fails, [`ModelError::NanLogits`] for broken weights.
    pub async fn step(&mut self) -> Result<bool, ModelError> {
        if self.is_done() {
            return Ok(false);
        }
        let logits = self.forward().await?;
        let rows: Vec<&[f32]> = logits
            .chunks_exact(self.model.config().llama.vocab_size)
            .collect();
        // Before the first token there is one row for each text.
        let beams = rows.len() / self.searches.len();
        let mut from = Vec::with_capacity(self.searches.len() * self.beams.count);
        self.next.clear();
        for (text, search) in self.searches.iter_mut().enumerate() {
            let first = text * beams;
            let steps = match search.is_done() {
                true => Vec::new(),
                false => search.extend(&rows[first..first + beams]),
            };
            // Rows without a text are fed anything; no other row sees them.
            for beam in 0..self.beams.count {
                let step = steps.get(beam);
                from.push(first + step.map_or(0, |step| step.from));
                let token = step.map_or(self.fill, |step| step.token);
                self.next.push(vec![Slot::Token(token)]);
            }
        }
        self.generated += 1;
        match self.is_done() {
            true => self.searches.iter_mut().for_each(Search::cut),
            false => self.follow(&from),
        }
        Ok(true)
    }

    /// Makes row `from[i]` of what is cached row i.
    fn follow(&mut self, from: &[usize]) {
        let stays = from.len() == self.padding.len() && from.iter().copied().eq(0..from.len());
        if !stays {
            self.padding = from.iter().map(|row| self.padding[*row]).collect();
            self.cache.select(from, &self.device());
        }
    }

    fn device(&self) -> Device {
        self.prompt.memory.keys().device()
    }

    /// Logits after the tokens in `next`, a row of the vocabulary for each.
    async fn forward(&mut self) -> Result<Vec<f32>, ModelError> {
        let embeddings = self.model.embed(&self.next, self.prompt.tokens.as_ref());
        let [rows, tokens, dim] = embeddings.dims();
        let vision = Some(self.model.vision(&self.prompt));
        let positions = Positions::new(tokens, self.cache.tokens(), &self.padding);
        let llama = &self.model.llama;
        let hidden = llama.hidden(embeddings, vision, &positions, Some(&mut self.cache));
        let last = hidden.narrow(1, tokens - 1, 1).reshape([rows, 1, dim]);
        let logits = read(llama.logits(last)).await?;
        match logits.iter().any(|logit| logit.is_nan()) {
            true => Err(ModelError::NanLogits),
            false => Ok(logits),
        }
    }
}
