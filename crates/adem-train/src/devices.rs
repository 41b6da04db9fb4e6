//! One batch on several devices at once: every device runs a part of it on a copy of the model,
//! the gradients are summed, and the sum is that of the whole batch on one device.

use std::sync::Arc;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use rayon::ThreadPool;

use crate::error::TrainError;
use crate::gradients;
use crate::stage::{Context, Forward, Part, Stage};

/// A copy of the model and where it runs.
struct Replica<M> {
    model: M,
    device: Device,
    /// The copy's own thread on the processor; a graphics card needs none.
    pool: Option<ThreadPool>,
}

/// All copies of a model; the first one is what the optimiser steps.
pub(crate) struct Replicas<M> {
    all: Vec<Replica<M>>,
}

/// Loss and gradients of a batch.
pub(crate) struct Learned {
    pub loss: f32,
    pub gradients: GradientsParams,
}

/// A part of a batch between its forward and its backward pass.
enum Halfway {
    /// The stage has made its own backward pass.
    Done(f32, GradientsParams),
    /// The rest of the loss depends on the other parts.
    Waits(Box<Forward>),
}

impl<M: Module + Sync + 'static> Replicas<M> {
    /// Copies `model`, which is on the first of `devices`, to the others. Several devices that are
    /// all the processor get a thread each: small products lose more to threads that wait for one
    /// another than they gain.
    pub(crate) fn new(model: M, devices: &[Device]) -> Result<Self, TrainError> {
        let mut all = Vec::with_capacity(devices.len());
        for (rank, device) in devices.iter().enumerate() {
            let device = device.clone().autodiff();
            let pool = match devices.len() > 1 && device == Device::flex() {
                true => Some(thread_of(rank)?),
                false => None,
            };
            let model = match rank {
                0 => model.clone(),
                // Fresh leaves, so that no device waits for another one's graph.
                _ => model.clone().fork(&device),
            };
            all.push(Replica {
                model,
                device,
                pool,
            });
        }
        Ok(Self { all })
    }

    /// The copy that the optimiser steps.
    pub(crate) fn main(&self) -> &M {
        &self.all[0].model
    }

    /// Replaces the main copy by what `step` makes of it, and tells the others.
    pub(crate) fn step(&mut self, step: impl FnOnce(M) -> M) {
        let mut rest = self.all.drain(..);
        let Some(first) = rest.next() else { return };
        let main = Replica {
            model: step(first.model),
            ..first
        };
        let others: Vec<_> = rest
            .map(|r| Replica {
                model: gradients::copy_trained(&main.model, r.model, &r.device),
                ..r
            })
            .collect();
        self.all = std::iter::once(main).chain(others).collect();
    }

    /// Loss and gradients of batch `number`.
    pub(crate) fn learn<S: Stage<Model = M>>(
        &self,
        stage: &Arc<S>,
        batch: S::Batch,
        number: u64,
    ) -> Result<Learned, TrainError> {
        let parts = match self.all.len() {
            1 => vec![Part { share: 1.0, batch }],
            n => stage.split(batch, n),
        };
        let halves = self.forward(stage, parts, number)?;
        let shared = halves
            .iter()
            .map(|(_, half)| match half {
                Halfway::Done(..) => Vec::new(),
                Halfway::Waits(forward) => forward.shared.clone(),
            })
            .collect::<Vec<_>>();
        let joint = match halves.len() {
            // One part knows all there is to know; its loss needs no detour.
            1 => None,
            _ => joint_gradients(&**stage, &shared, &self.all[0].device)?,
        };
        let mut loss = joint.as_ref().map_or(0.0, |j| j.loss);
        let pulls = joint.map_or_else(Vec::new, |j| j.pulls);
        let learned = self.backward(stage, halves, pulls)?;
        let mut sum = gradients::Sum::new();
        let home = self.all[0].device.clone().inner();
        for (part, gradients) in learned {
            loss += part;
            let here = match self.all.len() {
                1 => gradients,
                _ => gradients.to_device(&home, self.main()),
            };
            sum.add(self.main(), here);
        }
        Ok(Learned {
            loss,
            gradients: sum.take(),
        })
    }

    fn forward<S: Stage<Model = M>>(
        &self,
        stage: &Arc<S>,
        parts: Vec<Part<S::Batch>>,
        number: u64,
    ) -> Result<Vec<(f64, Halfway)>, TrainError> {
        let work = |(index, part): (usize, Part<S::Batch>), replica: &Replica<M>| {
            let context = Context {
                number,
                part: index as u64,
                device: replica.device.clone(),
            };
            let half = match stage.gradients(&replica.model, &part.batch, &context)? {
                Some((loss, own)) => Halfway::Done(
                    gradients::value(loss)? * part.share as f32,
                    gradients::scale(&replica.model, own, part.share),
                ),
                None => {
                    let forward = stage.forward(&replica.model, part.batch, &context)?;
                    Halfway::Waits(Box::new(forward))
                }
            };
            Ok((part.share, half))
        };
        self.each(parts.into_iter().enumerate().collect(), work)
    }

    fn backward<S: Stage<Model = M>>(
        &self,
        stage: &Arc<S>,
        halves: Vec<(f64, Halfway)>,
        pulls: Vec<Vec<Tensor<2>>>,
    ) -> Result<Vec<(f32, GradientsParams)>, TrainError> {
        let alone = halves.len() == 1;
        let pulls = pulls
            .into_iter()
            .chain(std::iter::repeat_with(Vec::new))
            .take(halves.len());
        let work = |((share, half), pulls): ((f64, Halfway), Vec<Tensor<2>>),
                    replica: &Replica<M>| {
            let forward = match half {
                Halfway::Done(loss, gradients) => return Ok((loss, gradients)),
                Halfway::Waits(forward) => *forward,
            };
            let mut loss = forward.loss;
            if alone && let Some(joint) = stage.joint(forward.shared.clone()) {
                loss = loss + joint;
            }
            if share != 1.0 {
                loss = loss * share;
            }
            let value = gradients::value(loss.clone())?;
            if !value.is_finite() {
                return Ok((value, GradientsParams::new()));
            }
            let home = replica.device.clone().inner();
            for (shared, pull) in forward.shared.into_iter().zip(pulls) {
                loss = loss + (shared * pull.to_device(&home)).sum();
            }
            Ok((value, gradients::of(&loss, &replica.model)))
        };
        self.each(halves.into_iter().zip(pulls).collect(), work)
    }

    /// Runs `work` on every item, the first on the first copy and so on, all at once.
    fn each<I: Send, O: Send>(
        &self,
        items: Vec<I>,
        work: impl Fn(I, &Replica<M>) -> Result<O, TrainError> + Sync,
    ) -> Result<Vec<O>, TrainError> {
        let mut pairs: Vec<_> = items.into_iter().zip(&self.all).collect();
        if pairs.len() == 1 && self.all.len() == 1 {
            return pairs
                .drain(..)
                .map(|(item, replica)| work(item, replica))
                .collect();
        }
        let work = &work;
        std::thread::scope(|scope| {
            let running: Vec<_> = pairs
                .into_iter()
                .map(|(item, replica)| {
                    scope.spawn(move || match &replica.pool {
                        Some(pool) => pool.install(|| work(item, replica)),
                        None => work(item, replica),
                    })
                })
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().map_err(|_| TrainError::Device)?)
                .collect()
        })
    }
}

/// A pool of one thread.
fn thread_of(rank: usize) -> Result<ThreadPool, TrainError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .thread_name(move |_| format!("device-{rank}"))
        .build()
        .map_err(|e| TrainError::file("threads", e))
}

/// The part of a loss that is about all parts of a batch at once, and how it pulls at what each
/// part has shared.
struct Joint {
    loss: f32,
    pulls: Vec<Vec<Tensor<2>>>,
}

fn joint_gradients<S: Stage>(
    stage: &S,
    shared: &[Vec<Tensor<2>>],
    device: &Device,
) -> Result<Option<Joint>, TrainError> {
    let count = shared.first().map_or(0, Vec::len);
    if count == 0 {
        return Ok(None);
    }
    let home = device.clone().inner();
    let leaves: Vec<Vec<Tensor<2>>> = shared
        .iter()
        .map(|part| {
            part.iter()
                .map(|x| x.clone().inner().to_device(&home).autodiff().require_grad())
                .collect()
        })
        .collect();
    let whole = (0..count)
        .map(|i| Tensor::cat(leaves.iter().filter_map(|p| p.get(i).cloned()).collect(), 0))
        .collect();
    let Some(loss) = stage.joint(whole) else {
        return Ok(None);
    };
    let value = gradients::value(loss.clone())?;
    let mut found = loss.backward();
    let pulls = leaves
        .iter()
        .map(|part| {
            part.iter()
                .map(|leaf| {
                    leaf.grad_remove(&mut found)
                        .unwrap_or_else(|| leaf.clone().inner().zeros_like())
                })
                .collect()
        })
        .collect();
    Ok(Some(Joint { loss: value, pulls }))
}
