//! A package's weights as the model asks for them.

use adem_model::{Blocks, BlocksError, Scales, Scheme, SourceError, TensorSource};
use adem_package::quant::{self, QuantView, ScaleType};
use adem_package::{PackageError, Storage, TensorView, Weights};
use burn::tensor::TensorData;

use crate::error::PipelineError;

/// Hands a package's tensors to a model that is being built, each once: in single precision, or in
/// blocks as they are stored.
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
        let values = self.weights.take(name, shape).map_err(|e| told(name, e))?;
        Ok(TensorData::new(values, shape.to_vec()))
    }

    fn packed(&mut self, name: &str, shape: &[usize]) -> Result<Option<Blocks>, SourceError> {
        let TensorView {
            shape: found,
            storage,
            ..
        } = self.weights.get(name).map_err(|e| told(name, e))?;
        let Storage::Quantised(view) = storage else {
            return Ok(None);
        };
        if found != shape {
            return Err(SourceError::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: found.to_vec(),
            });
        }
        let blocks = blocks(&view).map_err(|error| SourceError::Unreadable {
            name: name.to_owned(),
            message: error.to_string(),
        })?;
        self.weights.release(name).map_err(|e| told(name, e))?;
        Ok(Some(blocks))
    }
}

/// The blocks of a package as kernels take them.
pub(crate) fn blocks(view: &QuantView) -> Result<Blocks, BlocksError> {
    let scales = match view.scale_type() {
        ScaleType::F16 => Scales::Half(view.scale_words()),
        ScaleType::F32 => Scales::Single(view.scales()),
    };
    let quant::Geometry { rows, cols } = view.geometry();
    Blocks::new(
        scheme_of(view.scheme()),
        [rows, cols],
        view.words().into_owned(),
        scales,
    )
}

/// A package's scheme as kernels name it.
pub(crate) fn scheme_of(scheme: quant::Scheme) -> Scheme {
    match scheme {
        quant::Scheme::Q4 => Scheme::Q4,
        quant::Scheme::Q8 => Scheme::Q8,
    }
}

/// A package's refusal as a model's.
fn told(name: &str, error: PackageError) -> SourceError {
    match error {
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
    }
}
