//! The part of Hugging Face's `tokenizer.json` that the LLaMA family uses.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::TokenizerError;

/// SentencePiece's visible space, U+2581.
pub(super) const SPACE: char = '\u{2581}';

#[derive(Serialize, Deserialize)]
pub(super) struct File {
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub truncation: Value,
    #[serde(default)]
    pub padding: Value,
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    #[serde(default)]
    pub normalizer: Value,
    #[serde(default)]
    pub pre_tokenizer: Value,
    #[serde(default)]
    pub post_processor: Value,
    #[serde(default)]
    pub decoder: Value,
    pub model: Model,
}

#[derive(Serialize, Deserialize)]
pub(super) struct AddedToken {
    pub id: u32,
    pub content: String,
    #[serde(default)]
    pub single_word: bool,
    #[serde(default)]
    pub lstrip: bool,
    #[serde(default)]
    pub rstrip: bool,
    #[serde(default)]
    pub normalized: bool,
    #[serde(default)]
    pub special: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Model {
    /// Absent in files written before the field existed; those are BPE when they have merges.
    #[serde(rename = "type", default = "bpe")]
    pub kind: String,
    #[serde(default)]
    pub dropout: Value,
    #[serde(default)]
    pub unk_token: Option<String>,
    #[serde(default)]
    pub continuing_subword_prefix: Option<String>,
    #[serde(default)]
    pub end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub fuse_unk: bool,
    #[serde(default)]
    pub byte_fallback: bool,
    #[serde(default)]
    pub ignore_merges: bool,
    #[serde(serialize_with = "by_id")]
    pub vocab: HashMap<String, u32>,
    pub merges: Vec<Merge>,
}

fn bpe() -> String {
    "BPE".into()
}

/// Older files join the two sides with a space, newer ones list them.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Pair(String, String),
    Joined(String),
}

impl Merge {
    pub(super) fn sides(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Joined(both) => both.split_once(' '),
        }
    }
}

/// The normaliser every SentencePiece-derived LLaMA file carries, after small letters are made of
/// capitals where `lowercase` asks for it.
fn llama_normalizer(lowercase: bool) -> Value {
    let small = lowercase.then(|| json!({"type": "Lowercase"}));
    let spaces = [
        json!({"type": "Prepend", "prepend": SPACE}),
        json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}),
    ];
    let all: Vec<Value> = small.into_iter().chain(spaces).collect();
    json!({"type": "Sequence", "normalizers": all})
}

impl File {
    /// Parses and refuses, naming the field, what would need another algorithm.
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenizerError> {
        let file: Self = serde_json::from_slice(json).map_err(|e| TokenizerError::Parse {
            reason: e.to_string(),
        })?;
        let refuse = |field, found: String, expected| {
            Err(TokenizerError::Unsupported {
                field,
                found,
                expected,
            })
        };
        let model = &file.model;
        if model.kind != "BPE" {
            return refuse("model.type", format!("{:?}", model.kind), "\"BPE\"");
        }
        if !matches!(&model.dropout, Value::Null) && model.dropout.as_f64() != Some(0.0) {
            return refuse("model.dropout", model.dropout.to_string(), "null");
        }
        if model.ignore_merges {
            return refuse("model.ignore_merges", "true".into(), "false");
        }
        for (field, affix) in [
            (
                "model.continuing_subword_prefix",
                &model.continuing_subword_prefix,
            ),
            ("model.end_of_word_suffix", &model.end_of_word_suffix),
        ] {
            if let Some(affix) = affix.as_deref().filter(|a| !a.is_empty()) {
                return refuse(field, format!("{affix:?}"), "null");
            }
        }
        if file.normalizer != llama_normalizer(file.lowercase()) {
            let found = file.normalizer.to_string();
            return refuse(
                "normalizer",
                found,
                "LLaMA's (prepend and replace spaces by U+2581), or Lowercase before it",
            );
        }
        if !file.pre_tokenizer.is_null() {
            return refuse("pre_tokenizer", file.pre_tokenizer.to_string(), "null");
        }
        if let Some(token) = file.added_tokens.iter().find(|t| !t.special) {
            let found = format!("the ordinary token {:?}", token.content);
            return refuse("added_tokens", found, "special tokens");
        }
        Ok(file)
    }

    /// Whether capitals are made small before anything else.
    pub(super) fn lowercase(&self) -> bool {
        self.normalizer["normalizers"][0]["type"] == "Lowercase"
    }

    /// The file of a freshly trained vocabulary, `tokens[id]`, as the `tokenizers` library reads it.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn trained(
        tokens: &[String],
        merges: Vec<(String, String)>,
        special: usize,
        settings: &super::BpeTraining,
    ) -> Self {
        let ids = || (0u32..).zip(tokens);
        let added_tokens = ids()
            .take(special)
            .map(|(id, content)| AddedToken {
                id,
                content: content.clone(),
                single_word: false,
                lstrip: false,
                rstrip: false,
                normalized: false,
                special: true,
            })
            .collect();
        let bos = tokens.get(1);
        Self {
            version: "1.0".into(),
            truncation: Value::Null,
            padding: Value::Null,
            added_tokens,
            normalizer: llama_normalizer(settings.lowercase),
            pre_tokenizer: Value::Null,
            post_processor: json!({
                "type": "TemplateProcessing",
                "single": [
                    {"SpecialToken": {"id": bos, "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                ],
                "pair": [
                    {"SpecialToken": {"id": bos, "type_id": 0}},
                    {"Sequence": {"id": "A", "type_id": 0}},
                    {"SpecialToken": {"id": bos, "type_id": 1}},
                    {"Sequence": {"id": "B", "type_id": 1}},
                ],
                "special_tokens": {bos.cloned().unwrap_or_default(): {"id": bos, "ids": [1], "tokens": [bos]}},
            }),
            decoder: json!({"type": "Sequence", "decoders": [
                {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ]}),
            model: Model {
                kind: bpe(),
                dropout: Value::Null,
                unk_token: tokens.first().cloned(),
                continuing_subword_prefix: None,
                end_of_word_suffix: None,
                fuse_unk: true,
                byte_fallback: settings.byte_fallback,
                ignore_merges: false,
                vocab: ids().map(|(id, t)| (t.clone(), id)).collect(),
                merges: merges.into_iter().map(|(a, b)| Merge::Pair(a, b)).collect(),
            },
        }
    }

    /// The same bytes for the same file, every time.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, TokenizerError> {
        serde_json::to_vec(self).map_err(|e| TokenizerError::Parse {
            reason: e.to_string(),
        })
    }
}

/// A hash map's order differs from run to run: the vocabulary is written in the order of ids.
fn by_id<S: Serializer>(vocab: &HashMap<String, u32>, to: S) -> Result<S::Ok, S::Error> {
    let tokens: BTreeMap<u32, &String> = vocab.iter().map(|(t, &id)| (id, t)).collect();
    to.collect_map(tokens.into_iter().map(|(id, token)| (token, id)))
}
