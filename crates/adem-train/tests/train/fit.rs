//! A stage so small that a run takes a moment: a line fitted to points.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use adem_train::{
    AdamWSettings, Batches, Context, Forward, Loader, NotFinite, Numbered, Part, Quality, Rate,
    Rule, Schedule, Stage, StagePlan, Start, Tensors, TrainError,
};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

/// What is fitted: `y = x W`, and a part that stays as it is.
#[derive(Module, Debug)]
pub struct Line {
    pub weight: Param<Tensor<2>>,
    pub frozen: Param<Tensor<2>>,
}

/// Points: inputs `[n, 4]` and outputs `[n, 1]`.
#[derive(Debug, Clone)]
pub struct Points {
    pub number: u64,
    pub x: Vec<f32>,
    pub y: Vec<f32>,
}

/// Fits the line; batch number `broken` has a value that is not a number.
#[derive(Debug, Clone, Default)]
pub struct Fit {
    pub rows: usize,
    pub broken: Option<u64>,
    /// Extra columns that are never used, so that a checkpoint takes a while to write.
    pub ballast: usize,
}

impl Fit {
    pub fn model(&self, saved: Option<Tensors>, device: &Device) -> Line {
        let weight = match saved.and_then(|s| s.map.get("weight").cloned()) {
            Some(data) => data,
            None => {
                let n = 4 + self.ballast;
                let values = (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
                TensorData::new(values, [n, 1])
            }
        };
        Line {
            weight: Param::from_data(weight, device),
            frozen: Param::from_data(TensorData::new(vec![1.0f32], [1, 1]), device),
        }
    }
}

impl Numbered for Fit {
    type Batch = Points;

    fn batch(&self, number: u64) -> Result<Points, TrainError> {
        let value = |i: usize| ((number as f32 + 1.3) * (i as f32 + 0.7)).sin();
        let x: Vec<f32> = (0..self.rows * 4).map(value).collect();
        let mut y: Vec<f32> = x
            .chunks(4)
            .map(|c| c[0] - 2.0 * c[1] + 0.5 * c[3])
            .collect();
        if self.broken == Some(number) {
            y[0] = f32::NAN;
        }
        Ok(Points { number, x, y })
    }
}

impl Stage for Fit {
    type Model = Line;
    type Batch = Points;

    fn name(&self) -> &'static str {
        "fit"
    }

    fn batches(self: Arc<Self>, from: &Start) -> Result<Box<dyn Batches<Points>>, TrainError> {
        Ok(Box::new(Loader::start(&self, from)))
    }

    fn samples(&self, batch: &Points) -> usize {
        batch.y.len()
    }

    fn names(&self, batch: &Points) -> Vec<String> {
        vec![format!("points {}", batch.number)]
    }

    fn forward(
        &self,
        model: &Line,
        batch: Points,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let n = batch.y.len();
        let x = Tensor::<2>::from_data(TensorData::new(batch.x, [n, 4]), &context.device);
        let y = Tensor::<2>::from_data(TensorData::new(batch.y, [n, 1]), &context.device);
        let weight = model.weight.val().narrow(0, 0, 4);
        let fitted = x.matmul(weight) * model.frozen.val();
        Ok(Forward {
            loss: (fitted.clone() - y).square().mean(),
            shared: vec![fitted],
        })
    }

    /// All values alike: depends on every sample of the whole batch at once.
    fn joint(&self, shared: Vec<Tensor<2>>) -> Option<Tensor<1>> {
        let all = shared.into_iter().next()?;
        let mean = all.clone().mean_dim(0);
        Some((all - mean).square().mean().sqrt() * 0.3)
    }

    fn split(&self, mut batch: Points, parts: usize) -> Vec<Part<Points>> {
        let all = batch.y.len();
        // Parts of different sizes, so that their shares count.
        let first = if parts == 1 { all } else { (all / 3).max(1) };
        let rest = Points {
            number: batch.number,
            x: batch.x.split_off(first * 4),
            y: batch.y.split_off(first),
        };
        [batch, rest]
            .into_iter()
            .filter(|p| !p.y.is_empty())
            .map(|batch| Part {
                share: batch.y.len() as f64 / all as f64,
                batch,
            })
            .collect()
    }

    fn trains(&self, name: &str) -> bool {
        name == "weight"
    }

    fn saves(&self, name: &str) -> bool {
        name == "weight"
    }

    fn validate(&self, model: &Line, device: &Device) -> Result<Option<Quality>, TrainError> {
        let context = Context {
            number: 0,
            part: 0,
            device: device.clone(),
        };
        let loss = self.forward(model, self.batch(1000)?, &context)?.loss;
        let loss = loss.try_into_scalar::<f32>().map(f64::from);
        let loss = loss.map_err(|e| TrainError::Read(format!("{e:?}")))?;
        Ok(Some(Quality {
            loss,
            cider: Some(loss / 10.0),
        }))
    }
}

/// A plan of `steps` steps with checkpoints in `folder`.
pub fn plan(folder: &Path, steps: u64) -> StagePlan {
    StagePlan {
        steps,
        rate: Rate {
            schedule: Schedule {
                lr: 0.02,
                min_lr: 0.0,
                warmup: 5.0,
                total: steps as f64,
            },
            steps_per_unit: 1.0,
            lead: 1,
        },
        adamw: AdamWSettings::default(),
        rule: Rule::AdamW,
        accumulate: 1,
        clip: None,
        not_finite: NotFinite::Stop,
        checkpoint: folder.join("fit.safetensors"),
        report_every: Duration::from_secs(3600),
        save_every: Duration::from_secs(3600),
        save_steps: None,
        keep: 1,
        validate_steps: None,
        devices: vec![Device::flex()],
        loaders: 2,
        settings: "fit".to_owned(),
        package: None,
    }
}
