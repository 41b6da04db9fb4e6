//! A pickle machine that can make tensors and plain containers, and nothing else.
//!
//! Opcodes are those of Python's `pickletools`, binary protocols 1 to 5. A pickle is a program;
//! here its only calls are those of [`Global`], which are carried out as data. Everything else it
//! might ask for ends the reading with the name of it.

use super::machine::Machine;
use super::value::{Global, Id, Storage, Tensor, Value};
use crate::error::{ImportError, excerpt};
use crate::limits;

/// What a pickle made.
#[derive(Debug)]
pub(super) struct Pickle {
    pub values: Vec<Value>,
    pub root: Id,
    /// Bytes up to its end.
    pub length: usize,
}

/// Runs the pickle at the front of `bytes`, from `file`.
pub(super) fn load(file: &str, bytes: &[u8]) -> Result<Pickle, ImportError> {
    let mut machine = Machine::new(file, bytes);
    loop {
        machine.check_size()?;
        if let Some(root) = machine.step()? {
            return Ok(Pickle {
                root,
                length: machine.at,
                values: machine.values,
            });
        }
    }
}

impl Machine<'_> {
    /// Carries out one opcode; the result at the last.
    fn step(&mut self) -> Result<Option<Id>, ImportError> {
        let [code] = self.fixed()?;
        match code {
            b'.' => return self.pop().map(Some),
            // Protocol, and the length of a frame.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'N' => self.push(Value::Plain),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'J' => {
                let value = i32::from_le_bytes(self.fixed()?);
                self.push(Value::Int(value.into()));
            }
            b'K' => {
                let [value] = self.fixed()?;
                self.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.fixed()?);
                self.push(Value::Int(value.into()));
            }
            0x8a => {
                let [length] = self.fixed()?;
                self.long(length.into())?;
            }
            0x8b => {
                let length = self.length4()?;
                self.long(length)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Plain);
            }
            b'U' | 0x8c => {
                let [length] = self.fixed()?;
                self.text(length.into())?;
            }
            b'X' | b'T' => {
                let length = self.length4()?;
                self.text(length)?;
            }
            0x8d => {
                let length = self.length8()?;
                self.text(length)?;
            }
            b'C' => {
                let [length] = self.fixed()?;
                self.skip(length.into())?;
            }
            b'B' => {
                let length = self.length4()?;
                self.skip(length)?;
            }
            0x8e | 0x96 => {
                let length = self.length8()?;
                self.skip(length)?;
            }
            b'(' => self.stack.push(None),
            b'0' | b'1' => self.drop_top(code)?,
            b'2' => {
                let top = self.top()?;
                self.stack.push(Some(top));
            }
            b')' => self.push(Value::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Value::List(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            b'l' | 0x91 => {
                let items = self.above_mark()?;
                self.push(Value::List(items));
            }
            b'd' => {
                let items = self.above_mark()?;
                let pairs = self.pairs(&items)?;
                self.push(Value::Dict(pairs));
            }
            0x85..=0x87 => {
                let count = usize::from(code - 0x84);
                let mut items = (0..count)
                    .map(|_| self.pop())
                    .collect::<Result<Vec<_>, _>>()?;
                items.reverse();
                self.push(Value::Tuple(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let items = self.above_mark()?;
                let pairs = self.pairs(&items)?;
                self.set(pairs)?;
            }
            b'q' => {
                let [index] = self.fixed()?;
                self.remember(index.into())?;
            }
            b'r' => {
                let index = u32::from_le_bytes(self.fixed()?);
                self.remember(index)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let [index] = self.fixed()?;
                self.recall(index.into())?;
            }
            b'j' => {
                let index = u32::from_le_bytes(self.fixed()?);
                self.recall(index)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(&module, &name)?;
            }
            0x93 => {
                let (name, module) = (self.pop_text()?, self.pop_text()?);
                self.global(&module, &name)?;
            }
            b'Q' => self.persistent()?,
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            other => {
                self.at -= 1;
                return Err(self.fault(format_args!(
                    "opcode {other:#04x} makes neither tensors nor plain containers"
                )));
            }
        }
        Ok(None)
    }

    fn global(&mut self, module: &str, name: &str) -> Result<(), ImportError> {
        match Global::of(module, name) {
            Some(global) => {
                self.push(Value::Global(global));
                Ok(())
            }
            None => Err(ImportError::Global {
                file: self.file.to_owned(),
                global: excerpt(&format!("{module}.{name}")),
            }),
        }
    }

    /// `("storage", type, key, location, elements)`, and in older files a view of it, or none.
    fn persistent(&mut self) -> Result<(), ImportError> {
        let id = self.pop()?;
        let parts = match &self.values[id] {
            Value::Tuple(parts) => parts.as_slice(),
            _ => return Err(self.fault("a reference that is no tuple")),
        };
        let parts: Vec<&Value> = parts.iter().map(|part| &self.values[*part]).collect();
        let storage = match parts.as_slice() {
            [Value::Text(kind), ..] if kind != "storage" => {
                return Err(ImportError::Global {
                    file: self.file.to_owned(),
                    global: excerpt(kind),
                });
            }
            [
                _,
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(elements),
                view @ ..,
            ] if matches!(view, [] | [Value::Plain]) && key.len() <= limits::NAME_BYTES => {
                u64::try_from(*elements).ok().map(|elements| Storage {
                    key: key.clone(),
                    dtype: *dtype,
                    elements,
                })
            }
            _ => None,
        };
        let storage = storage.ok_or_else(|| self.fault("a storage of a form not known here"))?;
        self.push(Value::Storage(Box::new(storage)));
        Ok(())
    }

    /// Calls one of the globals, that is: makes its data.
    fn call(&mut self) -> Result<(), ImportError> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Global(function) = self.values[function] else {
            return Err(self.fault("a call of what is no name"));
        };
        let Value::Tuple(ids) = &self.values[arguments] else {
            return Err(self.fault("a call without a tuple of arguments"));
        };
        // What is made of one value is that value: nothing grows by being called again.
        let made = match (function, ids.as_slice()) {
            (Global::OrderedDict | Global::Namespace, []) => Some(Value::Dict(Vec::new())),
            (Global::Size, [id, ..]) => {
                self.stack.push(Some(*id));
                return Ok(());
            }
            (Global::Parameter, [id, ..]) if matches!(self.values[*id], Value::Tensor(_)) => {
                self.stack.push(Some(*id));
                return Ok(());
            }
            (Global::Tensor, ids) => self.tensor(ids).map(|it| Value::Tensor(Box::new(it))),
            _ => None,
        };
        let made =
            made.ok_or_else(|| self.fault(format_args!("arguments that do not fit {function:?}")))?;
        self.push(made);
        Ok(())
    }

    /// `(storage, offset, shape, strides, ...)`.
    fn tensor(&self, arguments: &[Id]) -> Option<Tensor> {
        let [storage, offset, shape, strides, ..] = arguments else {
            return None;
        };
        let Value::Storage(storage) = &self.values[*storage] else {
            return None;
        };
        Some(Tensor {
            storage: (**storage).clone(),
            offset: self.count(*offset)?,
            shape: self.counts(*shape)?,
            strides: self.counts(*strides)?,
        })
    }

    fn count(&self, id: Id) -> Option<u64> {
        match self.values[id] {
            Value::Int(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    fn counts(&self, id: Id) -> Option<Vec<u64>> {
        match &self.values[id] {
            Value::Tuple(ids) | Value::List(ids) if ids.len() <= limits::RANK => {
                ids.iter().map(|id| self.count(*id)).collect()
            }
            _ => None,
        }
    }

    /// Attributes: neither a record's settings nor those of a dictionary (`_metadata`) are tensors.
    fn build(&mut self) -> Result<(), ImportError> {
        let state = self.pop()?;
        let top = self.top()?;
        match (&self.values[top], &self.values[state]) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            _ => Err(self.fault("attributes for what has none")),
        }
    }
}
