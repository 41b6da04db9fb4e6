//! A module's parameters by their checkpoint names.

use std::collections::BTreeMap;

use adem_model::AdemVl;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

use crate::error::TrainError;

/// Follows a walk through a module and knows the name of the parameter at hand.
#[derive(Debug, Default)]
pub(crate) struct Path(Vec<String>);

impl Path {
    pub(crate) fn enter(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    pub(crate) fn leave(&mut self) {
        self.0.pop();
    }

    /// Name in checkpoints.
    pub(crate) fn name(&self) -> String {
        AdemVl::tensor_name(&self.0.join("."))
    }
}

/// The parameters of a module whose names satisfy `wanted`, by name, as `f32` on the host.
///
/// # Errors
/// [`TrainError::Read`] when the device fails.
pub fn named_tensors<M: Module>(
    module: &M,
    wanted: impl Fn(&str) -> bool,
) -> Result<BTreeMap<String, TensorData>, TrainError> {
    struct Collect<F> {
        wanted: F,
        path: Path,
        found: BTreeMap<String, TensorData>,
        failed: Option<String>,
    }
    impl<F: Fn(&str) -> bool> ModuleVisitor for Collect<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.leave();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = self.path.name();
            if !(self.wanted)(&name) {
                return;
            }
            match param.val().try_into_data() {
                Ok(data) => {
                    self.found.insert(name, data.convert_dtype(DType::F32));
                }
                Err(error) => self.failed = Some(format!("{name}: {error}")),
            }
        }
    }
    let mut collect = Collect {
        wanted,
        path: Path::default(),
        found: BTreeMap::new(),
        failed: None,
    };
    module.visit(&mut collect);
    match collect.failed {
        Some(message) => Err(TrainError::Read(message)),
        None => Ok(collect.found),
    }
}

/// Marks the parameters whose names satisfy `trainable`; all others neither get gradients nor
/// optimiser state.
pub fn freeze<M: Module>(module: M, trainable: impl Fn(&str) -> bool) -> M {
    struct Mark<F> {
        path: Path,
        trainable: F,
    }
    impl<F: Fn(&str) -> bool> ModuleMapper for Mark<F> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.enter(name);
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.leave();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let trainable = (self.trainable)(&self.path.name());
            param.set_require_grad(trainable)
        }
    }
    module.map(&mut Mark {
        path: Path::default(),
        trainable,
    })
}
