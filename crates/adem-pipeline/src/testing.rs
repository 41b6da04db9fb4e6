//! A tiny package with random weights: the shape of a real one, and nonsense for captions.

use std::path::Path;

use adem_data::scenes::vocabulary;
use adem_data::tokenizer::{BpeTraining, Tokenizer, train_bpe};
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig};
use adem_model::{AdemVl, ModelConfig, RandomInit, SourceError, TensorSource};
use adem_package::{
    Draft, Dtype, ImageSpec, Manifest, NewTensor, Prompts, Provenance, Task, TokenIds,
    WriteOptions, write,
};
use burn::tensor::{DType, Device, TensorData};

use crate::error::PipelineError;

/// Side of the tiny model's pictures, pixels.
pub const TINY_SIDE: u32 = 16;

/// Notes every tensor a model asks for.
struct Recorder {
    init: RandomInit,
    tensors: Vec<NewTensor>,
}

impl TensorSource for Recorder {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
        let data = self.init.tensor(name, shape)?;
        let values = data.clone().convert_dtype(DType::F32).try_to_vec();
        let data_of = values.map_err(|error| SourceError::Unreadable {
            name: name.to_owned(),
            message: format!("{error:?}"),
        })?;
        self.tensors.push(NewTensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            data: data_of,
        });
        Ok(data)
    }
}

/// The tiny model's configuration for a vocabulary of `vocab_size` tokens.
pub fn tiny_config(vocab_size: usize) -> ModelConfig {
    ModelConfig {
        llama: LlamaConfig {
            dim: 16,
            n_layers: 2,
            n_heads: 2,
            vocab_size,
            ffn_hidden: 24,
            max_seq_len: 96,
            ..LlamaConfig::default()
        },
        clip: ClipConfig {
            image_size: TINY_SIDE as usize,
            patch: 4,
            width: 16,
            layers: 2,
            heads: 2,
            ..ClipConfig::default()
        },
        adem: AdemConfig {
            down_sample: vec![16, 4],
            hidden_proj: 8,
            ..AdemConfig::default()
        },
    }
}

/// Writes a tiny package to `folder`, made of several shards so that one can be missing. Equal
/// seeds give equal packages.
///
/// # Errors
/// Those of writing a package; there is nothing else to go wrong.
pub fn write_tiny_package(folder: &Path, seed: u64) -> Result<Manifest, PipelineError> {
    let settings = BpeTraining {
        vocab_size: 200,
        ..BpeTraining::default()
    };
    let words = vocabulary()
        .into_iter()
        .chain(["a picture of", "Question: Answer:"].map(str::to_owned));
    let json = train_bpe(words, &settings)?;
    let vocab_size = Tokenizer::from_bytes(&json)?.vocab_size();
    let random = RandomPackage {
        config: tiny_config(vocab_size),
        tokenizer: json,
        max_new_tokens: 8,
        options: WriteOptions {
            dtype: Dtype::F32,
            shard_bytes: 32 << 10,
        },
        seed,
    };
    random.write(folder)
}

/// A package with random weights, of any size.
pub struct RandomPackage {
    /// The model.
    pub config: ModelConfig,
    /// Text of a `tokenizer.json` with at most `config.llama.vocab_size` tokens.
    pub tokenizer: Vec<u8>,
    /// Tokens of the longest text.
    pub max_new_tokens: u32,
    /// Precision and shards of the weights.
    pub options: WriteOptions,
    /// Equal seeds give equal weights.
    pub seed: u64,
}

impl RandomPackage {
    /// Writes it to `folder`.
    ///
    /// # Errors
    /// A configuration or a tokeniser that is none, and those of writing a package.
    pub fn write(&self, folder: &Path) -> Result<Manifest, PipelineError> {
        let mut recorder = Recorder {
            init: RandomInit::new(self.seed),
            tensors: Vec::new(),
        };
        AdemVl::new(&self.config, &mut recorder, &Device::flex())?;
        let model = serde_json::to_value(&self.config)
            .map_err(|error| PipelineError::manifest("model", error.to_string()))?;
        let special = Tokenizer::from_bytes(&self.tokenizer)?.special();
        let draft = Draft {
            name: "random model".to_owned(),
            model,
            image: ImageSpec {
                size: u32::try_from(self.config.clip.image_size).unwrap_or(u32::MAX),
                mean: [0.5; 3],
                std: [0.25; 3],
            },
            prompts: Prompts {
                image_prefix: "Image: ".to_owned(),
                no_image_prefix: "Image: N/A".to_owned(),
                caption: "a picture of".to_owned(),
                question: "Question: {question}\nAnswer:".to_owned(),
            },
            tasks: vec![Task::Caption, Task::Question],
            max_new_tokens: self.max_new_tokens,
            provenance: Provenance {
                training: "none: random weights".to_owned(),
                ..Provenance::default()
            },
            token_ids: TokenIds {
                bos: special.bos,
                eos: special.eos,
                pad: special.pad.unwrap_or(special.eos),
            },
        };
        let tensors = recorder.tensors;
        Ok(write(
            folder,
            draft,
            &self.tokenizer,
            tensors,
            &self.options,
        )?)
    }
}
