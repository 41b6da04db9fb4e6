//! Greedy decoding that never waits: the next token is chosen and fed back on the device, and its
//! id comes back while later steps are under way.

use std::collections::VecDeque;

use adem_kernels::IdReading;
use burn::tensor::Tensor;

use crate::adem::{AdemVl, VisualPrompt};
use crate::error::ModelError;
use crate::language::ResidentCache;

/// Steps that are under way beyond the one that is waited for. After the text's end as many are
/// thrown away.
const AHEAD: usize = 2;

/// Steps under way.
#[derive(Debug)]
pub(super) struct Flights {
    pub cache: ResidentCache,
    /// Of the token that the last step chose.
    embedding: Option<Tensor<3>>,
    under_way: VecDeque<Flight>,
    started: usize,
    /// Kernels the last decode step launched.
    pub launches: Option<u64>,
}

#[derive(Debug)]
struct Flight {
    id: IdReading,
    logits: Tensor<3>,
}

impl Flights {
    pub fn new(cache: ResidentCache) -> Self {
        Self {
            cache,
            embedding: None,
            under_way: VecDeque::new(),
            started: 0,
            launches: None,
        }
    }

    /// The next token and its logits; `None` after `most` tokens. `prompt` gives the first step's
    /// embeddings.
    pub async fn next(
        &mut self,
        model: &AdemVl,
        seen: &VisualPrompt,
        most: usize,
        prompt: impl Fn() -> Tensor<3>,
    ) -> Result<Option<(u32, Tensor<3>)>, ModelError> {
        while self.under_way.len() <= AHEAD && self.started < most {
            self.start(model, seen, &prompt);
        }
        let Some(Flight { id, logits }) = self.under_way.pop_front() else {
            return Ok(None);
        };
        let id = id.finish().await;
        let id = id.map_err(|error| ModelError::Read(error.to_string()))?;
        match (0..model.config().llama.vocab_size as i64).contains(&id) {
            true => Ok(Some((id as u32, logits))),
            false => Err(ModelError::NanLogits),
        }
    }

    fn start(&mut self, model: &AdemVl, seen: &VisualPrompt, prompt: impl Fn() -> Tensor<3>) {
        let before = adem_kernels::launches();
        let decodes = self.embedding.is_some();
        let embedding = self.embedding.take().unwrap_or_else(prompt);
        let vision = model.vision(seen);
        let logits = model.llama.step(embedding, Some(vision), &mut self.cache);
        let (id, embedding) = model.llama.most_likely(logits.clone());
        if decodes {
            self.launches = Some(adem_kernels::launches() - before);
        }
        self.embedding = Some(embedding);
        self.under_way.push_back(Flight {
            id: IdReading::start(id),
            logits,
        });
        self.started += 1;
    }
}
