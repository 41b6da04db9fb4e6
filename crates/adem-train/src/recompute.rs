//! A backward pass that holds the activations of one block at a time.
//!
//! The ordinary pass keeps what every block needs for its gradients until the end. Here the forward
//! pass keeps only each block's input; backwards, one block after the other is run again from it.
//! Burn's own gradient checkpointing recomputes single cheap operations and keeps all matrix
//! products; this recomputes everything, for a third more arithmetic.

use adem_model::fusion::VisualMemory;
use adem_model::language::{Positions, Surroundings, Vision};
use adem_model::vision::{Block, Dropout};
use adem_model::{AdemVl, Prefix, TrainRow, VisualPrompt, token_loss};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Gradients, Tensor};
use rand_chacha::ChaCha8Rng;

use crate::error::TrainError;
use crate::gradients::Sum;

/// What a model learns from at once.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// Which texts have a picture, one entry a picture.
    pub pictures: &'a [bool],
    /// Texts, as many for each picture.
    pub rows: &'a [TrainRow],
    /// Words before the picture.
    pub prefix: &'a Prefix,
    /// Longest sequence.
    pub max_tokens: usize,
}

/// What the encoder makes of a batch of pictures.
#[derive(Debug)]
pub enum Sight<'a> {
    /// It is to be run on pixels `[batch, 3, side, side]`, its adapters with this dropout.
    Pixels(Tensor<4>, f64, &'a mut ChaCha8Rng),
    /// It is frozen as a whole and has been run before: features `[batch, 1 + G*G, width]`.
    Features(Tensor<3>),
}

/// Loss and gradients of a lesson for a model whose decoder is frozen.
///
/// # Errors
/// Those of the model.
pub fn gradients(
    model: &AdemVl,
    sight: Sight,
    lesson: &Lesson,
) -> Result<(Tensor<1>, GradientsParams), TrainError> {
    let mut sum = Sum::new();
    let mut take = |found: &mut Gradients| {
        sum.add(model, GradientsParams::from_module(found, model));
    };
    let (features, trace) = match sight {
        Sight::Features(features) => (features, None),
        Sight::Pixels(pixels, probability, rng) => {
            let trace = Trace::of(model, pixels, probability, rng);
            let last = leaf(trace.last.clone());
            (
                model.visual.ln_post.forward(last.clone()),
                Some((trace, last)),
            )
        }
    };
    let prompt = model.see(features, lesson.pictures);
    let (embeddings, labels) =
        model.assemble(&prompt, lesson.rows, lesson.prefix, lesson.max_tokens)?;
    let decoded = Decoded::of(model, &prompt, embeddings.clone());

    let top = leaf(decoded.top());
    let normalised = model.llama.norm.forward(top.clone());
    let loss = token_loss(&model.llama, normalised, &labels).ok_or(TrainError::Config {
        field: "data",
        message: "a batch has nothing to learn".to_owned(),
    })?;
    let pull = gradient(&top, &mut loss.backward());
    let Pulls {
        keys,
        values,
        embeddings: below,
    } = decoded.backward(model, pull);
    let memory = &prompt.memory;
    let joint = along(memory.keys(), keys) + along(memory.values(), values);
    // Without visual tokens in the text nothing that is trained is below the decoder's input.
    let joint = match embeddings.is_tracked() {
        true => joint + along(embeddings, below),
        false => joint,
    };
    let mut found = joint.backward();
    take(&mut found);
    if let Some((trace, last)) = trace {
        let pull = gradient(&last, &mut found);
        trace.backward(model, pull, &mut take);
    }
    Ok((loss.inner(), sum.take()))
}

/// The same values as the beginning of a graph of their own.
fn leaf(x: Tensor<3>) -> Tensor<3> {
    x.inner().autodiff().require_grad()
}

/// A single value whose gradient with respect to `x` is `pull`.
fn along(x: Tensor<3>, pull: Tensor<3>) -> Tensor<1> {
    (x * pull).sum()
}

fn gradient(leaf: &Tensor<3>, found: &mut Gradients) -> Tensor<3> {
    leaf.grad_remove(found)
        .unwrap_or_else(|| leaf.clone().inner().zeros_like())
}

/// The encoder's blocks, each by its input.
struct Trace {
    inputs: Vec<(Tensor<3>, ChaCha8Rng)>,
    probability: f64,
    last: Tensor<3>,
}

impl Trace {
    fn of(model: &AdemVl, pixels: Tensor<4>, probability: f64, rng: &mut ChaCha8Rng) -> Self {
        let mut h = model.visual.embed(pixels).inner();
        let mut inputs = Vec::new();
        for block in model.visual.blocks_run() {
            inputs.push((h.clone(), rng.clone()));
            h = run(&block.valid(), h, probability, rng);
        }
        Self {
            inputs,
            probability,
            last: h,
        }
    }

    fn backward(self, model: &AdemVl, pull: Tensor<3>, take: &mut impl FnMut(&mut Gradients)) {
        let mut pull = pull;
        let blocks = model.visual.blocks_run().iter();
        for (block, (input, mut rng)) in blocks.zip(self.inputs).rev() {
            let input = leaf(input);
            let output = run(block, input.clone(), self.probability, &mut rng);
            let mut found = along(output, pull).backward();
            take(&mut found);
            pull = gradient(&input, &mut found);
        }
    }
}

fn run(block: &Block, x: Tensor<3>, probability: f64, rng: &mut ChaCha8Rng) -> Tensor<3> {
    let mut dropout = Dropout { probability, rng };
    block.forward(x, Some(&mut dropout))
}

/// The decoder's blocks, each by its input; the last entry is the last block's output.
struct Decoded {
    states: Vec<Tensor<3>>,
    keys: Tensor<3>,
    values: Tensor<3>,
    around: Surroundings,
}

/// How the loss changes with what goes into the decoder.
struct Pulls {
    keys: Tensor<3>,
    values: Tensor<3>,
    embeddings: Tensor<3>,
}

impl Decoded {
    fn of(model: &AdemVl, prompt: &VisualPrompt, embeddings: Tensor<3>) -> Self {
        let positions = Positions::new(embeddings.dims()[1], 0, &[]);
        let around = model
            .llama
            .surroundings(&positions, &embeddings.device().inner());
        let (keys, values) = (prompt.memory.keys().inner(), prompt.memory.values().inner());
        let mut states = vec![embeddings.inner()];
        let memory = VisualMemory::of(keys.clone(), values.clone());
        for i in 0..model.llama.layers.len() {
            let h = states[i].clone();
            states.push(through(model, i, h, &memory, &around).inner());
        }
        Self {
            states,
            keys,
            values,
            around,
        }
    }

    fn top(&self) -> Tensor<3> {
        self.states[self.states.len() - 1].clone()
    }

    fn backward(mut self, model: &AdemVl, pull: Tensor<3>) -> Pulls {
        self.states.pop();
        let mut pulls = Pulls {
            keys: self.keys.zeros_like(),
            values: self.values.zeros_like(),
            embeddings: pull,
        };
        while let Some(input) = self.states.pop() {
            let (input, keys, values) = (
                leaf(input),
                leaf(self.keys.clone()),
                leaf(self.values.clone()),
            );
            let memory = VisualMemory::of(keys.clone(), values.clone());
            let output = through(
                model,
                self.states.len(),
                input.clone(),
                &memory,
                &self.around,
            );
            let mut found = along(output, pulls.embeddings).backward();
            pulls = Pulls {
                keys: pulls.keys + gradient(&keys, &mut found),
                values: pulls.values + gradient(&values, &mut found),
                embeddings: gradient(&input, &mut found),
            };
        }
        pulls
    }
}

fn through(
    model: &AdemVl,
    index: usize,
    h: Tensor<3>,
    memory: &VisualMemory,
    around: &Surroundings,
) -> Tensor<3> {
    let vision = Vision {
        memory,
        config: &model.config().adem,
        trace: None,
    };
    model.llama.through(index, h, Some(vision), around)
}
