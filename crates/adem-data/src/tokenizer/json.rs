//! The part of Hugging Face's `tokenizer.json` that the LLaMA family uses.

use std::collections::{BTreeMap, HashMap};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::TokenizerError;

/// SentencePiece's visible space, U+2581.
pub(super) const SPACE: char = '\u{2581}';

#[derive(Serialize)]
pub(super) struct File {
    pub version: String,
    pub truncation: Value,
    pub padding: Value,
    pub added_tokens: Vec<AddedToken>,
    pub normalizer: Value,
    pub pre_tokenizer: Value,
    pub post_processor: Value,
    pub decoder: Value,
    pub model: Model,
}

#[derive(Serialize)]
pub(super) struct AddedToken {
    pub id: u32,
    pub content: String,
    pub single_word: bool,
    pub lstrip: bool,
    pub rstrip: bool,
    pub normalized: bool,
    pub special: bool,
}

#[derive(Serialize)]
pub(super) struct Model {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub dropout: Value,
    pub unk_token: Option<String>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    pub fuse_unk: bool,
    pub byte_fallback: bool,
    pub ignore_merges: bool,
    #[serde(serialize_with = "by_id")]
    pub vocab: HashMap<String, u32>,
    pub merges: Vec<Merge>,
}

/// The only kind of model that is read.
const BPE: &str = "BPE";

/// The fields of an object, each to be taken once.
struct Tree<'a>(&'a mut Map<String, Value>);

impl Tree<'_> {
    /// The field; null where there is none.
    #[inline(never)]
    fn take(&mut self, name: &str) -> Value {
        self.0.get_mut(name).map_or(Value::Null, Value::take)
    }

    /// A field that says yes or no, and no where it is absent.
    #[inline(never)]
    fn flag(&mut self, name: &'static str) -> Result<bool, TokenizerError> {
        match self.take(name) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(flag),
            _ => Err(wrong(name)),
        }
    }
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

fn parse_error(reason: String) -> TokenizerError {
    TokenizerError::Parse { reason }
}

/// A field of another type than it must have, or none.
#[inline(never)]
fn wrong(what: &str) -> TokenizerError {
    parse_error(format!("{what} is missing, or of another type"))
}

/// The field `name` of an object; null where there is none. One copy of the search, however often
/// it is asked.
#[inline(never)]
pub(super) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    &value[name]
}

/// What is wrong with a field that would need another algorithm.
#[inline(never)]
pub(super) fn refused(
    field: &'static str,
    found: &Value,
    expected: &'static str,
) -> TokenizerError {
    TokenizerError::Unsupported {
        field,
        found: found.to_string(),
        expected,
    }
}

/// Older files join the two sides with a space, newer ones list them.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Merge {
    Pair(String, String),
    Joined(String),
}

impl Merge {
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::String(both) => Some(Self::Joined(both)),
            Value::Array(sides) => {
                let [left, right] = <[Value; 2]>::try_from(sides).ok()?;
                Some(Self::Pair(text(left)?, text(right)?))
            }
            _ => None,
        }
    }

    pub(super) fn sides(&self) -> Option<(&str, &str)> {
        match self {
            Self::Pair(left, right) => Some((left, right)),
            Self::Joined(both) => both.split_once(' '),
        }
    }
}

/// The normaliser every SentencePiece-derived LLaMA file carries, after small letters are made of
/// capitals where `lowercase` asks for it.
pub(super) fn llama_normalizer(lowercase: bool) -> Value {
    let small = lowercase.then(|| json!({"type": "Lowercase"}));
    let spaces = [
        json!({"type": "Prepend", "prepend": SPACE}),
        json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE}),
    ];
    let all: Vec<Value> = small.into_iter().chain(spaces).collect();
    json!({"type": "Sequence", "normalizers": all})
}

impl File {
    /// Parses and refuses, naming the field, models of other kinds than BPE.
    ///
    /// Read from a tree of values: derived readers of these types are much code in the page.
    pub(super) fn parse(json: &[u8]) -> Result<Self, TokenizerError> {
        let mut tree: Value =
            serde_json::from_slice(json).map_err(|e| parse_error(e.to_string()))?;
        let mut file = Tree(tree.as_object_mut().ok_or_else(|| wrong("the file"))?);
        let mut model = file.take("model");
        let mut model = Tree(model.as_object_mut().ok_or_else(|| wrong("model"))?);
        // Absent in files written before the field existed.
        let kind = model.take("type");
        if !kind.is_null() && kind != BPE {
            return Err(refused("model.type", &kind, "\"BPE\""));
        }
        let dropout = model.take("dropout");
        if !dropout.is_null() && dropout.as_f64() != Some(0.0) {
            return Err(refused("model.dropout", &dropout, "null"));
        }
        for (name, field) in [
            (
                "continuing_subword_prefix",
                "model.continuing_subword_prefix",
            ),
            ("end_of_word_suffix", "model.end_of_word_suffix"),
        ] {
            let affix = model.take(name);
            if !affix.is_null() && affix != "" {
                return Err(refused(field, &affix, "null"));
            }
        }
        let mut vocab = HashMap::new();
        for (token, id) in object(model.take("vocab")).ok_or_else(|| wrong("model.vocab"))? {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
            vocab.insert(token, id.ok_or_else(|| wrong("an id of model.vocab"))?);
        }
        let mut merges = Vec::new();
        for merge in list(model.take("merges")).ok_or_else(|| wrong("model.merges"))? {
            merges.push(Merge::of(merge).ok_or_else(|| wrong("an element of model.merges"))?);
        }
        let mut added_tokens = Vec::new();
        for mut token in list(file.take("added_tokens")).unwrap_or_default() {
            let of = || wrong("an element of added_tokens");
            let mut token = Tree(token.as_object_mut().ok_or_else(of)?);
            let id = token.take("id").as_u64();
            added_tokens.push(AddedToken {
                id: id.and_then(|id| u32::try_from(id).ok()).ok_or_else(of)?,
                content: text(token.take("content")).ok_or_else(of)?,
                single_word: token.flag("single_word")?,
                lstrip: token.flag("lstrip")?,
                rstrip: token.flag("rstrip")?,
                normalized: token.flag("normalized")?,
                special: token.flag("special")?,
            });
        }
        Ok(Self {
            version: String::new(),
            truncation: Value::Null,
            padding: Value::Null,
            added_tokens,
            normalizer: file.take("normalizer"),
            pre_tokenizer: file.take("pre_tokenizer"),
            post_processor: Value::Null,
            decoder: file.take("decoder"),
            model: Model {
                kind: BPE,
                dropout: Value::Null,
                unk_token: text(model.take("unk_token")),
                continuing_subword_prefix: None,
                end_of_word_suffix: None,
                fuse_unk: model.flag("fuse_unk")?,
                byte_fallback: model.flag("byte_fallback")?,
                ignore_merges: model.flag("ignore_merges")?,
                vocab,
                merges,
            },
        })
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
                kind: BPE,
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
