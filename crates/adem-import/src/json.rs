//! Fields of other people's JSON configs, each refused by its name.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::ImportError;
use crate::input::Input;
use crate::limits;

/// A config file.
#[derive(Debug, Clone)]
pub(crate) struct Json {
    file: String,
    /// Path of `value` in the file, with a dot at its end.
    path: String,
    value: Value,
}

impl Json {
    /// Reads a file that holds an object.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let input = Input::open(path)?;
        let bytes = input.whole("JSON", limits::JSON_BYTES)?;
        let refuse = |reason: String| ImportError::malformed(input.name(), "JSON", reason);
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        if !value.is_object() {
            return Err(refuse("it holds no object".into()));
        }
        Ok(Self {
            file: input.name().to_owned(),
            path: String::new(),
            value,
        })
    }

    /// [`open`](Self::open), where the file is there.
    pub fn find(path: &Path) -> Result<Option<Self>, ImportError> {
        match fs::exists(path) {
            Ok(true) => Self::open(path).map(Some),
            _ => Ok(None),
        }
    }

    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What is wrong with a field.
    pub fn fault(&self, field: &str, reason: impl Into<String>) -> ImportError {
        ImportError::config(&self.file, &format!("{}{field}", self.path), reason)
    }

    /// The object in `field`; `None` where it is absent or null.
    pub fn object(&self, field: &str) -> Option<Self> {
        let value = self.value.get(field).filter(|value| value.is_object())?;
        Some(Self {
            file: self.file.clone(),
            path: format!("{}{field}.", self.path),
            value: value.clone(),
        })
    }

    /// `field`, unless it is absent or null.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.value.get(field).filter(|value| !value.is_null())
    }

    pub fn str(&self, field: &str) -> Option<&str> {
        self.get(field).and_then(Value::as_str)
    }

    pub fn bool(&self, field: &str) -> Option<bool> {
        self.get(field).and_then(Value::as_bool)
    }

    /// A size, if it is there.
    pub fn size_or_none(&self, field: &str) -> Result<Option<u64>, ImportError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => value
                .as_u64()
                .filter(|size| (1..=limits::LARGEST).contains(size))
                .map(Some)
                .ok_or_else(|| {
                    let most = limits::LARGEST;
                    self.fault(field, format!("is {value}, must be a number in 1..={most}"))
                }),
        }
    }

    /// A size.
    pub fn size(&self, field: &str) -> Result<u64, ImportError> {
        self.size_or_none(field)?
            .ok_or_else(|| self.fault(field, "is missing"))
    }

    /// A positive number, if it is there.
    pub fn number_or_none(&self, field: &str) -> Result<Option<f64>, ImportError> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .filter(|number| number.is_finite() && *number > 0.0)
                .map(Some)
                .ok_or_else(|| self.fault(field, format!("is {value}, must be a positive number"))),
        }
    }

    /// A positive number.
    pub fn number(&self, field: &str) -> Result<f64, ImportError> {
        self.number_or_none(field)?
            .ok_or_else(|| self.fault(field, "is missing"))
    }

    /// Refuses a field that is there and not `wanted`.
    pub fn must_be(&self, field: &str, wanted: &Value, why: &str) -> Result<(), ImportError> {
        match self.get(field) {
            Some(found) if found != wanted => Err(self.fault(
                field,
                format!("is {found} where only {wanted} is supported: {why}"),
            )),
            _ => Ok(()),
        }
    }
}
