//! What is in a file or folder.

use std::path::Path;

use adem_package::{MANIFEST_FILE, Manifest};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::config::ModelConfig;
use crate::error::ImportError;
use crate::gguf;
use crate::input::Input;
use crate::source::Source;
use crate::tensors::{Format, Metadata, TensorFile};

/// Longest list of a GGUF file's metadata that is shown.
const SHOWN: usize = 8;

/// What is in a file or folder.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// Its path.
    pub path: String,
    /// What it would be imported as; or why it would not.
    pub kind: String,
    /// The model's configuration, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<ModelConfig>,
    /// A package's manifest: provenance, prompts, tokens, quantisation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// The checkpoint files.
    pub files: Vec<FileInspection>,
}

/// One checkpoint file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileInspection {
    /// Its path.
    pub file: String,
    /// Its format.
    pub format: Format,
    /// Its length.
    pub bytes: u64,
    /// What it says beside its tensors.
    pub metadata: Map<String, Value>,
    /// Its tensors, in the order of the file.
    pub tensors: Vec<TensorInspection>,
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorInspection {
    /// Its name.
    pub name: String,
    /// Its type, as tables have it.
    pub dtype: &'static str,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Bytes of its values.
    pub bytes: u64,
}

/// Lists what is in a checkpoint file, a folder of them or a package. No weight is read.
///
/// # Errors
/// [`ImportError`], where not even the headers can be read.
pub fn inspect(path: &Path) -> Result<Inspection, ImportError> {
    if path.is_dir() && path.join(MANIFEST_FILE).exists() {
        return package(path);
    }
    match Source::open(path, None) {
        Ok(source) => Ok(Inspection {
            path: path.display().to_string(),
            kind: source.kind.name().to_owned(),
            config: config(&source),
            manifest: None,
            files: source.files.iter().map(file).collect(),
        }),
        // What is not imported can be looked at all the same.
        Err(refused) if path.is_file() => {
            let Ok(opened) = TensorFile::open(path) else {
                return Err(refused);
            };
            Ok(Inspection {
                path: path.display().to_string(),
                kind: format!("not imported: {refused}"),
                config: None,
                manifest: None,
                files: vec![file(&opened)],
            })
        }
        Err(refused) => Err(refused),
    }
}

fn config(source: &Source) -> Option<ModelConfig> {
    let config = ModelConfig {
        llama: source.llama.as_ref().map(|it| it.0.clone()),
        clip: source.clip.as_ref().map(|it| it.0.clone()),
        adem: source
            .adapters
            .as_ref()
            .map(|it| it.config.clone())
            .unwrap_or_default(),
    };
    let any = source.llama.is_some() || source.clip.is_some() || source.adapters.is_some();
    any.then_some(config)
}

fn package(folder: &Path) -> Result<Inspection, ImportError> {
    let input = Input::open(&folder.join(MANIFEST_FILE))?;
    let bytes = input.whole("manifest", adem_package::limits::MANIFEST_BYTES)?;
    let manifest = Manifest::parse(&bytes)?;
    let shards = manifest.shards.iter().map(|shard| {
        let opened = TensorFile::open(&folder.join(&shard.file))?;
        Ok(file(&opened))
    });
    Ok(Inspection {
        path: folder.display().to_string(),
        kind: "package".to_owned(),
        config: serde_json::from_value(manifest.model.clone()).ok(),
        files: shards.collect::<Result<_, ImportError>>()?,
        manifest: Some(manifest),
    })
}

fn file(file: &TensorFile) -> FileInspection {
    FileInspection {
        file: file.name().to_owned(),
        format: file.format(),
        bytes: file.length(),
        metadata: metadata(file.metadata()),
        tensors: file
            .entries()
            .iter()
            .map(|entry| TensorInspection {
                name: entry.name.clone(),
                dtype: entry.dtype.name(),
                shape: entry.shape.clone(),
                bytes: entry.bytes(),
            })
            .collect(),
    }
}

fn metadata(metadata: &Metadata) -> Map<String, Value> {
    match metadata {
        Metadata::None => Map::new(),
        Metadata::Texts(texts) => texts
            .iter()
            .map(|(key, text)| (key.clone(), json!(text)))
            .collect(),
        Metadata::Gguf(fields) => fields
            .iter()
            .map(|(key, value)| (key.to_owned(), shown(value)))
            .collect(),
        Metadata::Llama2c(header) => [
            ("dim", header.dim),
            ("hidden_dim", header.hidden_dim),
            ("n_layers", header.n_layers),
            ("n_heads", header.n_heads),
            ("n_kv_heads", header.n_kv_heads),
            ("vocab_size", header.vocab_size),
            ("seq_len", header.seq_len),
        ]
        .into_iter()
        .map(|(key, size)| (key.to_owned(), json!(size)))
        .collect(),
    }
}

/// A value, long lists as their beginning and length.
fn shown(value: &gguf::Value) -> Value {
    let list = |items: Vec<Value>, length: usize| match length <= SHOWN {
        true => Value::Array(items),
        false => json!({"first": items, "length": length}),
    };
    match value {
        gguf::Value::Int(it) => json!(it),
        gguf::Value::Float(it) => json!(it),
        gguf::Value::Bool(it) => json!(it),
        gguf::Value::Text(it) => json!(it),
        gguf::Value::Texts(all) => list(
            all.iter().take(SHOWN).map(|it| json!(it)).collect(),
            all.len(),
        ),
        gguf::Value::Numbers(all) => list(
            all.iter().take(SHOWN).map(|it| json!(it)).collect(),
            all.len(),
        ),
        gguf::Value::Nested(length) => json!({"length": length}),
    }
}
