//! A pickle machine's bytes, stack and memory.

use std::collections::HashMap;

use super::value::{Id, Value};
use crate::error::ImportError;
use crate::limits;

const FORMAT: &str = "PyTorch pickle";

pub(super) struct Machine<'a> {
    pub file: &'a str,
    bytes: &'a [u8],
    pub at: usize,
    pub values: Vec<Value>,
    /// Values, and `None` for marks.
    pub stack: Vec<Option<Id>>,
    pub memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// A machine at the front of `bytes`, from `file`.
    pub fn new(file: &'a str, bytes: &'a [u8]) -> Self {
        Self {
            file,
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            memo: HashMap::new(),
        }
    }

    pub fn fault(&self, reason: impl std::fmt::Display) -> ImportError {
        ImportError::malformed(self.file, FORMAT, format!("byte {}: {reason}", self.at))
    }

    /// Refuses to go on where more is held than any file asks for; an opcode adds one of each at
    /// most.
    pub fn check_size(&self) -> Result<(), ImportError> {
        let most = self.values.len().max(self.stack.len());
        match most.max(self.memo.len()) < limits::VISITS {
            true => Ok(()),
            false => Err(self.fault("more values than are read")),
        }
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.fault(format_args!(
                "the pickle ends where {length} more bytes were to follow"
            ))),
        }
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    pub fn length4(&mut self) -> Result<usize, ImportError> {
        Ok(u32::from_le_bytes(self.fixed()?) as usize)
    }

    pub fn length8(&mut self) -> Result<usize, ImportError> {
        let length = u64::from_le_bytes(self.fixed()?);
        usize::try_from(length).map_err(|_| self.fault("a length beyond all memory"))
    }

    /// A little-endian number of any length; one that no size or index can be is not kept.
    pub fn long(&mut self, length: usize) -> Result<(), ImportError> {
        let bytes = self.take(length)?;
        let value = match bytes.last() {
            _ if length > 8 => Value::Plain,
            None => Value::Int(0),
            Some(last) => {
                let mut all = [if last & 0x80 == 0 { 0 } else { 0xff }; 8];
                all[..length].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(all))
            }
        };
        self.push(value);
        Ok(())
    }

    pub fn text(&mut self, length: usize) -> Result<(), ImportError> {
        let bytes = self.take(length)?;
        let text =
            std::str::from_utf8(bytes).map_err(|_| self.fault("a text that is not UTF-8"))?;
        self.push(Value::Text(text.to_owned()));
        Ok(())
    }

    pub fn skip(&mut self, length: usize) -> Result<(), ImportError> {
        self.take(length)?;
        self.push(Value::Plain);
        Ok(())
    }

    pub fn line(&mut self) -> Result<String, ImportError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok());
        let line = line.ok_or_else(|| self.fault("a name without an end"))?;
        self.at += line.len() + 1;
        Ok(line.to_owned())
    }

    pub fn push(&mut self, value: Value) {
        self.stack.push(Some(self.values.len()));
        self.values.push(value);
    }

    pub fn pop(&mut self) -> Result<Id, ImportError> {
        match self.stack.pop() {
            Some(Some(id)) => Ok(id),
            _ => Err(self.fault("a value is missing")),
        }
    }

    pub fn pop_text(&mut self) -> Result<String, ImportError> {
        let id = self.pop()?;
        match &self.values[id] {
            Value::Text(text) => Ok(text.clone()),
            _ => Err(self.fault("a name that is no text")),
        }
    }

    pub fn top(&self) -> Result<Id, ImportError> {
        let top = self.stack.last().copied().flatten();
        top.ok_or_else(|| self.fault("a value is missing"))
    }

    pub fn drop_top(&mut self, code: u8) -> Result<(), ImportError> {
        if code == b'1' {
            return self.above_mark().map(drop);
        }
        match self.stack.pop() {
            Some(_) => Ok(()),
            None => Err(self.fault("a value is missing")),
        }
    }

    /// The values above the last mark, which goes too.
    pub fn above_mark(&mut self) -> Result<Vec<Id>, ImportError> {
        let mark = self.stack.iter().rposition(Option::is_none);
        let mark = mark.ok_or_else(|| self.fault("a mark is missing"))?;
        let items = self.stack.split_off(mark);
        Ok(items.into_iter().flatten().collect())
    }

    pub fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>, ImportError> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.fault("a key without a value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    pub fn append(&mut self, items: Vec<Id>) -> Result<(), ImportError> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::List(list) => list.extend(items),
            _ => return Err(self.fault("items for what is no list")),
        }
        Ok(())
    }

    pub fn set(&mut self, pairs: Vec<(Id, Id)>) -> Result<(), ImportError> {
        let top = self.top()?;
        match &mut self.values[top] {
            Value::Dict(dict) => dict.extend(pairs),
            _ => return Err(self.fault("keys for what is no dictionary")),
        }
        Ok(())
    }

    pub fn remember(&mut self, index: u32) -> Result<(), ImportError> {
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    pub fn recall(&mut self, index: u32) -> Result<(), ImportError> {
        let id = self.memo.get(&index).copied();
        let id = id.ok_or_else(|| self.fault(format_args!("nothing was remembered as {index}")))?;
        self.stack.push(Some(id));
        Ok(())
    }
}
