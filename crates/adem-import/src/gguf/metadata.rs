//! GGUF's keys and values.

use super::{FORMAT, Listed};
use crate::error::{ImportError, excerpt};
use crate::input::Input;
use crate::limits;

/// A value. Numbers keep their kind only as far as anybody asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// An integer of any width; unsigned 64-bit ones beyond the largest signed are not kept.
    Int(i64),
    /// A float of either width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Numbers or truth values of one kind, in single precision.
    Numbers(Vec<f32>),
    /// Lists in a list, of this length; nothing known uses them.
    Nested(u64),
}

impl Value {
    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Keys and values, in the order of the file. No key is there twice.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata(Vec<(String, Value)>);

impl Metadata {
    /// The value of `key`, where it has one.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut found = self.0.iter().filter(|(name, _)| name == key);
        found.next().map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Kinds of values.
const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// Bytes taken from a file's front, a few at a time.
pub(super) struct Reader<'a> {
    input: &'a Input,
    /// The next byte of the file.
    at: u64,
    /// Bytes of the file from `begin` on.
    buffer: Vec<u8>,
    begin: u64,
}

impl<'a> Reader<'a> {
    const CHUNK: u64 = 1 << 18;

    pub fn new(input: &'a Input) -> Self {
        Self {
            input,
            at: 0,
            buffer: Vec::new(),
            begin: 0,
        }
    }

    /// Bytes read so far.
    pub fn place(&self) -> u64 {
        self.at
    }

    fn fault(&self, reason: impl std::fmt::Display) -> ImportError {
        ImportError::malformed(
            self.input.name(),
            FORMAT,
            format!("byte {}: {reason}", self.at),
        )
    }

    /// The next `length` bytes.
    fn take(&mut self, length: u64) -> Result<&[u8], ImportError> {
        let end = self.at.checked_add(length);
        let end = end.filter(|end| *end <= self.input.length().min(limits::GGUF_BYTES));
        let end = end.ok_or_else(|| {
            self.fault(format_args!("{length} more bytes are to follow and do not"))
        })?;
        let held = self.begin + self.buffer.len() as u64;
        if end > held || self.at < self.begin {
            let ahead = end.max(self.at.saturating_add(Self::CHUNK));
            self.buffer = self.input.read(self.at..ahead.min(self.input.length()))?;
            self.begin = self.at;
        }
        let start = (self.at - self.begin) as usize;
        self.at = end;
        Ok(&self.buffer[start..start + length as usize])
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    pub fn u32(&mut self) -> Result<u32, ImportError> {
        Ok(u32::from_le_bytes(self.fixed()?))
    }

    pub fn u64(&mut self) -> Result<u64, ImportError> {
        Ok(u64::from_le_bytes(self.fixed()?))
    }

    fn text(&mut self) -> Result<String, ImportError> {
        let length = self.u64()?;
        let bytes = self.take(length)?.to_vec();
        // Vocabularies may hold pieces of characters.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// A number or truth value of this kind.
    fn number(&mut self, kind: u32) -> Result<Value, ImportError> {
        Ok(match kind {
            0 => Value::Int(i64::from(u8::from_le_bytes(self.fixed()?))),
            1 => Value::Int(i64::from(i8::from_le_bytes(self.fixed()?))),
            2 => Value::Int(i64::from(u16::from_le_bytes(self.fixed()?))),
            3 => Value::Int(i64::from(i16::from_le_bytes(self.fixed()?))),
            4 => Value::Int(i64::from(self.u32()?)),
            5 => Value::Int(i64::from(i32::from_le_bytes(self.fixed()?))),
            6 => Value::Float(f64::from(f32::from_le_bytes(self.fixed()?))),
            7 => Value::Bool(self.fixed::<1>()? != [0]),
            10 => Value::Int(self.u64()?.try_into().unwrap_or(i64::MAX)),
            11 => Value::Int(i64::from_le_bytes(self.fixed()?)),
            12 => Value::Float(f64::from_le_bytes(self.fixed()?)),
            _ => return Err(self.fault(format_args!("a value of unknown kind {kind}"))),
        })
    }

    fn value(&mut self, kind: u32) -> Result<Value, ImportError> {
        match kind {
            TEXT => Ok(Value::Text(self.text()?)),
            ARRAY => self.array(0),
            _ => self.number(kind),
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, ImportError> {
        let (kind, length) = (self.u32()?, self.u64()?);
        // Every item takes a byte at least.
        if length > self.input.length() - self.at || depth > 2 {
            return Err(self.fault(format_args!("a list of {length} items is too long")));
        }
        match kind {
            ARRAY => {
                for _ in 0..length {
                    self.array(depth + 1)?;
                }
                Ok(Value::Nested(length))
            }
            TEXT => {
                let texts = (0..length).map(|_| self.text());
                texts.collect::<Result<_, _>>().map(Value::Texts)
            }
            _ => {
                let mut numbers = Vec::new();
                for _ in 0..length {
                    let number = self.number(kind)?;
                    numbers.push(match number {
                        Value::Bool(it) => f32::from(u8::from(it)),
                        other => other.as_f64().unwrap_or_default() as f32,
                    });
                }
                Ok(Value::Numbers(numbers))
            }
        }
    }

    pub fn metadata(&mut self, pairs: u64) -> Result<Metadata, ImportError> {
        let mut metadata = Vec::new();
        let mut names = std::collections::HashSet::new();
        for _ in 0..pairs {
            let key = self.text()?;
            let kind = self.u32()?;
            if !names.insert(key.clone()) {
                return Err(self.fault(format_args!("key `{}` is there twice", excerpt(&key))));
            }
            metadata.push((key, self.value(kind)?));
        }
        Ok(Metadata(metadata))
    }

    pub fn tensor(&mut self) -> Result<Listed, ImportError> {
        let name = self.text()?;
        let rank = self.u32()?;
        if rank as usize > limits::RANK {
            let reason = format!("has {rank} dimensions, at most {} are read", limits::RANK);
            return Err(ImportError::tensor(self.input.name(), &name, reason));
        }
        let shape = (0..rank)
            .map(|_| self.u64())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listed {
            name,
            shape,
            kind: self.u32()?,
            offset: self.u64()?,
        })
    }
}
