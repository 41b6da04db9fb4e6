//! A file or folder given to be imported: what it is and what is in it.

mod folders;

use std::path::Path;
use std::sync::atomic::AtomicBool;

use adem_package::{Folder, Manifest};

use crate::config::{AdemConfig, ClipConfig, LlamaConfig};
use crate::error::ImportError;
use crate::gguf;
use crate::json::Json;
use crate::map::language::{self, Naming};
use crate::map::{Mapping, adapters, vision, vit};
use crate::tensors::{Format, Metadata, TensorFile};
use crate::tokenizer;

pub(crate) use folders::indexed;

/// What a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    LlamaHuggingFace,
    LlamaMeta,
    LlamaGguf,
    Llama2c,
    ClipHuggingFace,
    ClipOpenAi,
    Vit,
    Adapters,
    Package,
    Tokenizer,
}

impl Kind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::LlamaHuggingFace => "LLaMA, Hugging Face",
            Self::LlamaMeta => "LLaMA, Meta",
            Self::LlamaGguf => "LLaMA, GGUF",
            Self::Llama2c => "LLaMA, llama2.c",
            Self::ClipHuggingFace => "CLIP, Hugging Face",
            Self::ClipOpenAi => "CLIP, OpenAI",
            Self::Vit => "ViT, Hugging Face",
            Self::Adapters => "ADEM-VL's adapters",
            Self::Package => "package",
            Self::Tokenizer => "tokenizer",
        }
    }
}

/// ADEM-VL's trained parts.
#[derive(Debug, Clone)]
pub(crate) struct Adapters {
    pub config: AdemConfig,
    /// Before the tensors' names.
    pub prefix: &'static str,
}

/// A source whose headers were read.
pub(crate) struct Source {
    pub path: String,
    pub kind: Kind,
    pub files: Vec<TensorFile>,
    /// Several files have parts of the same tensors.
    pub divided: bool,
    pub llama: Option<(LlamaConfig, Mapping)>,
    pub clip: Option<(ClipConfig, Mapping)>,
    pub adapters: Option<Adapters>,
    /// `tokenizer.json`, or why there is none.
    pub tokenizer: Option<Result<Vec<u8>, ImportError>>,
    /// Ids that begin and end a text and fill rows, as the language model's config has them.
    pub token_ids: [Option<u64>; 3],
    /// Mean and deviation of a picture's channels.
    pub normalisation: Option<[[f32; 3]; 2]>,
    /// Of a package.
    pub manifest: Option<Manifest>,
    pub notes: Vec<String>,
}

impl Source {
    fn new(path: &Path, kind: Kind, files: Vec<TensorFile>) -> Self {
        Self {
            path: path.display().to_string(),
            kind,
            files,
            divided: false,
            llama: None,
            clip: None,
            adapters: None,
            tokenizer: None,
            token_ids: [None; 3],
            normalisation: None,
            manifest: None,
            notes: Vec::new(),
        }
    }

    /// Refuses a package whose files are not those that its manifest was written for.
    pub fn check_digests(&self, stop: &AtomicBool) -> Result<(), ImportError> {
        match &self.manifest {
            Some(manifest) => Ok(Folder::new(&self.path).compare(manifest, stop)?),
            None => Ok(()),
        }
    }

    /// Opens a file or folder. `heads` are the vision tower's, where the files do not say.
    pub fn open(path: &Path, heads: Option<u64>) -> Result<Self, ImportError> {
        if path.is_dir() {
            return folders::open(path, heads);
        }
        if path
            .extension()
            .is_some_and(|end| end == "json" || end == "model")
        {
            let mut source = Self::new(path, Kind::Tokenizer, Vec::new());
            source.tokenizer = Some(Ok(tokenizer::read_tokenizer(path)?));
            return Ok(source);
        }
        Self::of_file(path, TensorFile::open(path)?, heads)
    }

    /// A single checkpoint file; its config may lie beside it.
    fn of_file(path: &Path, file: TensorFile, heads: Option<u64>) -> Result<Self, ImportError> {
        let beside = |name: &str| path.parent().unwrap_or(Path::new(".")).join(name);
        match file.format() {
            Format::Gguf => return Self::gguf(path, file),
            Format::Llama2c => return Self::llama2c(path, file),
            Format::Safetensors | Format::PyTorch => {}
        }
        let has = |name: &str| file.entries().iter().any(|entry| entry.name == name);
        if let Some(prefix) = adapters::prefix(has) {
            return Self::adapters(path, file, prefix);
        }
        for prefix in ["visual.", ""] {
            if has(&format!("{prefix}conv1.weight")) && has(&format!("{prefix}ln_pre.weight")) {
                return Self::openai(path, file, prefix, heads);
            }
        }
        let missing = |name: &str| ImportError::Folder {
            folder: path.display().to_string(),
            reason: format!("its `{name}` is not beside it; give the whole folder"),
        };
        if has("tok_embeddings.weight") {
            let params = Json::find(&beside("params.json"))?;
            return Self::meta(
                path,
                vec![file],
                &params.ok_or_else(|| missing("params.json"))?,
            );
        }
        let hugging_face = [
            "model.embed_tokens.weight",
            "vision_model.pre_layrnorm.weight",
        ];
        if hugging_face.into_iter().any(has) {
            let config = Json::find(&beside("config.json"))?;
            let config = config.ok_or_else(|| missing("config.json"))?;
            return Self::hugging_face(path, vec![file], &config, heads);
        }
        if let Some(prefix) = vit::prefix(has) {
            let config = Json::find(&beside("config.json"))?;
            return Self::vit(path, vec![file], prefix, config.as_ref(), heads);
        }
        Err(ImportError::Unknown {
            file: path.display().to_string(),
            reason:
                "its tensors have the names of no model that is imported; `adem inspect` lists them"
                    .into(),
        })
    }

    fn gguf(path: &Path, file: TensorFile) -> Result<Self, ImportError> {
        let Metadata::Gguf(metadata) = file.metadata() else {
            return Err(ImportError::malformed(
                file.name(),
                "GGUF",
                "it has no metadata",
            ));
        };
        let find = |name: &str| file.entries().iter().find(|entry| entry.name == name);
        let has_output = find("output.weight").is_some();
        let vocab_size = find("token_embd.weight").and_then(|entry| entry.shape.first().copied());
        let factors = match find("rope_freqs.weight") {
            None => None,
            Some(entry) if entry.bytes() > 1 << 20 => {
                let reason = "is too long for one number a pair of channels";
                return Err(ImportError::tensor(file.name(), &entry.name, reason));
            }
            Some(entry) => Some(entry.dtype.decode(&file.rows(entry, 0..entry.rows())?)),
        };
        let config = language::gguf(
            file.name(),
            metadata,
            has_output,
            vocab_size,
            factors.as_deref(),
        )?;
        let tokenizer = tokenizer::of_gguf(file.name(), metadata);
        let mapping = language::mapping(&config, Naming::Gguf);
        let token_ids = ["bos", "eos", "padding"].map(|which| {
            let id = metadata.get(&format!("tokenizer.ggml.{which}_token_id"));
            id.and_then(gguf::Value::as_u64)
        });
        let mut source = Self::new(path, Kind::LlamaGguf, vec![file]);
        source.llama = Some((config, mapping));
        source.token_ids = token_ids;
        source.tokenizer = Some(tokenizer);
        Ok(source)
    }

    fn llama2c(path: &Path, file: TensorFile) -> Result<Self, ImportError> {
        let Metadata::Llama2c(header) = file.metadata() else {
            return Err(ImportError::malformed(
                file.name(),
                "llama2.c",
                "it has no header",
            ));
        };
        let config = language::llama2c(header);
        let mapping = language::mapping(&config, Naming::Meta);
        let mut source = Self::new(path, Kind::Llama2c, vec![file]);
        source.llama = Some((config, mapping));
        Ok(source)
    }

    fn adapters(path: &Path, file: TensorFile, prefix: &'static str) -> Result<Self, ImportError> {
        let config = adapters::config(file.name(), |name| {
            let name = format!("{prefix}{name}");
            let entry = file.entries().iter().find(|entry| entry.name == name);
            entry.map(|entry| entry.shape.clone())
        })?;
        let mut source = Self::new(path, Kind::Adapters, vec![file]);
        source.adapters = Some(Adapters { config, prefix });
        Ok(source)
    }

    fn openai(
        path: &Path,
        file: TensorFile,
        prefix: &str,
        heads: Option<u64>,
    ) -> Result<Self, ImportError> {
        let shape = |name: &str| {
            let name = format!("{prefix}{name}");
            let entry = file.entries().iter().find(|entry| entry.name == name);
            entry.map(|entry| entry.shape.clone())
        };
        let config = vision::openai_config(file.name(), shape, heads)?;
        let mapping = vision::openai(&config, prefix);
        let mut source = Self::new(path, Kind::ClipOpenAi, vec![file]);
        source.clip = Some((config, mapping));
        Ok(source)
    }

    /// Meta's tensors, whole or divided among several files.
    fn meta(path: &Path, files: Vec<TensorFile>, params: &Json) -> Result<Self, ImportError> {
        // Where a tensor is divided, its rows in all files together.
        let rows = |name: &str| {
            let parts = files.iter().flat_map(|file| {
                let entry = file.entries().iter().find(|entry| entry.name == name);
                entry.map(|entry| entry.rows())
            });
            parts.fold(0, u64::saturating_add)
        };
        let output = rows("output.weight");
        // The embedding is divided by columns in the first releases, by rows in later ones.
        let embedding = match params.value().get("vocab_size").and_then(|it| it.as_u64()) {
            Some(size) => size,
            None if output > 0 => output,
            None => rows("tok_embeddings.weight"),
        };
        let found = language::Found {
            vocab_size: embedding,
            ffn_hidden: rows("layers.0.feed_forward.w1.weight"),
            has_output: output > 0,
        };
        if found.vocab_size == 0 || found.ffn_hidden == 0 {
            return Err(ImportError::Folder {
                folder: path.display().to_string(),
                reason: "its files have neither `output.weight` nor Meta's other tensors".into(),
            });
        }
        let config = language::meta(params, found)?;
        let mapping = language::mapping(&config, Naming::Meta);
        let divided = files.len() > 1;
        let mut source = Self::new(path, Kind::LlamaMeta, files);
        source.llama = Some((config, mapping));
        source.divided = divided;
        Ok(source)
    }

    /// A plain ViT, whose config may be absent.
    fn vit(
        path: &Path,
        files: Vec<TensorFile>,
        prefix: &str,
        json: Option<&Json>,
        heads: Option<u64>,
    ) -> Result<Self, ImportError> {
        let shape = |name: &str| {
            let mut entries = files.iter().flat_map(TensorFile::entries);
            let entry = entries.find(|entry| entry.name == name);
            entry.map(|entry| entry.shape.clone())
        };
        let file = path.display().to_string();
        let config = vit::config(&file, prefix, shape, json, heads)?;
        let mapping = vit::mapping(&config, prefix);
        let mut source = Self::new(path, Kind::Vit, files);
        source.clip = Some((config, mapping));
        source.normalisation = Some([[0.5; 3], [0.5; 3]]);
        Ok(source)
    }

    fn hugging_face(
        path: &Path,
        files: Vec<TensorFile>,
        json: &Json,
        heads: Option<u64>,
    ) -> Result<Self, ImportError> {
        match json.str("model_type") {
            Some("clip" | "clip_vision_model") => {
                let config = vision::hugging_face(json)?;
                let mapping = vision::hugging_face_mapping(&config);
                let mut source = Self::new(path, Kind::ClipHuggingFace, files);
                source.clip = Some((config, mapping));
                Ok(source)
            }
            Some("vit") => {
                let has = |name: &str| {
                    let mut entries = files.iter().flat_map(TensorFile::entries);
                    entries.any(|entry| entry.name == name)
                };
                let prefix = vit::prefix(has).ok_or_else(|| {
                    json.fault(
                        "model_type",
                        "is `vit`, but the tensors are none of a ViT's",
                    )
                })?;
                Self::vit(path, files, prefix, Some(json), heads)
            }
            _ => {
                let config = language::hugging_face(json)?;
                let mapping = language::mapping(&config, Naming::HuggingFace);
                let mut source = Self::new(path, Kind::LlamaHuggingFace, files);
                source.llama = Some((config, mapping));
                source.token_ids = ["bos", "eos", "pad"].map(|which| {
                    let ids = json.get(&format!("{which}_token_id"))?;
                    // Several may end a text; the first of them does in training, too.
                    ids.as_u64().or_else(|| ids.get(0)?.as_u64())
                });
                Ok(source)
            }
        }
    }
}
