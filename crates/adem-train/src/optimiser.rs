//! AdamW with the method's settings, and Muon, their state kept by parameter name.

use std::any::Any;
use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::{
    AdamW, AdamWConfig, AdamWState, AdaptiveMomentumState, GradientsParams, Optimizer,
};
use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::muon;
use crate::named::Path;

/// How the matrices inside blocks and projectors step; everything else steps by AdamW.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// As everything else: the paper's way.
    #[default]
    AdamW,
    /// Orthogonal steps: several times fewer samples where a model is trained from nothing.
    Muon,
}

/// AdamW's numbers (paper, section 4; the authors' settings by default).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta_1: f32,
    /// Decay of the second moment.
    pub beta_2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay of tensors of two and more dimensions; biases and norms have none.
    pub weight_decay: f32,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self {
            beta_1: 0.9,
            beta_2: 0.95,
            epsilon: 1e-8,
            weight_decay: 0.02,
        }
    }
}

/// First and second moment of one parameter after `time` steps, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// Steps taken.
    pub time: usize,
    /// Mean of the gradients.
    pub first: TensorData,
    /// Mean of their squares.
    pub second: TensorData,
}

/// AdamW over all parameters of a module that have a gradient.
///
/// Burn's own AdamW does the arithmetic; this keeps its state under the parameters' names, so that
/// a checkpoint can be read by people and by other programs.
pub struct NamedAdamW {
    decayed: AdamW,
    plain: AdamW,
    rule: Rule,
    weight_decay: f64,
    states: BTreeMap<String, Box<dyn Any>>,
    saved: BTreeMap<String, Moments>,
}

impl NamedAdamW {
    /// An optimiser without history.
    pub fn new(settings: &AdamWSettings) -> Self {
        let config = AdamWConfig::new()
            .with_beta_1(settings.beta_1)
            .with_beta_2(settings.beta_2)
            .with_epsilon(settings.epsilon);
        Self {
            decayed: config
                .clone()
                .with_weight_decay(settings.weight_decay)
                .build(),
            plain: config.with_weight_decay(0.0).build(),
            rule: Rule::AdamW,
            weight_decay: f64::from(settings.weight_decay),
            states: BTreeMap::new(),
            saved: BTreeMap::new(),
        }
    }

    /// Steps hidden matrices by another rule.
    pub fn with_rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    /// Goes on from saved moments.
    pub fn with_moments(mut self, moments: BTreeMap<String, Moments>) -> Self {
        self.saved = moments;
        self
    }

    /// One step on every parameter of `module` that `gradients` holds a gradient of.
    pub fn step<M: Module>(&mut self, lr: f64, module: M, gradients: &mut GradientsParams) -> M {
        struct Step<'a> {
            optimiser: &'a mut NamedAdamW,
            gradients: &'a mut GradientsParams,
            lr: f64,
            path: Path,
        }
        impl ModuleMapper for Step<'_> {
            fn enter_module(&mut self, name: &str, _: &str) {
                self.path.enter(name);
            }
            fn exit_module(&mut self, _: &str, _: &str) {
                self.path.leave();
            }
            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let Some(gradient) = self.gradients.remove::<D>(param.id) else {
                    return param;
                };
                let name = self.path.name();
                let (lr, optimiser) = (self.lr, &mut *self.optimiser);
                param.map(|value| optimiser.update(&name, lr, value, gradient))
            }
        }
        module.map(&mut Step {
            optimiser: self,
            gradients,
            lr,
            path: Path::default(),
        })
    }

    fn update<const D: usize>(
        &mut self,
        name: &str,
        lr: f64,
        value: Tensor<D>,
        gradient: Tensor<D>,
    ) -> Tensor<D> {
        let state = match self.states.remove(name) {
            Some(state) => state.downcast::<AdamWState<D>>().ok().map(|s| *s),
            None => self
                .saved
                .remove(name)
                .map(|m| restore(m, &gradient.device())),
        };
        if self.rule == Rule::Muon && muon::takes(name, D) {
            let (velocity, time) = match state {
                Some(s) => (Some(s.momentum.moment_1), s.momentum.time + 1),
                None => (None, 1),
            };
            let (step, velocity) = muon::step(name, lr, gradient, velocity);
            // There is no second moment: one value keeps its place.
            let second = Tensor::zeros([1; D], &velocity.device());
            let state = AdamWState::new(AdaptiveMomentumState::new(time, velocity, second));
            self.states.insert(name.to_owned(), Box::new(state));
            let value = value.inner() * (1.0 - lr * self.weight_decay) - step;
            return value.autodiff().require_grad();
        }
        let rule = match D > 1 {
            true => &self.decayed,
            false => &self.plain,
        };
        let (value, state) = rule.step(lr, value.inner(), gradient, state);
        if let Some(state) = state {
            self.states.insert(name.to_owned(), Box::new(state));
        }
        // A leaf of its own again, tracked from here on.
        value.autodiff().require_grad()
    }

    /// The moments of every parameter stepped so far.
    ///
    /// # Errors
    /// [`TrainError::Read`] when the device fails.
    pub fn moments(&self) -> Result<BTreeMap<String, Moments>, TrainError> {
        let mut all = self.saved.clone();
        for (name, state) in &self.states {
            let moments = host::<1>(state)
                .or_else(|| host::<2>(state))
                .or_else(|| host::<3>(state))
                .or_else(|| host::<4>(state))
                .ok_or_else(|| TrainError::Read(format!("moments of {name}")))?;
            all.insert(name.clone(), moments);
        }
        Ok(all)
    }
}

fn restore<const D: usize>(moments: Moments, device: &Device) -> AdamWState<D> {
    AdamWState::new(AdaptiveMomentumState::new(
        moments.time,
        Tensor::from_data(moments.first, device),
        Tensor::from_data(moments.second, device),
    ))
}

fn host<const D: usize>(state: &Box<dyn Any>) -> Option<Moments> {
    let momentum = &state.downcast_ref::<AdamWState<D>>()?.momentum;
    let data = |t: &Tensor<D>| t.try_to_data().ok().map(|d| d.convert_dtype(DType::F32));
    Some(Moments {
        time: momentum.time,
        first: data(&momentum.moment_1)?,
        second: data(&momentum.moment_2)?,
    })
}
