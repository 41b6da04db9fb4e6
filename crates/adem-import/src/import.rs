//! Sources to a package.

mod check;
mod copy;
mod draft;
mod origin;
mod parts;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use adem_data::image::Normalisation;
use adem_package::quant::{Method, ScaleType, Scheme, matches};
use adem_package::{Found, StreamOptions, StreamTensor, StreamWriter, limits};

use crate::dtype::Dtype;
use crate::error::ImportError;
use crate::report::{ImportReport, SourceReport};
use crate::resolve::Resolved;
use crate::source::Source;
pub use check::check;
use copy::Copy;
use draft::draft;
use origin::origin;
use parts::Parts;

/// How weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// Floats as floats, and blocks as blocks: a package's, and GGUF's Q4_0 and Q8_0, bit by bit, Q4_K
    /// as q4 and Q6_K as q8.
    #[default]
    AsFound,
    /// All of them as floats.
    Float,
    /// In four or eight bits, those that [`Kept`](adem_package::quant::Kept) does not name.
    Quantised(Scheme),
}

/// Numbers of the fusion that are in no tensor; those left out are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FusionNumbers {
    /// Weight of the fusion's output; 0.1 in the paper.
    pub alpha: Option<f64>,
    /// Scale of the visual features; 0.01 in the paper.
    pub beta: Option<f64>,
    /// Share of the visual tokens that are dropped, in [0, 1); 0.1 in the paper.
    pub gamma: Option<f64>,
}

/// What the authors trained a checkpoint of theirs on. It decides what the model is asked and how
/// its pictures are normalised, neither of which a checkpoint says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compat {
    /// COCO captions, CLIP's constants. The prompt ends in a blank, and the model was trained to say
    /// it again: "a picture of a picture of …".
    CocoCaption,
    /// ScienceQA, ImageNet's constants. A question is the whole problem as
    /// `adem_data::tasks::science_qa` writes it, up to `Response:`; the answer begins for the model.
    ScienceQa,
    /// Instructions, ImageNet's constants.
    Instruction,
}

/// How an import is made.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportOptions {
    /// The tokenizer's file, where it is not that of the language model's source.
    pub tokenizer: Option<PathBuf>,
    /// The package's name; otherwise the language model's file or folder.
    pub name: Option<String>,
    /// How weights are stored.
    pub storage: Storage,
    /// Type of the floats; otherwise that of each source, half precision for what was in blocks.
    pub dtype: Option<adem_package::Dtype>,
    /// How scales of quantised weights are chosen.
    pub method: Method,
    /// What the authors trained their checkpoint on, where it is one of theirs.
    pub compat: Option<Compat>,
    /// A picture's normalisation; otherwise that of `compat`, what the vision tower's folder says, or
    /// CLIP's.
    pub normalisation: Option<Normalisation>,
    /// Context window in tokens; otherwise what the language model says.
    pub context: Option<u64>,
    /// Heads of the vision tower, where a file does not say and they are not 64 channels wide.
    pub vision_heads: Option<u64>,
    /// The fusion's numbers, which a checkpoint does not say; otherwise the paper's.
    pub fusion: FusionNumbers,
    /// Unknown tensors to be left out: patterns of whole names, in which `*` stands for any
    /// characters and `?` for one.
    pub ignore: Vec<String>,
    /// Longest shard, bytes.
    pub shard_bytes: u64,
    /// Shards that are made at once; otherwise as many as the processor has cores.
    pub jobs: Option<NonZeroUsize>,
}

impl Default for ImportOptions {
    /// Everything as found, shards of 64 MiB.
    fn default() -> Self {
        Self {
            tokenizer: None,
            name: None,
            storage: Storage::default(),
            dtype: None,
            method: Method::default(),
            compat: None,
            normalisation: None,
            context: None,
            vision_heads: None,
            fusion: FusionNumbers::default(),
            ignore: Vec::new(),
            shard_bytes: limits::SHARD_BYTES,
            jobs: None,
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImportProgress {
    /// Bytes of weights read, those among them whose shards an earlier run has left.
    pub bytes: u64,
    /// Bytes of weights to read.
    pub total_bytes: u64,
    /// Tensors written.
    pub tensors: usize,
    /// Tensors of the package.
    pub total_tensors: usize,
    /// Shards that are complete.
    pub shards: usize,
    /// What an earlier run has left.
    pub found: Found,
}

/// Imports `sources`, files or folders of any known kind, as one package in `folder`, which is made
/// if it is not there.
///
/// Each part of the model comes from one source: the language model, the vision tower, the
/// adapters. A package is a source too, of the parts it has, so that they can be added one at a
/// time. Everything is checked by name and shape before a weight is read; then weights are mapped
/// and converted a few megabytes at a time, several shards at once. A package among the sources is
/// read once more before, for its digests. `progress` is called before the
/// first and after each, and `stop` looked at.
///
/// An import that did not come to its end, be it stopped, killed or out of disk space, goes on where
/// it was when it is begun again: shards that are complete are kept in a folder beside the package's
/// ([`StreamWriter`]), as long as sources and options are what they were.
///
/// # Errors
/// [`ImportError`]; the folder's package is as it was. Where [`ImportError::may_pass`], complete shards
/// are kept.
///
/// [`ImportError::may_pass`]: adem_package::StreamError::may_pass
pub fn import(
    sources: &[PathBuf],
    folder: &Path,
    options: &ImportOptions,
    progress: impl FnMut(ImportProgress) + Send,
    stop: &AtomicBool,
) -> Result<ImportReport, ImportError> {
    let mut opened = Vec::with_capacity(sources.len());
    for source in sources {
        opened.push(Source::open(source, options.vision_heads)?);
    }
    for source in &opened {
        source.check_digests(stop)?;
    }
    let parts = Parts::of(&opened, options)?;
    let mut left_out = Vec::new();
    let mut resolved = parts.resolve(&opened, options, &mut left_out)?;
    for pattern in &options.ignore {
        if !left_out.iter().any(|it| matches(pattern, &it.tensor)) {
            return Err(ImportError::Sources(format!(
                "--ignore `{pattern}` fits no tensor that is unknown; correct it, or leave it out"
            )));
        }
    }
    resolved.sort_by(|a, b| a.name.cmp(&b.name));
    let tensors: Vec<_> = resolved.iter().map(|it| stored(it, options)).collect();
    let settings = StreamOptions {
        method: method(&opened, options),
        shard_bytes: options.shard_bytes,
        jobs: options.jobs,
        origin: origin(&resolved)?,
    };
    let draft = draft(&parts, options)?;
    let writer = StreamWriter::open(folder, draft, &parts.tokenizer, &tensors, &settings, stop)?;
    let found = writer.found();
    let copy = Copy::new(&resolved, &writer, options.jobs, progress);
    let made = copy.reports(&writer, &tensors);
    let manifest = writer.write(
        |tensor, sink| copy.tensor(tensor, sink),
        |shards| copy.shard_made(shards),
    )?;
    Ok(ImportReport {
        sources: opened.iter().map(described).collect(),
        notes: parts.notes(&opened, &made, options.compat),
        tensors: made,
        left_out,
        bytes_read: copy.bytes_read(),
        bytes_written: manifest.weight_bytes(),
        shards: manifest.shards.len(),
        shards_kept: found.kept,
    })
}

fn described(source: &Source) -> SourceReport {
    SourceReport {
        path: source.path.clone(),
        kind: source.kind.name(),
    }
}

/// The tensor to be written for `resolved`.
fn stored(resolved: &Resolved<'_>, options: &ImportOptions) -> StreamTensor {
    let found = resolved.parts.iter().map(|part| part.entry.dtype);
    let first = resolved.parts.first().map(|part| part.entry.dtype);
    let one = first.filter(|first| found.clone().all(|dtype| dtype == *first));
    let blocks = found.clone().any(Dtype::is_blocks);
    let widest = match blocks {
        true => adem_package::Dtype::F16,
        false => adem_package::Dtype::F32,
    };
    let as_found = one.and_then(Dtype::stored).unwrap_or(widest);
    let scheme = match options.storage {
        Storage::Float => None,
        Storage::Quantised(scheme) => Some(scheme),
        Storage::AsFound => match one {
            Some(Dtype::Q4 | Dtype::Q4_0 | Dtype::Q4K) => Some(Scheme::Q4),
            Some(Dtype::Q8 | Dtype::Q8_0 | Dtype::Q6K) => Some(Scheme::Q8),
            _ => None,
        },
    };
    let entry = resolved.parts.first().map(|part| part.entry);
    let blocks_found = entry.and_then(|it| Some((it.dtype.blocks()?, it.scales.as_ref()?.kind)));
    StreamTensor {
        name: resolved.name.clone(),
        shape: resolved.shape.iter().map(|dim| *dim as usize).collect(),
        dtype: options.dtype.unwrap_or(as_found),
        scheme,
        // Blocks of a package that stay blocks keep their scales.
        scale: match blocks_found {
            Some((blocks, scale)) if Some(blocks) == scheme => scale,
            _ => ScaleType::F16,
        },
    }
}

/// How scales are chosen; where nothing is quantised anew, how those of a package were.
fn method(sources: &[Source], options: &ImportOptions) -> Method {
    let manifests = sources.iter().filter_map(|it| it.manifest.as_ref());
    let mut found = manifests.filter_map(|it| it.quantisation.as_ref());
    match (options.storage, found.next()) {
        (Storage::AsFound, Some(quantisation)) => quantisation.method,
        _ => options.method,
    }
}
