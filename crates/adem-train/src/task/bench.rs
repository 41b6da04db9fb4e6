//! How long a step of the tuning takes, on random weights and pictures: what is computed does not
//! depend on what they show.

use std::sync::Arc;
use std::time::Instant;

use adem_model::nn::Builder;
use adem_model::vision::Dropout;
use adem_model::{AdemVl, ModelConfig, Prefix, RandomInit, SourceError, TensorSource, TrainRow};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::config::TaskConfig;
use super::run::can_hold;
use crate::budget::{Flops, Memory, Parameters, Pass};
use crate::devices::Replicas;
use crate::error::TrainError;
use crate::named::{freeze, named_tensors};
use crate::optimiser::NamedAdamW;
use crate::recompute::{Lesson, Sight, gradients};
use crate::stage::{Batches, Context, Forward, Part, Stage, Start};

/// Steps before the clock starts.
const WARM_UP: u64 = 2;

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTime {
    /// Rows of a step.
    pub rows: usize,
    /// Positions of a row, visual tokens included.
    pub tokens: usize,
    /// Steps that were timed.
    pub steps: u64,
    /// Mean time of a step, seconds.
    pub seconds: f64,
    /// Operations of a step, by the model's sizes.
    pub flops: u64,
    /// Parameters that stay as they are.
    pub frozen: u64,
    /// Parameters that are trained.
    pub trained: u64,
    /// Estimate of the memory it takes, bytes.
    pub estimated_bytes: u64,
    /// Loss of the last step: finite, or the time means nothing.
    pub loss: f32,
}

/// Times `steps` steps of the config's tuning on `device`: forward pass, backward pass and AdamW, of
/// `tune.micro_batch` rows of `tune.max_tokens` positions with a picture each. Neither data nor
/// weights are read, and nothing is written.
///
/// # Errors
/// [`TrainError::Config`] or [`TrainError::Model`] for settings that cannot be run, and those of the
/// device.
pub fn bench(config: &TaskConfig, device: &Device, steps: u64) -> Result<StepTime, TrainError> {
    let model = &config.model;
    model.validate()?;
    can_hold(device, config.weights.precision)?;
    let (rows, tokens) = (config.tune.micro_batch, config.tune.max_tokens);
    let stage = Arc::new(Lessons::new(config)?);
    let tracked = device.clone().autodiff();
    let mut source = Repeated(RandomInit::new(config.seed));
    let mut b = Builder::new(&mut source, &tracked).with_frozen(config.weights.precision.dtype());
    let built = freeze(AdemVl::build(model, &mut b)?, AdemVl::is_trained);
    let mut replicas = Replicas::new(built, std::slice::from_ref(device))?;
    let mut optimiser = NamedAdamW::new(&config.adamw).with_rule(config.tune.rule);
    let mut loss = f32::NAN;
    let mut started = Instant::now();
    for number in 0..WARM_UP + steps {
        if number == WARM_UP {
            wait(&replicas)?;
            started = Instant::now();
        }
        let learned = replicas.learn(&stage, (), number)?;
        loss = learned.loss;
        let mut found = learned.gradients;
        replicas.step(|model| optimiser.step(config.lr(), model, &mut found));
    }
    wait(&replicas)?;
    let seconds = started.elapsed().as_secs_f64() / steps.max(1) as f64;
    if !loss.is_finite() {
        return Err(TrainError::LossNotFinite {
            stage: "bench",
            step: WARM_UP + steps,
            loss,
            samples: "random ones".to_owned(),
            checkpoint: None,
        });
    }
    let pass = Pass {
        pictures: rows,
        rows,
        tokens,
        learned: stage
            .row
            .learned(model.adem.text_tokens(), &stage.prefix, tokens),
        frozen_bytes: config.weights.precision.bytes(),
        recompute: config.tune.recompute,
        features_given: false,
    };
    let parameters = Parameters::of(model);
    Ok(StepTime {
        rows,
        tokens,
        steps,
        seconds,
        flops: Flops::of(model, &pass).total(),
        frozen: parameters.frozen(),
        trained: parameters.trained(),
        estimated_bytes: Memory::of(model, &pass).total(),
        loss,
    })
}

/// Waits until the device has done all steps: what they changed can be read.
fn wait(replicas: &Replicas<AdemVl>) -> Result<(), TrainError> {
    named_tensors(replicas.main(), |name| name == "adapter_emb2").map(|_| ())
}

/// Weights of a large tensor are the first ones over and over; drawing billions takes minutes.
struct Repeated(RandomInit);

/// Numbers that are drawn of a tensor.
const DRAWN: usize = 1 << 20;

impl TensorSource for Repeated {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let all: usize = shape.iter().product();
        let [rows, rest @ ..] = shape else {
            return self.0.tensor(name, shape);
        };
        let drawn = (DRAWN / (all / rows.max(&1)).max(1)).clamp(1, *rows);
        let few: Vec<usize> = std::iter::once(drawn).chain(rest.iter().copied()).collect();
        let data = self.0.tensor(name, &few)?;
        let values = data
            .try_to_vec::<f32>()
            .map_err(|e| SourceError::Unreadable {
                name: name.to_owned(),
                message: format!("{e:?}"),
            })?;
        let values: Vec<f32> = values.into_iter().cycle().take(all).collect();
        Ok(TensorData::new(values, shape.to_vec()))
    }
}

/// The stage: the same lesson over and over.
struct Lessons {
    config: TaskConfig,
    pixels: TensorData,
    row: TrainRow,
    prefix: Prefix,
}

impl Lessons {
    fn new(config: &TaskConfig) -> Result<Self, TrainError> {
        let model: &ModelConfig = &config.model;
        let (rows, tokens) = (config.tune.micro_batch, config.tune.max_tokens);
        let visual = model.adem.text_tokens();
        let refuse = |field, message: String| Err(TrainError::Config { field, message });
        if rows == 0 {
            return refuse("tune.micro_batch", "is 0, must be at least 1".to_owned());
        }
        if tokens < visual + 4 || tokens > model.llama.max_seq_len {
            let most = model.llama.max_seq_len;
            let message = format!("is {tokens}, must be in {}..={most}", visual + 4);
            return refuse("tune.max_tokens", message);
        }
        let ids: Vec<u32> = (0..tokens - visual)
            .map(|i| (i * 7919 % model.llama.vocab_size) as u32)
            .collect();
        // A quarter is the prompt.
        let labels = (0..).zip(&ids);
        let labels = labels.map(|(i, id)| (i >= ids.len() / 4).then_some(*id));
        let side = model.clip.image_size;
        let values = (0..rows * 3 * side * side).map(|i| (i as f32 * 0.37).sin());
        Ok(Self {
            pixels: TensorData::new(values.collect::<Vec<f32>>(), [rows, 3, side, side]),
            row: TrainRow {
                labels: labels.collect(),
                ids,
                picture: true,
            },
            prefix: Prefix {
                with_picture: Vec::new(),
                without_picture: Vec::new(),
            },
            config: config.clone(),
        })
    }

    fn rows(&self) -> (Vec<TrainRow>, Vec<bool>) {
        let rows = self.config.tune.micro_batch;
        (vec![self.row.clone(); rows], vec![true; rows])
    }

    fn pixels(&self, context: &Context) -> Tensor<4> {
        Tensor::from_data(self.pixels.clone(), &context.device)
    }
}

impl Stage for Lessons {
    type Model = AdemVl;
    type Batch = ();

    fn name(&self) -> &'static str {
        "bench"
    }

    fn batches(self: Arc<Self>, _: &Start) -> Result<Box<dyn Batches<()>>, TrainError> {
        struct Same;
        impl Batches<()> for Same {
            fn next(&mut self) -> Result<(), TrainError> {
                Ok(())
            }
        }
        Ok(Box::new(Same))
    }

    fn samples(&self, (): &()) -> usize {
        self.config.tune.micro_batch
    }

    fn forward(&self, model: &AdemVl, (): (), context: &Context) -> Result<Forward, TrainError> {
        let (rows, pictures) = self.rows();
        let mut rng = ChaCha8Rng::seed_from_u64(context.number);
        let dropout = Dropout {
            probability: self.config.tune.adapter_dropout,
            rng: &mut rng,
        };
        let features = model.encode(self.pixels(context), Some(dropout));
        let prompt = model.see(features, &pictures);
        let limit = self.config.tune.max_tokens;
        Ok(model.loss(&prompt, &rows, &self.prefix, limit)?.into())
    }

    fn gradients(
        &self,
        model: &AdemVl,
        (): &(),
        context: &Context,
    ) -> Result<Option<(Tensor<1>, GradientsParams)>, TrainError> {
        if !self.config.tune.recompute {
            return Ok(None);
        }
        let (rows, pictures) = self.rows();
        let mut rng = ChaCha8Rng::seed_from_u64(context.number);
        let dropout = self.config.tune.adapter_dropout;
        let lesson = Lesson {
            pictures: &pictures,
            rows: &rows,
            prefix: &self.prefix,
            max_tokens: self.config.tune.max_tokens,
        };
        let sight = Sight::Pixels(self.pixels(context), dropout, &mut rng);
        gradients(model, sight, &lesson).map(Some)
    }

    fn split(&self, batch: (), _: usize) -> Vec<Part<()>> {
        vec![Part { share: 1.0, batch }]
    }

    fn trains(&self, name: &str) -> bool {
        AdemVl::is_trained(name)
    }
}
