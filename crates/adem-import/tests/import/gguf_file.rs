//! GGUF files, byte by byte.

use crate::files::Named;

/// A value of a key.
#[derive(Debug, Clone)]
pub enum Field {
    U32(u32),
    F32(f32),
    Text(String),
    Texts(Vec<String>),
    Floats(Vec<f32>),
    Ints(Vec<i32>),
}

impl Field {
    fn kind(&self) -> u32 {
        match self {
            Self::U32(_) => 4,
            Self::F32(_) => 6,
            Self::Text(_) => 8,
            _ => 9,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let list = |kind: u32, length: usize, out: &mut Vec<u8>| {
            out.extend(kind.to_le_bytes());
            out.extend((length as u64).to_le_bytes());
        };
        match self {
            Self::U32(value) => out.extend(value.to_le_bytes()),
            Self::F32(value) => out.extend(value.to_le_bytes()),
            Self::Text(value) => text(value, out),
            Self::Texts(values) => {
                list(8, values.len(), out);
                values.iter().for_each(|value| text(value, out));
            }
            Self::Floats(values) => {
                list(6, values.len(), out);
                out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
            Self::Ints(values) => {
                list(5, values.len(), out);
                out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.bytes());
}

/// A tensor of any ggml type.
#[derive(Debug, Clone)]
pub struct Stored {
    pub name: String,
    pub shape: Vec<usize>,
    pub kind: u32,
    pub bytes: Vec<u8>,
}

impl Stored {
    pub fn floats(tensor: &Named) -> Self {
        Self {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            kind: 0,
            bytes: tensor.bytes(),
        }
    }
}

pub fn file(version: u32, fields: &[(&str, Field)], tensors: &[Stored]) -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(version.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((fields.len() as u64).to_le_bytes());
    for (key, value) in fields {
        text(key, &mut out);
        out.extend(value.kind().to_le_bytes());
        value.write(&mut out);
    }
    let mut offset = 0;
    for tensor in tensors {
        text(&tensor.name, &mut out);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        for dim in tensor.shape.iter().rev() {
            out.extend((*dim as u64).to_le_bytes());
        }
        out.extend(tensor.kind.to_le_bytes());
        out.extend((offset as u64).to_le_bytes());
        offset += tensor.bytes.len().next_multiple_of(32);
    }
    for tensor in tensors {
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(&tensor.bytes);
    }
    out
}
