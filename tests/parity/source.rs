//! Fixtures as the source a model is built from, whatever names they use.

use adem_model::{SourceError, TensorSource};
use adem_tests::golden::{Array, Tensors};
use burn::tensor::TensorData;

/// What stands for one of the model's tensors.
pub enum Stored {
    /// The tensor of this name.
    Whole(String),
    /// These tensors, one below the other.
    Stacked(Vec<String>),
}

/// A fixture whose names are turned into the model's.
pub struct Named<'a, F: Fn(&str) -> Stored> {
    pub tensors: &'a Tensors,
    pub stored: F,
}

impl<F: Fn(&str) -> Stored> TensorSource for Named<'_, F> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let array = match (self.stored)(name) {
            Stored::Whole(stored) => self.tensors.find(&stored).cloned(),
            Stored::Stacked(parts) => parts
                .iter()
                .map(|p| self.tensors.find(p).cloned())
                .collect::<Option<_>>()
                .map(stack),
        };
        match array {
            Some(array) => checked(name, shape, array),
            None => Err(SourceError::Missing {
                name: name.into(),
                origin: "the fixture".into(),
            }),
        }
    }
}

/// `array` as the tensor `name`, if it has its `shape`.
pub fn checked(name: &str, shape: &[usize], array: Array<f32>) -> Result<TensorData, SourceError> {
    if array.shape != shape {
        return Err(SourceError::Shape {
            name: name.into(),
            expected: shape.to_vec(),
            found: array.shape,
        });
    }
    Ok(TensorData::new(array.values, array.shape))
}

/// Arrays joined along their first dimension.
pub fn stack(parts: Vec<Array<f32>>) -> Array<f32> {
    let mut shape = parts[0].shape.clone();
    shape[0] = parts.iter().map(|p| p.shape[0]).sum();
    Array {
        shape,
        values: parts.into_iter().flat_map(|p| p.values).collect(),
    }
}
