//! Where a model's tensors come from.

use adem_kernels::{Blocks, Matrix};
use burn::tensor::{Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A tensor was not to be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The source does not hold the tensor.
    #[error("tensor `{name}` is missing from {origin}")]
    Missing {
        /// The tensor's name.
        name: String,
        /// Where it was looked for.
        origin: String,
    },
    /// The source holds the tensor in another shape.
    #[error("tensor `{name}` has shape {found:?}, the model's config asks for {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The shape the config implies.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The source could not read the tensor.
    #[error("tensor `{name}` cannot be read: {message}")]
    Unreadable {
        /// The tensor's name.
        name: String,
        /// The reader's own words.
        message: String,
    },
}

/// A tensor that lies on the model's device already.
#[derive(Debug, Clone)]
pub enum Placed {
    /// Numbers in single precision, row after row.
    Float(Tensor<1>),
    /// A weight in blocks, its rows the first dimension of its shape.
    Packed(Matrix),
}

/// Supplies a model's tensors by name while it is built.
///
/// Names are those of the public checkpoints (`layers.0.attention.wq.weight`,
/// `backbone.visual.conv1.weight`, `adapter_emb1`); linear weights are `[out, in]`.
pub trait TensorSource {
    /// The tensor `name` as `f32` of exactly `shape`.
    ///
    /// # Errors
    /// [`SourceError`] when it is missing, has another shape or cannot be read.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError>;

    /// The weight `name` in blocks, its rows the first dimension of `shape` and its columns the
    /// product of the others, where the source holds it so; `None` where it is to be asked for by
    /// [`tensor`](Self::tensor).
    ///
    /// # Errors
    /// As for [`tensor`](Self::tensor).
    fn packed(&mut self, name: &str, shape: &[usize]) -> Result<Option<Blocks>, SourceError> {
        let _ = (name, shape);
        Ok(None)
    }

    /// The tensor `name` of exactly `shape` where the source has brought it to the model's device,
    /// ahead of the model; `None` where it is to be asked for by [`packed`](Self::packed) and
    /// [`tensor`](Self::tensor).
    ///
    /// # Errors
    /// As for [`tensor`](Self::tensor).
    fn placed(&mut self, name: &str, shape: &[usize]) -> Result<Option<Placed>, SourceError> {
        let _ = (name, shape);
        Ok(None)
    }
}

/// Random weights for a model trained from scratch; equal on every platform for equal seeds.
///
/// Each tensor draws from a stream of its own (seed and name), so adding a tensor to a model
/// leaves the others as they were. Keys share their queries' stream.
#[derive(Debug, Clone)]
pub struct RandomInit {
    seed: u64,
}

impl RandomInit {
    /// Weights drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }
}

/// How a tensor starts, by its name.
enum Start {
    Zeros,
    Ones,
    Normal(f64),
    Uniform(f64),
    /// Sines and cosines of a patch's row and column.
    Places,
}

fn start_of(name: &str, shape: &[usize]) -> Start {
    let fan_in: usize = shape.iter().skip(1).product::<usize>().max(1);
    let bias = name.ends_with("bias");
    let norm = name.contains("norm.") || name.contains("ln_") || name.ends_with("norm.weight");
    if bias || name.ends_with("adapter_mlp.fc2.weight") || name == "adapter_emb2" {
        Start::Zeros
    } else if norm {
        Start::Ones
    } else if name.ends_with("positional_embedding") {
        Start::Places
    } else if name == "adapter_emb1" || name.ends_with("embedding") || name.contains("embeddings.")
    {
        Start::Normal(0.02)
    } else if name.starts_with("adapter_proj") {
        // Xavier-uniform, as the authors start their projectors.
        let fan_out = shape.first().copied().unwrap_or(1);
        Start::Uniform((6.0 / (fan_in + fan_out) as f64).sqrt())
    } else if name.ends_with("adapter_mlp.fc1.weight") {
        // PyTorch's default for a bias-free linear layer.
        Start::Uniform((1.0 / fan_in as f64).sqrt())
    } else {
        Start::Normal((1.0 / fan_in as f64).sqrt())
    }
}

/// Position embedding `[1 + G*G, width]` to start from: zero for `[cls]`; for patches a quarter of
/// the channels each holds sines and cosines of row and column, with periods from two patches to
/// four grids. Neighbours are alike from the first step, which a random start takes long to learn.
fn places(shape: &[usize]) -> Vec<f32> {
    let [tokens, width] = [shape.first(), shape.get(1)].map(|n| n.copied().unwrap_or(0));
    let grid = tokens.saturating_sub(1).isqrt().max(1);
    let quarter = (width / 4).max(1);
    let value = |patch: usize, channel: usize| {
        let at = [patch / grid, patch % grid][channel / quarter / 2 % 2] as f64;
        let share = (channel % quarter) as f64 / quarter as f64;
        let angle = at * std::f64::consts::PI * (2.0 * grid as f64).powf(-share);
        let wave = match channel / quarter % 2 {
            0 => angle.sin(),
            _ => angle.cos(),
        };
        wave as f32
    };
    (0..tokens)
        .flat_map(|token| (0..width).map(move |channel| (token, channel)))
        .map(|(token, channel)| {
            token
                .checked_sub(1)
                .map_or(0.0, |patch| value(patch, channel))
        })
        .collect()
}

/// FNV-1a, so that a name picks its stream the same way on every platform.
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// One standard normal value by Box and Muller's method.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let u: f64 = 1.0 - rng.random::<f64>();
    let v: f64 = rng.random::<f64>();
    (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

/// The name whose stream a tensor draws from. A decoder's keys start as its queries: tokens look at
/// tokens like themselves from the first step on, and looking things up is learned sooner (after
/// Trockman and Kolter, arXiv 2305.09828).
fn drawn_as(name: &str, shape: &[usize]) -> String {
    match shape.first() == shape.last() {
        true => name.replace("attention.wk.", "attention.wq."),
        false => name.to_owned(),
    }
}

impl TensorSource for RandomInit {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ hash(&drawn_as(name, shape)));
        let n: usize = shape.iter().product();
        let values: Vec<f32> = match start_of(name, shape) {
            Start::Zeros => vec![0.0; n],
            Start::Ones => vec![1.0; n],
            Start::Normal(std) => (0..n).map(|_| (normal(&mut rng) * std) as f32).collect(),
            Start::Places => places(shape),
            Start::Uniform(bound) => (0..n)
                .map(|_| ((rng.random::<f64>() * 2.0 - 1.0) * bound) as f32)
                .collect(),
        };
        Ok(TensorData::new(values, shape.to_vec()))
    }
}
