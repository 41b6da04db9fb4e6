//! Streaming, special tokens, training a vocabulary, and which files are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use adem_data::tokenizer::{
    BpeTraining, MAX_JSON_BYTES, SpecialIds, Tokenizer, TokenizerError, train_bpe,
};
use serde_json::{Value, json};

const TEXTS: [&str; 4] = [
    "Image: a picture of a red circle and a blue square",
    "Image: N/A a picture of two red squares",
    "Question: what colour is the circle?\nAnswer: red",
    "Question: how many circles are there?\nAnswer: two",
];

fn json_of(settings: &BpeTraining) -> Vec<u8> {
    train_bpe(TEXTS, settings).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_bytes(&json_of(&BpeTraining::default())).unwrap()
}

fn with_bytes() -> Tokenizer {
    let settings = BpeTraining {
        byte_fallback: true,
        ..BpeTraining::default()
    };
    Tokenizer::from_bytes(&json_of(&settings)).unwrap()
}

#[test]
fn a_vocabulary_can_be_blind_to_capitals() {
    let settings = BpeTraining {
        lowercase: true,
        ..BpeTraining::default()
    };
    let blind = Tokenizer::from_bytes(&json_of(&settings)).unwrap();
    let (small, large) = ("what colour is the Circle?", "WHAT Colour is the circle?");
    assert_eq!(blind.encode(small), blind.encode(large));
    assert_ne!(tokenizer().encode(small), tokenizer().encode(large));
}

/// The trained file with one change.
fn altered(change: impl FnOnce(&mut Value)) -> Result<Tokenizer, TokenizerError> {
    let mut file: Value = serde_json::from_slice(&json_of(&BpeTraining::default())).unwrap();
    change(&mut file);
    Tokenizer::from_bytes(&serde_json::to_vec(&file).unwrap())
}

#[test]
fn training_is_deterministic_and_fits() {
    for settings in [
        BpeTraining::default(),
        BpeTraining {
            vocab_size: 150,
            ..BpeTraining::default()
        },
        BpeTraining {
            byte_fallback: true,
            ascii: false,
            ..BpeTraining::default()
        },
    ] {
        let json = json_of(&settings);
        assert_eq!(json, json_of(&settings));
        let size = Tokenizer::from_bytes(&json).unwrap().vocab_size();
        assert!(size <= settings.vocab_size, "{size} of {settings:?}");
    }
    let small = BpeTraining {
        vocab_size: 50,
        ..BpeTraining::default()
    };
    assert!(matches!(
        train_bpe(TEXTS, &small),
        Err(TokenizerError::VocabTooSmall {
            asked: 50,
            needed: 99..
        })
    ));
}

#[test]
fn special_tokens_have_ids_of_their_own() {
    let special = tokenizer().special();
    assert_eq!(
        special,
        SpecialIds {
            bos: 1,
            eos: 2,
            pad: Some(3),
            unk: Some(0)
        }
    );
}

#[test]
fn frequent_words_become_one_token() {
    let tokenizer = tokenizer();
    // "Image", ":", " a", " picture", " of", " a", " red", " circle": seen at least twice each.
    assert_eq!(
        tokenizer.encode("Image: a picture of a red circle").len(),
        8
    );
}

#[test]
fn typed_special_tokens_are_only_text() {
    let tokenizer = tokenizer();
    let ids = tokenizer.encode("</s><s><pad>");
    assert!(ids.iter().all(|&id| id > 3), "{ids:?}");
    assert_eq!(tokenizer.decode(&ids).unwrap(), "</s><s><pad>");
}

#[test]
fn special_tokens_emit_no_text() {
    let tokenizer = tokenizer();
    let mut ids = tokenizer.encode_with_bos("a red circle");
    ids.extend([2, 3, 3]);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "a red circle");
}

#[test]
fn a_manifest_may_name_other_special_ids() {
    let tokenizer = tokenizer();
    let square = tokenizer.encode("!")[1];
    let special = SpecialIds {
        bos: square,
        eos: 2,
        pad: None,
        unk: Some(0),
    };
    let other = tokenizer.clone().with_special_ids(special).unwrap();
    assert_eq!(other.encode_with_bos("a")[0], square);
    assert_eq!(other.decode(&[square]).unwrap(), "");
    let beyond = SpecialIds {
        eos: 9999,
        ..special
    };
    assert!(matches!(
        tokenizer.with_special_ids(beyond),
        Err(TokenizerError::UnknownId { id: 9999, .. })
    ));
}

#[test]
fn characters_are_emitted_whole() {
    let tokenizer = with_bytes();
    let mut stream = tokenizer.stream();
    let pieces: Vec<String> = tokenizer
        .encode("\u{e9}\u{1f600}")
        .into_iter()
        .map(|id| stream.push(id).unwrap())
        .collect();
    // The leading space is taken off; a character comes out with its last byte.
    assert_eq!(pieces, ["", "", "\u{e9}", "", "", "", "\u{1f600}"]);
    assert_eq!(stream.finish(), "");
}

#[test]
fn unfinished_and_impossible_characters_become_replacement_characters() {
    let tokenizer = with_bytes();
    let byte = |b: u32| 4 + b;
    let a = tokenizer.encode("!")[1];
    assert_eq!(
        tokenizer.decode(&[byte(0xe2), byte(0x96)]).unwrap(),
        "\u{fffd}"
    );
    assert_eq!(tokenizer.decode(&[byte(0xe2), a]).unwrap(), "\u{fffd}!");
    assert_eq!(
        tokenizer.decode(&[byte(0xff), byte(0x41)]).unwrap(),
        "\u{fffd}A"
    );
    assert_eq!(
        tokenizer
            .decode(&[byte(0xe2), byte(0xc3), byte(0xa9)])
            .unwrap(),
        "\u{fffd}\u{e9}"
    );
}

#[test]
fn an_unknown_id_is_named() {
    let tokenizer = tokenizer();
    let vocab = tokenizer.vocab_size();
    let error = tokenizer.decode(&[vocab as u32]).unwrap_err();
    assert_eq!(
        error,
        TokenizerError::UnknownId {
            id: vocab as u32,
            vocab
        }
    );
}

#[test]
fn other_tokenizers_are_refused_by_field() {
    let field = |result: Result<Tokenizer, TokenizerError>| match result.unwrap_err() {
        TokenizerError::Unsupported { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(
        field(altered(|f| f["model"]["type"] = json!("Unigram"))),
        "model.type"
    );
    assert_eq!(
        field(altered(|f| f["normalizer"] = json!({"type": "NFC"}))),
        "normalizer"
    );
    assert_eq!(
        field(altered(
            |f| f["pre_tokenizer"] = json!({"type": "Whitespace"})
        )),
        "pre_tokenizer"
    );
    assert_eq!(
        field(altered(|f| f["model"]["dropout"] = json!(0.1))),
        "model.dropout"
    );
    assert_eq!(
        field(altered(|f| f["model"]["ignore_merges"] = json!(true))),
        "model.ignore_merges"
    );
    assert_eq!(
        field(altered(|f| f["added_tokens"][3]["special"] = json!(false))),
        "added_tokens"
    );
    assert_eq!(
        field(altered(|f| f["model"]["end_of_word_suffix"] = json!("</w>"))),
        "model.end_of_word_suffix"
    );
}

#[test]
fn inconsistent_files_are_refused() {
    let huge_id = altered(|f| f["model"]["vocab"]["!"] = json!(4_000_000_000u32));
    assert!(matches!(huge_id, Err(TokenizerError::Gap { .. })));
    let lost = altered(|f| f["model"]["merges"][0] = json!(["\u{2581}", "nothing"]));
    assert!(matches!(lost, Err(TokenizerError::Merge { rank: 0, .. })));
    let odd = altered(|f| f["model"]["merges"][0] = json!("nospace"));
    assert!(matches!(odd, Err(TokenizerError::Parse { .. })));
    let speechless = altered(|f| f["model"]["unk_token"] = Value::Null);
    assert_eq!(speechless.unwrap_err(), TokenizerError::NoFallback);
    for text in ["", "{", "[]", "{\"model\": {}}", "\u{0}"] {
        let error = Tokenizer::from_bytes(text.as_bytes()).unwrap_err();
        assert!(matches!(error, TokenizerError::Parse { .. }), "{error}");
    }
    let large = vec![b' '; MAX_JSON_BYTES + 1];
    assert!(matches!(
        Tokenizer::from_bytes(&large),
        Err(TokenizerError::TooLarge { .. })
    ));
}
