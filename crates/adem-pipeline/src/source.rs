//! A package's weights as the model asks for them.

use adem_model::{SourceError, TensorSource};
use adem_package::{PackageError, Weights};
use burn::tensor::TensorData;

use crate::error::PipelineError;

/// Hands a package's tensors to a model that is being built, each once, in single precision.
#[derive(Debug)]
pub struct PackageSource {
    weights: Weights,
}

impl PackageSource {
    /// A source of `weights`.
    pub fn new(weights: Weights) -> Self {
        Self { weights }
    }

    /// Ends the building: every tensor must have been asked for, or the weights are those of
    /// another model.
    ///
    /// # Errors
    /// [`PipelineError::Unused`].
    pub fn finish(self) -> Result<(), PipelineError> {
        let count = self.weights.len();
        match self.weights.unused().next() {
            None => Ok(()),
            Some(tensor) => Err(PipelineError::Unused {
                count,
                first: tensor.name.to_owned(),
            }),
        }
    }
}

impl TensorSource for PackageSource {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let values = self
            .weights
            .take(name, shape)
            .map_err(|error| match error {
                PackageError::MissingTensor { tensor } => SourceError::Missing {
                    name: tensor,
                    origin: "the package".to_owned(),
                },
                PackageError::Shape {
                    tensor,
                    expected,
                    found,
                } => SourceError::Shape {
                    name: tensor,
                    expected,
                    found,
                },
                other => SourceError::Unreadable {
                    name: name.to_owned(),
                    message: other.to_string(),
                },
            })?;
        Ok(TensorData::new(values, shape.to_vec()))
    }
}
