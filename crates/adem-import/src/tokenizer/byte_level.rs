//! Vocabularies of bytes, GPT-2's kind, as `tokenizer.json`.

use serde_json::{Map, Value, json};

/// Llama 3's pattern, which files of it only name.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How a text is cut before bytes are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Gpt2,
    /// Each digit alone, then as GPT-2.
    SmolLm,
    /// Words that are tokens are not merged but looked up.
    Llama3,
}

/// An entry of `added_tokens`.
pub(super) fn added(id: usize, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": special,
    })
}

/// The file of this vocabulary, whose merges come in the order of their ranks.
pub(super) fn file(vocab: Map<String, Value>, added: Vec<Value>, merges: Value, cut: Cut) -> Value {
    let step = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let first = match cut {
        Cut::Llama3 => json!({
            "type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": false,
        }),
        Cut::SmolLm => json!({"type": "Digits", "individual_digits": true}),
        Cut::Gpt2 => Value::Null,
    };
    let mut steps = vec![first, step(cut != Cut::Llama3)];
    steps.retain(|step| !step.is_null());
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": step(true),
        "decoder": step(true),
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": cut == Cut::Llama3,
            "vocab": vocab,
            "merges": merges,
        },
    })
}
