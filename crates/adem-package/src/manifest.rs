//! The manifest, `adem.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::Digest;
use crate::error::PackageError;
use crate::quant::Quantisation;
use crate::{json, limits};

/// The manifest's file name.
pub const MANIFEST_FILE: &str = "adem.json";
/// The tokenizer's usual file name.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The format version this build reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// What a package says of itself. One obtained from [`Manifest::parse`] or
/// [`Package`](crate::Package) is valid in every field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the package format: [`FORMAT_VERSION`].
    pub format: u32,
    /// The model's name, one line.
    pub name: String,
    /// The model's configuration, a JSON object; the model crate gives it its meaning.
    pub model: Value,
    /// How a picture becomes the vision encoder's input.
    pub image: ImageSpec,
    /// The texts around the picture, the question and the answer.
    pub prompts: Prompts,
    /// What the model was trained for; at least one task, none twice.
    pub tasks: Vec<Task>,
    /// Tokens after which an answer ends whether or not the model ended it; 1 to 4096.
    pub max_new_tokens: u32,
    /// Which weights are quantised; null in a float package.
    pub quantisation: Option<Quantisation>,
    /// Where the weights come from.
    pub provenance: Provenance,
    /// The tokenizer file and its special tokens.
    pub tokenizer: TokenizerEntry,
    /// The weight files, in order of their names.
    pub shards: Vec<ShardEntry>,
    /// Number of tensors in all shards together, as stored: a quantised weight is two.
    pub tensors: u64,
}

/// Size and normalisation of the vision encoder's input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Edge of the square input, pixels; 1 to 4096.
    pub size: u32,
    /// Mean subtracted from each channel (red, green, blue), pixel values in 0 to 1.
    pub mean: [f32; 3],
    /// Deviation each channel is divided by; positive.
    pub std: [f32; 3],
}

/// The texts a prompt is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// Goes before everything where there is a picture, e.g. `"Image: "`.
    pub image_prefix: String,
    /// Goes before everything where there is none, e.g. `"Image: N/A"`.
    pub no_image_prefix: String,
    /// Asks for a caption.
    pub caption: String,
    /// Asks a question; holds `{question}` exactly once.
    pub question: String,
}

/// What a model can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Describe a picture.
    Caption,
    /// Answer a question about a picture.
    Question,
}

/// Where the weights come from, for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// When the weights were made.
    pub created: String,
    /// How: recipe, code, hardware.
    pub training: String,
    /// On what.
    pub data: String,
    /// Under which licence they may be used.
    pub licence: String,
    /// Anything else worth saying.
    #[serde(flatten)]
    pub more: BTreeMap<String, String>,
}

/// The tokenizer's file and the ids of its special tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerEntry {
    /// File name, usually [`TOKENIZER_FILE`].
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// Digest of the file.
    pub sha256: Digest,
    /// Id that begins a sequence.
    pub bos: u32,
    /// Id that ends an answer.
    pub eos: u32,
    /// Id that fills the left of shorter sequences in a batch.
    pub pad: u32,
}

/// Ids of a tokenizer's special tokens, for writing a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenIds {
    /// Id that begins a sequence.
    pub bos: u32,
    /// Id that ends an answer.
    pub eos: u32,
    /// Id that fills the left of shorter sequences in a batch.
    pub pad: u32,
}

/// One weight file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardEntry {
    /// File name.
    pub file: String,
    /// Length of the file.
    pub bytes: u64,
    /// Digest of the file.
    pub sha256: Digest,
    /// Names of the tensors in the file; no more, no fewer.
    pub tensors: Vec<String>,
}

impl Manifest {
    /// Refuses a package that cannot be quantised because it is already.
    ///
    /// # Errors
    /// [`PackageError::Quantised`].
    pub fn check_float(&self) -> Result<(), PackageError> {
        let mut tensors = self.quantisation.iter().flat_map(|it| &it.tensors);
        match tensors.next() {
            None => Ok(()),
            Some(tensor) => Err(PackageError::Quantised {
                scheme: tensor.scheme.name(),
            }),
        }
    }

    /// Parses and validates the bytes of a manifest.
    ///
    /// # Errors
    /// [`PackageError::TooLarge`], [`NotAManifest`](PackageError::NotAManifest),
    /// [`Version`](PackageError::Version), [`Duplicate`](PackageError::Duplicate), or
    /// [`Field`](PackageError::Field) with the path of the field.
    pub fn parse(bytes: &[u8]) -> Result<Self, PackageError> {
        crate::package::within(MANIFEST_FILE, bytes.len() as u64, limits::MANIFEST_BYTES)?;
        let not_a_manifest = |reason: String| PackageError::NotAManifest {
            file: MANIFEST_FILE,
            reason,
        };
        // The version first: another one may have fields unknown here.
        let value: Value =
            serde_json::from_slice(bytes).map_err(|e| not_a_manifest(e.to_string()))?;
        let format = value
            .get("format")
            .ok_or_else(|| not_a_manifest("it has no field `format`".to_owned()))?;
        if *format != FORMAT_VERSION {
            return Err(PackageError::Version {
                found: crate::validate::excerpt(format),
            });
        }
        // From the bytes again: a field given twice is gone from the value.
        let manifest: Self = json::parse(bytes).map_err(|misfit| PackageError::Field {
            field: misfit.path,
            reason: misfit.reason,
        })?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The manifest as its file holds it. The same manifest gives the same bytes.
    ///
    /// # Errors
    /// Those of [`Manifest::parse`] where the manifest is not valid.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PackageError> {
        self.validate()?;
        let mut canonical = self.clone();
        // Key order otherwise depends on a feature any crate of the build can switch on.
        canonical.model.sort_all_objects();
        let mut bytes =
            serde_json::to_vec_pretty(&canonical).map_err(|e| PackageError::NotAManifest {
                file: MANIFEST_FILE,
                reason: e.to_string(),
            })?;
        bytes.push(b'\n');
        crate::package::within(MANIFEST_FILE, bytes.len() as u64, limits::MANIFEST_BYTES)?;
        Ok(bytes)
    }

    /// Length of all shards together, bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }
}
