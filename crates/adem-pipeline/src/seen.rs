//! Pictures that need not be encoded again.

use std::collections::VecDeque;

use adem_model::VisualPrompt;
use adem_package::Digest;
use burn::tensor::Tensor;

/// Pictures whose features are kept: enough to go back and forth between a few.
const PICTURES: usize = 4;

/// Features of the last few pictures, and what the decoder saw of the very last.
///
/// The prompt is many times larger than the features, and made from them in one step.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Features `[1, 1 + G*G, width]`, the latest used first.
    features: VecDeque<(Digest, Tensor<3>)>,
    prompt: Option<(Digest, VisualPrompt)>,
}

impl Seen {
    /// The prompt of this picture, if it was the last one.
    pub fn prompt(&self, digest: &Digest) -> Option<VisualPrompt> {
        let (of, prompt) = self.prompt.as_ref()?;
        (of == digest).then(|| prompt.clone())
    }

    /// The features of this picture, if it was among the last few.
    pub fn features(&mut self, digest: &Digest) -> Option<Tensor<3>> {
        let place = self.features.iter().position(|(of, _)| of == digest)?;
        let found = self.features.remove(place)?;
        let features = found.1.clone();
        self.features.push_front(found);
        Some(features)
    }

    pub fn keep_features(&mut self, digest: Digest, features: Tensor<3>) {
        self.features.push_front((digest, features));
        self.features.truncate(PICTURES);
    }

    pub fn keep_prompt(&mut self, digest: Digest, prompt: &VisualPrompt) {
        self.prompt = Some((digest, prompt.clone()));
    }

    /// Forgets what depends on the fusion.
    pub fn forget_prompt(&mut self) {
        self.prompt = None;
    }
}
