//! The tokeniser and the training rows against the golden encodings and label masks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use adem_data::rows::{IGNORE, RowLayout, Truncation, training_row};
use adem_data::tokenizer::Tokenizer;
use common::{golden, read_json};
use serde_json::Value;

fn fixture() -> (Tokenizer, Value) {
    let folder = golden("tokenizer");
    let json = std::fs::read(folder.join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_bytes(&json).unwrap();
    (tokenizer, read_json(folder.join("expected.json")))
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

#[test]
fn special_ids_and_size() {
    let (tokenizer, expected) = fixture();
    let special = tokenizer.special();
    assert_eq!(tokenizer.vocab_size() as u64, expected["vocab"]);
    assert_eq!(special.bos, expected["bos"]);
    assert_eq!(special.eos, expected["eos"]);
    assert_eq!(special.pad.map_or(-1, i64::from), expected["pad"]);
    assert_eq!(special.unk.map_or(-1, i64::from), expected["unk"]);
}

#[test]
fn encodings_equal_sentencepiece() {
    let (tokenizer, expected) = fixture();
    let cases = expected["encodings"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text), ids(&case["ids"]), "{text:?}");
        let with_bos = tokenizer.encode_with_bos(text);
        assert_eq!(with_bos[0], expected["bos"]);
        assert_eq!(with_bos[1..], ids(&case["ids"]), "{text:?}");
    }
}

#[test]
fn decodings_equal_sentencepiece() {
    let (tokenizer, expected) = fixture();
    for case in expected["encodings"].as_array().unwrap() {
        let ids = ids(&case["ids"]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), case["decoded"], "{ids:?}");
    }
}

#[test]
fn label_masks_equal_the_authors() {
    let (tokenizer, expected) = fixture();
    let cases = expected["labels"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let text = |field: &str| case[field].as_str().unwrap();
        // The authors cut EOS off and pad with the unknown token's id.
        let layout = RowLayout {
            width: case["max_words"].as_u64().unwrap() as usize,
            reserve: 0,
            pad: 0,
            truncation: Truncation::Compat,
        };
        let row = training_row(&tokenizer, text("prompt"), text("answer"), &layout).unwrap();
        assert_eq!(row.ids, ids(&case["ids"]), "{case}");
        // Their code has 0, the unknown token's id, where there is nothing to learn.
        let theirs = ids(&case["labels"]).into_iter();
        let labels: Vec<u32> = theirs.map(|id| if id == 0 { IGNORE } else { id }).collect();
        assert_eq!(row.labels, labels, "{case}");
        assert_eq!(row.prompt_len as u64, case["n_prompt"], "{case}");
        assert_eq!(
            row.prompt_is_prefix, case["prefix_is_joint_prefix"],
            "{case}"
        );
    }
}
