//! Files as their own programs write them.

use std::collections::HashMap;

use adem_import::{Input, TensorFile};
use adem_tests::golden::{Array, Tensors};

use crate::gguf_file::{self, Field};
use crate::pickle_file::{self, Pickled};

/// A named tensor in single precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl Named {
    pub fn new(name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        Self {
            name: name.to_owned(),
            shape: shape.to_vec(),
            values,
        }
    }

    /// Values that are all different and exact in half precision.
    pub fn counted(name: &str, shape: &[usize], first: usize) -> Self {
        let count = shape.iter().product::<usize>();
        let value = |i: usize| ((first + i) % 2048) as f32 / 64.0 - 16.0;
        Self::new(name, shape, (0..count).map(value).collect())
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

/// All float tensors of a golden file.
pub fn golden(tensors: &Tensors) -> Vec<Named> {
    let named = |name: &str| {
        let Array { shape, values } = tensors.f32(name);
        Named::new(name, shape, values.clone())
    };
    tensors.float_names().map(named).collect()
}

pub fn safetensors(tensors: &[Named]) -> Vec<u8> {
    let bytes: Vec<_> = tensors.iter().map(Named::bytes).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = safetensors::tensor::TensorView::new(
            safetensors::Dtype::F32,
            tensor.shape.clone(),
            bytes,
        );
        (tensor.name.as_str(), view.unwrap())
    });
    let about = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(views, Some(about)).unwrap()
}

pub fn pth(tensors: &[Named]) -> Vec<u8> {
    pickle_file::zipped(&Pickled::dict(tensors), tensors)
}

pub fn pth_legacy(tensors: &[Named]) -> Vec<u8> {
    pickle_file::legacy(&Pickled::dict(tensors), tensors)
}

pub fn gguf(fields: &[(&str, Field)], tensors: &[Named]) -> Vec<u8> {
    let stored: Vec<_> = tensors.iter().map(gguf_file::Stored::floats).collect();
    gguf_file::file(3, fields, &stored)
}

/// A file of these bytes, opened.
pub fn opened(bytes: Vec<u8>) -> TensorFile {
    TensorFile::parse(Input::memory("memory", bytes)).unwrap()
}

/// What a file of these bytes is refused with.
pub fn refusal(bytes: Vec<u8>) -> String {
    match TensorFile::parse(Input::memory("memory", bytes)) {
        Ok(file) => panic!("read, with {} tensors", file.entries().len()),
        Err(error) => error.to_string(),
    }
}

/// All tensors of a file in single precision, sorted by name.
pub fn read_all(file: &TensorFile) -> Vec<Named> {
    let mut all: Vec<_> = file
        .entries()
        .iter()
        .map(|entry| {
            let bytes = file.rows(entry, 0..entry.rows()).unwrap();
            let shape: Vec<_> = entry.shape.iter().map(|dim| *dim as usize).collect();
            Named::new(&entry.name, &shape, entry.dtype.decode(&bytes))
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

pub fn sorted(tensors: &[Named]) -> Vec<Named> {
    let mut sorted = tensors.to_vec();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    sorted
}
