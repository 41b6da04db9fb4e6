//! Gradients of a module's parameters, in Burn's container: weighing, measuring, summing.

use std::marker::PhantomData;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};

use crate::error::TrainError;

/// The gradients of all parameters that are trained, out of one backward pass of `loss`.
pub(crate) fn of<M: Module>(loss: &Tensor<1>, model: &M) -> GradientsParams {
    GradientsParams::from_module(&mut loss.backward(), model)
}

/// Every gradient times `factor`; at 1 nothing is computed.
pub(crate) fn scale<M: Module>(
    model: &M,
    gradients: GradientsParams,
    factor: f64,
) -> GradientsParams {
    struct Scale {
        from: GradientsParams,
        to: GradientsParams,
        factor: f64,
    }
    impl ModuleVisitor for Scale {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.from.remove::<D>(param.id) {
                self.to.register(param.id, gradient * self.factor);
            }
        }
    }
    if factor == 1.0 {
        return gradients;
    }
    let mut scale = Scale {
        from: gradients,
        to: GradientsParams::new(),
        factor,
    };
    model.visit(&mut scale);
    scale.to
}

/// The Euclidean norm of all gradients together.
///
/// # Errors
/// [`TrainError::Read`] when the device fails.
pub(crate) fn norm<M: Module>(model: &M, gradients: &GradientsParams) -> Result<f64, TrainError> {
    struct Sum<'a> {
        gradients: &'a GradientsParams,
        total: Option<Tensor<1>>,
    }
    impl ModuleVisitor for Sum<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                let own = gradient.square().sum();
                self.total = Some(match self.total.take() {
                    Some(total) => total + own,
                    None => own,
                });
            }
        }
    }
    let mut sum = Sum {
        gradients,
        total: None,
    };
    model.visit(&mut sum);
    match sum.total {
        Some(total) => Ok(f64::from(value(total)?).sqrt()),
        None => Ok(0.0),
    }
}

/// The single value of a tensor.
///
/// # Errors
/// [`TrainError::Read`] when the device fails.
pub(crate) fn value(x: Tensor<1>) -> Result<f32, TrainError> {
    x.inner()
        .try_into_scalar::<f32>()
        .map_err(|e| TrainError::Read(format!("{e:?}")))
}

/// Sums gradients of one module in the order they come, so that equal runs give equal bits.
pub(crate) struct Sum<M> {
    parts: GradientsAccumulator<M>,
    module: PhantomData<M>,
}

impl<M: Module> Sum<M> {
    pub(crate) fn new() -> Self {
        Self {
            parts: GradientsAccumulator::new(),
            module: PhantomData,
        }
    }

    pub(crate) fn add(&mut self, model: &M, gradients: GradientsParams) {
        self.parts.accumulate(model, gradients);
    }

    pub(crate) fn take(&mut self) -> GradientsParams {
        self.parts.grads()
    }
}

/// Brings what `main` has learned to a copy of it on another device or thread. Frozen parameters
/// stay where they are.
pub(crate) fn copy_trained<M: Module>(main: &M, copy: M, device: &Device) -> M {
    struct Take(GradientsParams);
    impl ModuleVisitor for Take {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let value = param.val();
            if value.is_require_grad() {
                self.0.register(param.id, value.inner());
            }
        }
    }
    struct Put<'a> {
        values: GradientsParams,
        device: &'a Device,
    }
    impl ModuleMapper for Put<'_> {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let inner = self.device.clone().inner();
            match self.values.remove::<D>(param.id) {
                Some(value) => param.map(|_| value.to_device(&inner).autodiff().require_grad()),
                None => param,
            }
        }
    }
    let mut take = Take(GradientsParams::new());
    main.visit(&mut take);
    copy.map(&mut Put {
        values: take.0,
        device,
    })
}
