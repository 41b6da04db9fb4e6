//! A file of named tensors, whatever its format.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::time::SystemTime;

use adem_package::quant::QuantTensor;
use serde::Serialize;

use crate::dtype::Dtype;
use crate::error::ImportError;
use crate::input::{Input, Window};
use crate::quantised::{self, Scales};
use crate::{gguf, limits, llama2c, pytorch, safetensors};

/// Format of a checkpoint file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Hugging Face's safetensors.
    Safetensors,
    /// PyTorch's `torch.save`, zipped or older.
    PyTorch,
    /// llama.cpp's GGUF.
    Gguf,
    /// llama2.c's `export.py`, version 0.
    Llama2c,
}

impl Format {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::PyTorch => "PyTorch",
            Self::Gguf => "GGUF",
            Self::Llama2c => "llama2.c",
        }
    }
}

/// Where one tensor lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name in the file; containers of a pickle are joined with dots.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<u64>,
    /// Bytes of the file, within it.
    pub span: Range<u64>,
    /// Its elements lie row after row. PyTorch can save a tensor as a view of others, transposed
    /// for instance; such a one is listed and not read.
    pub contiguous: bool,
    /// Its scales, where it is a quantised weight of a package and `span` is that of its codes.
    pub scales: Option<Scales>,
}

impl Entry {
    /// An entry whose values begin at byte `start` of `input`, row after row.
    pub(crate) fn new(
        input: &Input,
        name: String,
        dtype: Dtype,
        shape: Vec<u64>,
        start: u64,
    ) -> Result<Self, ImportError> {
        let fault = |reason: String| Err(ImportError::tensor(input.name(), &name, reason));
        if name.is_empty() || name.len() > limits::NAME_BYTES || name.contains(char::is_control) {
            return fault("has a name that is empty, too long or not printable".to_owned());
        }
        if shape.len() > limits::RANK {
            let (found, most) = (shape.len(), limits::RANK);
            return fault(format!("has {found} dimensions, at most {most} are read"));
        }
        let bytes = shape
            .iter()
            .try_fold(1u64, |n, &dim| n.checked_mul(dim))
            .and_then(|elements| dtype.bytes(elements));
        let Some(bytes) = bytes else {
            return fault(format!(
                "shape {shape:?} is no number of {} blocks",
                dtype.name()
            ));
        };
        // A quantised row is a whole number of blocks: rows can be read alone.
        let (block, _) = dtype.block();
        if shape
            .last()
            .is_some_and(|&cols| !cols.is_multiple_of(block))
        {
            return fault(format!(
                "rows of shape {shape:?} are no whole {}",
                dtype.name()
            ));
        }
        match start
            .checked_add(bytes)
            .filter(|&end| end <= input.length())
        {
            Some(end) => Ok(Self {
                name,
                dtype,
                shape,
                span: start..end,
                contiguous: true,
                scales: None,
            }),
            None => fault(format!(
                "its {bytes} bytes from {start} on go beyond the file's {}; copy the file again",
                input.length()
            )),
        }
    }

    /// Rows, which can be read alone: the length of the outermost dimension; 1 where there is no
    /// other.
    pub fn rows(&self) -> u64 {
        match self.shape.as_slice() {
            [rows, _, ..] => *rows,
            _ => 1,
        }
    }

    /// Elements in all.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |n, dim| n.saturating_mul(*dim))
    }

    /// Bytes of its values, and of their scales.
    pub fn bytes(&self) -> u64 {
        let scales = self.scales.as_ref();
        let scales = scales.map_or(0, |it| it.span.end - it.span.start);
        self.span.end - self.span.start + scales
    }
}

/// What a file says beside its tensors.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Metadata {
    /// Nothing.
    #[default]
    None,
    /// Safetensors' `__metadata__`, in the order of the file.
    Texts(Vec<(String, String)>),
    /// GGUF's keys and values.
    Gguf(gguf::Metadata),
    /// llama2.c's header.
    Llama2c(llama2c::Header),
}

/// A checkpoint file: its tensors are known, their values still where they were.
pub struct TensorFile {
    input: Input,
    format: Format,
    entries: Vec<Entry>,
    metadata: Metadata,
}

impl TensorFile {
    /// Opens a file and reads its header; the format is told by its first bytes.
    ///
    /// # Errors
    /// [`ImportError`]: unreadable, of no known format, damaged, or a tensor is impossible.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        Self::parse(Input::open(path)?)
    }

    /// [`open`](Self::open), for bytes that need not be a file.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn parse(input: Input) -> Result<Self, ImportError> {
        let format = detect(&input)?;
        let (entries, metadata) = match format {
            Format::Safetensors => safetensors::parse(&input)?,
            Format::PyTorch => (pytorch::parse(&input)?, Metadata::None),
            Format::Gguf => gguf::parse(&input)?,
            Format::Llama2c => llama2c::parse(&input)?,
        };
        let mut names = HashSet::new();
        for entry in &entries {
            if !names.insert(entry.name.as_str()) {
                return Err(ImportError::tensor(
                    input.name(),
                    &entry.name,
                    "is there twice",
                ));
            }
        }
        Ok(Self {
            input,
            format,
            entries,
            metadata,
        })
    }

    /// The file's path, for messages.
    pub fn name(&self) -> &str {
        self.input.name()
    }

    /// Length of the file, bytes.
    pub fn length(&self) -> u64 {
        self.input.length()
    }

    /// Its format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Its tensors, in the order of the file's header. No two have one name.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What it says beside them.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Puts the codes and scales of these weights together, where they are in this file, and returns
    /// how many there were.
    pub(crate) fn join_quantised(&mut self, weights: &[QuantTensor]) -> Result<usize, ImportError> {
        let mut all = Vec::new();
        let mut parts = HashSet::new();
        for weight in weights {
            if let Some(entry) = quantised::joined(self.input.name(), &self.entries, weight)? {
                parts.extend(weight.stored_names());
                all.push(entry);
            }
        }
        let joined = all.len();
        self.entries.retain(|entry| !parts.contains(&entry.name));
        self.entries.extend(all);
        Ok(joined)
    }

    /// When the file was last changed, where that is known.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        self.input.modified()
    }

    /// The bytes of the rows `rows` of `entry`, one of this file's: the outermost indices. They are
    /// where they were, mapped; nothing is copied.
    ///
    /// # Errors
    /// [`ImportError::Tensor`] for rows that are not there and for a tensor that does not lie row
    /// after row; [`ImportError::Io`].
    pub fn rows(&self, entry: &Entry, rows: Range<u64>) -> Result<Window<'_>, ImportError> {
        self.part(entry, &entry.span, rows)
    }

    /// The bytes of the scales of these rows of a package's quantised weight.
    pub(crate) fn scales(
        &self,
        entry: &Entry,
        scales: &Scales,
        rows: Range<u64>,
    ) -> Result<Window<'_>, ImportError> {
        self.part(entry, &scales.span, rows)
    }

    /// The bytes of `span` that belong to these rows.
    fn part(
        &self,
        entry: &Entry,
        span: &Range<u64>,
        rows: Range<u64>,
    ) -> Result<Window<'_>, ImportError> {
        let fault = |reason: &str| ImportError::tensor(self.name(), &entry.name, reason);
        if !entry.contiguous {
            return Err(fault(
                "is a view whose elements do not lie row after row; save it with `.contiguous()`",
            ));
        }
        let all = entry.rows();
        if rows.start > rows.end || rows.end > all {
            return Err(fault("has fewer rows than were asked for"));
        }
        // `rows.end <= all` and a row is a whole number of bytes.
        let row = (span.end - span.start) / all.max(1);
        let start = span.start;
        self.input
            .map(start + rows.start * row..start + rows.end * row)
    }
}

/// Tells the format of a file by its first bytes.
fn detect(input: &Input) -> Result<Format, ImportError> {
    let first = input.first(16)?;
    let unknown = |reason: &str| ImportError::Unknown {
        file: input.name().to_owned(),
        reason: reason.to_owned(),
    };
    if first.is_empty() {
        return Err(unknown("it is empty"));
    }
    if first.starts_with(b"GGUF") {
        return Ok(Format::Gguf);
    }
    for (magic, what) in [
        (&b"ggml"[..], "an old GGML file; convert it to GGUF"),
        (b"lmgg", "an old GGML file; convert it to GGUF"),
        (b"fmgg", "an old GGML file; convert it to GGUF"),
        (b"tjgg", "an old GGML file; convert it to GGUF"),
        (b"FUGG", "a big-endian GGUF file"),
        (
            b"version https://",
            "a Git LFS pointer, not the file itself; run `git lfs pull`",
        ),
        (
            b"<!DOCTYPE",
            "a web page, not the file itself; download it again",
        ),
        (b"\x1f\x8b", "a gzip archive; unpack it first"),
    ] {
        if first.starts_with(magic) {
            return Err(unknown(what));
        }
    }
    if first.starts_with(b"PK") || pytorch::is_legacy(&first) {
        return Ok(Format::PyTorch);
    }
    if first.get(8) == Some(&b'{') {
        return Ok(Format::Safetensors);
    }
    if llama2c::Header::of(&first, input)?.is_some() {
        return Ok(Format::Llama2c);
    }
    Err(unknown("its first bytes are none of theirs"))
}
