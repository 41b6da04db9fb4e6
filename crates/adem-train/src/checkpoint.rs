//! What a stage saves: its weights, the optimiser's moments and the step.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use adem_model::{SourceError, TensorSource};
use burn::tensor::{DType, TensorData};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::differences::differences;
use crate::error::TrainError;
use crate::optimiser::Moments;
use crate::stage::Quality;

/// Tensors by name, `f32`, on the host. Models can be built from it.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    /// By checkpoint name.
    pub map: BTreeMap<String, TensorData>,
    /// Where they came from, for messages.
    pub origin: String,
}

impl TensorSource for Tensors {
    fn tensor(&mut self, name: &str, _: &[usize]) -> Result<TensorData, SourceError> {
        self.map
            .get(name)
            .cloned()
            .ok_or_else(|| SourceError::Missing {
                name: name.to_owned(),
                origin: self.origin.clone(),
            })
    }
}

/// How good a stage's model was on data that is not trained on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// At the last look.
    pub last: Quality,
    /// The best of each so far, not necessarily of one model.
    pub best: Quality,
}

/// State of a stage after `step` steps.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Identifies the run's settings; another run's checkpoint is refused.
    pub settings: String,
    /// Batches left out because their loss was not finite.
    pub skipped: u64,
    /// Place in the data, where the step alone does not say it.
    pub place: Option<String>,
    /// How good the model was on other data.
    pub validation: Option<Validation>,
    /// What a package of these weights says, where they can be packed.
    pub package: Option<String>,
    /// Parameters by name.
    pub weights: Tensors,
    /// The optimiser's moments by parameter name.
    pub moments: BTreeMap<String, Moments>,
}

const FIRST: &str = "optimiser.first.";
const SECOND: &str = "optimiser.second.";

impl Checkpoint {
    /// Writes the checkpoint: to a temporary name, synced, then renamed, so that the last good one
    /// is never damaged.
    ///
    /// # Errors
    /// [`TrainError::File`] when the disk refuses.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let mut entries: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut push = |name: String, data: &TensorData| -> Result<(), TrainError> {
            let values = data
                .as_slice::<f32>()
                .map_err(|e| TrainError::Read(format!("{name}: {e:?}")))?;
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            entries.push((name, data.shape().to_vec(), bytes));
            Ok(())
        };
        for (name, data) in &self.weights.map {
            push(name.clone(), data)?;
        }
        let mut times = BTreeMap::new();
        for (name, moments) in &self.moments {
            push(format!("{FIRST}{name}"), &moments.first)?;
            push(format!("{SECOND}{name}"), &moments.second)?;
            times.insert(name, moments.time);
        }
        let times = serde_json::to_string(&times).map_err(|e| TrainError::file(path, e))?;
        let mut metadata = std::collections::HashMap::from([
            ("step".to_owned(), self.step.to_string()),
            ("settings".to_owned(), self.settings.clone()),
            ("times".to_owned(), times),
        ]);
        if self.skipped > 0 {
            metadata.insert("skipped".to_owned(), self.skipped.to_string());
        }
        if let Some(place) = &self.place {
            metadata.insert("place".to_owned(), place.clone());
        }
        if let Some(validation) = &self.validation {
            let text = serde_json::to_string(validation).map_err(|e| TrainError::file(path, e))?;
            metadata.insert("validation".to_owned(), text);
        }
        if let Some(package) = &self.package {
            metadata.insert("package".to_owned(), package.clone());
        }
        let mut views = Vec::with_capacity(entries.len());
        for (name, shape, bytes) in &entries {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes)
                .map_err(|e| TrainError::file(path, e))?;
            views.push((name.clone(), view));
        }
        let bytes =
            safetensors::serialize(views, Some(metadata)).map_err(|e| TrainError::file(path, e))?;
        write_atomically(path, &bytes)
    }

    /// Reads a checkpoint; `None` where there is none.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it is damaged or was made with other `settings`.
    pub fn load(path: &Path, settings: &str) -> Result<Option<Self>, TrainError> {
        match Self::read(path)? {
            Some(found) if found.settings != settings => Err(TrainError::Checkpoint {
                path: path.into(),
                message: format!(
                    "was made with other settings ({})",
                    differences(&found.settings, settings)
                ),
            }),
            found => Ok(found),
        }
    }

    /// Reads a checkpoint, whatever it was made with; `None` where there is none.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] when it is damaged.
    pub fn read(path: &Path) -> Result<Option<Self>, TrainError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TrainError::file(path, error)),
        };
        let damaged = |message: String| TrainError::Checkpoint {
            path: path.into(),
            message,
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let field = |key: &str| {
            metadata
                .get(key)
                .cloned()
                .ok_or_else(|| damaged(format!("has no `{key}`")))
        };
        let settings = field("settings")?;
        let step = field("step")?
            .parse()
            .map_err(|_| damaged("has no step number".to_owned()))?;
        let skipped = match metadata.get("skipped") {
            None => 0,
            Some(n) => n
                .parse()
                .map_err(|_| damaged("`skipped` is not a number".to_owned()))?,
        };
        let validation = match metadata.get("validation") {
            None => None,
            Some(text) => serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?,
        };
        let times: BTreeMap<String, usize> =
            serde_json::from_str(&field("times")?).map_err(|e| damaged(e.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(e.to_string()))?;
        let mut all = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(damaged(format!("tensor `{name}` is not F32")));
            }
            let values: Vec<f32> = view
                .data()
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect();
            all.insert(name, TensorData::new(values, view.shape().to_vec()));
        }
        let mut moments = BTreeMap::new();
        for (name, time) in times {
            let first = all.remove(&format!("{FIRST}{name}"));
            let second = all.remove(&format!("{SECOND}{name}"));
            let (Some(first), Some(second)) = (first, second) else {
                return Err(damaged(format!("moments of `{name}` are missing")));
            };
            moments.insert(
                name,
                Moments {
                    time,
                    first,
                    second,
                },
            );
        }
        let weights = Tensors {
            map: all,
            origin: path.display().to_string(),
        };
        debug_assert!(weights.map.values().all(|d| d.dtype() == DType::F32));
        Ok(Some(Self {
            step,
            settings,
            skipped,
            place: metadata.get("place").cloned(),
            validation,
            package: metadata.get("package").cloned(),
            weights,
            moments,
        }))
    }
}

/// Writes `bytes` to `path` by way of a temporary file beside it.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let mut temporary = PathBuf::from(path);
    temporary.as_mut_os_string().push(".part");
    let fail = |e: std::io::Error| TrainError::file(path, e);
    let mut file = File::create(&temporary).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.sync_all().map_err(fail)?;
    drop(file);
    fs::rename(&temporary, path).map_err(fail)
}
