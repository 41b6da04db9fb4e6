//! Weights that are given: safetensors files, read tensor by tensor.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use adem_model::{RandomInit, SourceError, TensorSource};
use burn::tensor::{DType, TensorData};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use crate::checkpoint::Tensors;
use crate::error::TrainError;

/// Longest header that is believed, bytes.
const HEADER_BYTES: u64 = 100 << 20;
/// Bytes of each of the places in a file that its fingerprint looks at.
const WINDOW: u64 = 4096;
/// How many places that are.
const WINDOWS: u64 = 64;

/// Where a tensor lies.
#[derive(Debug, Clone)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    /// Bytes of the file.
    start: u64,
    end: u64,
}

/// The tensors of safetensors files, under the names of this project's checkpoints. Only the tensor
/// at hand is ever in memory.
#[derive(Debug)]
pub struct WeightFiles {
    files: Vec<(PathBuf, File)>,
    entries: BTreeMap<String, Entry>,
    fingerprint: u64,
}

impl WeightFiles {
    /// Opens files, and all `*.safetensors` of folders (a package is one), and reads their headers.
    ///
    /// # Errors
    /// [`TrainError::File`] for a file that is missing, damaged or holds a tensor another one holds
    /// too.
    pub fn open(paths: &[PathBuf]) -> Result<Self, TrainError> {
        let mut all = Self {
            files: Vec::new(),
            entries: BTreeMap::new(),
            fingerprint: 0xcbf2_9ce4_8422_2325,
        };
        for path in paths {
            if path.is_dir() {
                let listed = fs::read_dir(path).map_err(|e| TrainError::file(path, e))?;
                let mut inside: Vec<PathBuf> = listed.flatten().map(|e| e.path()).collect();
                inside.retain(|p| p.extension().is_some_and(|e| e == "safetensors"));
                inside.sort();
                if inside.is_empty() {
                    return Err(TrainError::file(path, "holds no .safetensors file"));
                }
                for path in inside {
                    all.add(&path)?;
                }
            } else {
                all.add(path)?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, path: &Path) -> Result<(), TrainError> {
        let fail = |e: String| TrainError::file(path, e);
        let mut file = File::open(path).map_err(|e| TrainError::file(path, e))?;
        let length = file
            .metadata()
            .map_err(|e| TrainError::file(path, e))?
            .len();
        let mut first = [0; 8];
        file.read_exact(&mut first)
            .map_err(|_| fail("is too short for a safetensors file".to_owned()))?;
        let header = u64::from_le_bytes(first);
        if header > HEADER_BYTES || header > length.saturating_sub(8) {
            return Err(fail(format!(
                "is not a safetensors file: it says its header has {header} bytes"
            )));
        }
        let mut bytes = first.to_vec();
        (&mut file)
            .take(header)
            .read_to_end(&mut bytes)
            .map_err(|e| TrainError::file(path, e))?;
        let (_, json) = bytes.split_at(first.len());
        let metadata: Metadata = serde_json::from_slice(json).map_err(|e| fail(e.to_string()))?;
        self.digest(&bytes);
        self.digest(&length.to_le_bytes());
        for window in 0..WINDOWS {
            let at = (length.saturating_sub(WINDOW) / WINDOWS) * window;
            let mut part = Vec::new();
            file.seek(SeekFrom::Start(at))
                .and_then(|_| (&mut file).take(WINDOW).read_to_end(&mut part))
                .map_err(|e| TrainError::file(path, e))?;
            self.digest(&part);
        }
        for (name, info) in metadata.tensors() {
            let (start, end) = info.data_offsets;
            let entry = Entry {
                file: self.files.len(),
                dtype: info.dtype,
                shape: info.shape.clone(),
                start: 8 + header + start as u64,
                end: 8 + header + end as u64,
            };
            if entry.end > length {
                return Err(fail(format!("tensor `{name}` lies beyond the file's end")));
            }
            if let Some(other) = self.entries.insert(name.clone(), entry) {
                let other = self.files.get(other.file).map_or(path, |f| &f.0);
                return Err(fail(format!(
                    "tensor `{name}` is in {} too; give each tensor once",
                    other.display()
                )));
            }
        }
        self.files.push((path.to_owned(), file));
        Ok(())
    }

    /// FNV-1a over headers, lengths and places in the files: other weights, another number.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn digest(&mut self, bytes: &[u8]) {
        self.fingerprint = bytes.iter().fold(self.fingerprint, |h, b| {
            (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    }

    /// Whether a tensor of this name is there.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn read(&mut self, entry: &Entry) -> Result<Vec<f32>, String> {
        let (path, file) = self
            .files
            .get_mut(entry.file)
            .ok_or_else(|| "its file is gone".to_owned())?;
        let fail = |e: std::io::Error| format!("{}: {e}", path.display());
        let mut bytes = vec![0; (entry.end - entry.start) as usize];
        file.seek(SeekFrom::Start(entry.start)).map_err(fail)?;
        file.read_exact(&mut bytes).map_err(fail)?;
        let pairs = || bytes.as_chunks::<2>().0.iter();
        match entry.dtype {
            Dtype::F32 => Ok(bytes
                .as_chunks::<4>()
                .0
                .iter()
                .map(|b| f32::from_le_bytes(*b))
                .collect()),
            Dtype::F16 => Ok(pairs().map(|b| f16::from_le_bytes(*b).to_f32()).collect()),
            Dtype::BF16 => Ok(pairs().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()),
            other => Err(format!("{other:?} is not a float that is known here")),
        }
    }
}

impl TensorSource for WeightFiles {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let Some(entry) = self.entries.get(name).cloned() else {
            let files: Vec<String> = self
                .files
                .iter()
                .map(|f| f.0.display().to_string())
                .collect();
            return Err(SourceError::Missing {
                name: name.to_owned(),
                origin: files.join(", "),
            });
        };
        if entry.shape != shape {
            return Err(SourceError::Shape {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: entry.shape,
            });
        }
        let values = self
            .read(&entry)
            .map_err(|message| SourceError::Unreadable {
                name: name.to_owned(),
                message,
            })?;
        Ok(TensorData::new(values, shape.to_vec()))
    }
}

/// Weights a stage starts from: the first of several sources that holds a tensor gives it; what may
/// be random is drawn where none does.
pub(crate) struct Layers<'a> {
    /// In order of precedence.
    pub trained: Vec<Tensors>,
    /// Files.
    pub files: Option<&'a mut WeightFiles>,
    /// Draws what nobody has.
    pub random: RandomInit,
    /// Which tensors may be drawn.
    pub may_draw: fn(&str) -> bool,
}

impl TensorSource for Layers<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        if let Some(tensors) = self.trained.iter_mut().find(|t| t.map.contains_key(name)) {
            return tensors.tensor(name, shape);
        }
        match &mut self.files {
            Some(files) if files.contains(name) => files.tensor(name, shape),
            _ if (self.may_draw)(name) => self.random.tensor(name, shape),
            Some(files) => files.tensor(name, shape),
            None => Err(SourceError::Missing {
                name: name.to_owned(),
                origin: "the config, which names no `weights`".to_owned(),
            }),
        }
    }
}

/// The element type of frozen matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    F32,
    /// Brain floating point: the exponent of `f32`, 8 bits of mantissa.
    #[default]
    Bf16,
    /// Half precision: more mantissa, but values beyond 65504 overflow.
    F16,
}

impl Precision {
    /// Burn's name for it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// Bytes of an element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }
}
