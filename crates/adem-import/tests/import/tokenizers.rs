//! SentencePiece's models as `tokenizer.json`: the same encodings.

use std::fs;

use adem_data::tokenizer::Tokenizer;
use adem_import::{ImportOptions, read_tokenizer, tokenizer_json};
use adem_tests::golden;
use proptest::prelude::*;
use serde_json::Value;

use crate::folders::Place;

fn ids(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap().iter();
    list.map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The fixture's own model, where the full golden set is at hand.
fn model() -> Option<Vec<u8>> {
    let path = golden::root().join("tokenizer/tokenizer.model");
    let bytes = fs::read(&path).ok();
    if bytes.is_none() {
        println!("SKIPPED: no {} (ADEM_GOLDEN)", path.display());
    }
    bytes
}

#[test]
fn encodings_are_sentencepieces() {
    let Some(model) = model() else { return };
    let expected = golden::json(&golden::root().join("tokenizer/expected.json"));
    let json = tokenizer_json("tokenizer.model", model).unwrap();
    let tokenizer = Tokenizer::from_bytes(&json).unwrap();
    assert_eq!(
        tokenizer.vocab_size() as u64,
        expected["vocab"].as_u64().unwrap()
    );
    let cases = expected["encodings"].as_array().unwrap();
    assert!(cases.len() > 50);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text), ids(&case["ids"]), "{text:?}");
    }
}

#[test]
fn the_vocabulary_is_hugging_faces_conversion() {
    let Some(model) = model() else { return };
    let own: Value =
        serde_json::from_slice(&tokenizer_json("tokenizer.model", model).unwrap()).unwrap();
    let theirs = golden::json(&golden::root().join("tokenizer/tokenizer.json"));
    assert_eq!(own["model"]["vocab"], theirs["model"]["vocab"]);
    assert_eq!(own["added_tokens"], theirs["added_tokens"]);
    assert_eq!(own["normalizer"], theirs["normalizer"]);
}

#[test]
fn llama_2s_tokenizer_is_converted() {
    let path = golden::data().join("tokenizers/llama2.model");
    if !path.exists() {
        println!("SKIPPED: no {} (ADEM_DATA)", path.display());
        return;
    }
    let tokenizer = Tokenizer::from_bytes(&read_tokenizer(&path).unwrap()).unwrap();
    assert_eq!(tokenizer.vocab_size(), 32000);
    let special = tokenizer.special();
    assert_eq!((special.bos, special.eos, special.unk), (1, 2, Some(0)));
    // As published for LLaMA.
    for (text, wanted) in [
        ("Hello world", &[15043, 3186][..]),
        ("Hello, my name is", &[15043, 29892, 590, 1024, 338]),
        ("Image: N/A", &[7084, 29901, 405, 29914, 29909]),
    ] {
        assert_eq!(tokenizer.encode(text), wanted, "{text}");
    }
    let captions = golden::data().join("captions_text/coco_val2017.txt");
    for line in fs::read_to_string(captions).unwrap().lines().take(2000) {
        assert_eq!(tokenizer.decode(&tokenizer.encode(line)).unwrap(), line);
    }
}

#[test]
fn stories260k_is_imported_with_its_tokenizer() {
    let folder = golden::data().join("stories260K");
    if !folder.exists() {
        println!("SKIPPED: no {} (ADEM_DATA)", folder.display());
        return;
    }
    let place = Place::new();
    place.put(
        "stories.bin",
        fs::read(folder.join("stories260K.bin")).unwrap(),
    );
    let options = ImportOptions {
        tokenizer: Some(folder.join("tok512.bin")),
        ..ImportOptions::default()
    };
    place.import(&["stories.bin"], &options).unwrap();
    let (manifest, weights) = place.package();
    assert_eq!(manifest.model["llama"]["vocab_size"], 512);
    assert_eq!(weights.len(), 2 + 9 * 5);
    let json = fs::read(place.path("package/tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::from_bytes(&json).unwrap();
    let story = fs::read_to_string(folder.join("golden_greedy_256.txt")).unwrap();
    let story = story.trim_end();
    assert_eq!(tokenizer.decode(&tokenizer.encode(story)).unwrap(), story);
}

#[test]
fn files_that_are_no_tokenizers_are_refused() {
    for (bytes, word) in [
        (&b""[..], "tiktoken"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "tiktoken"),
        (b"{\"model\":{}}", "tokenizer.json"),
        (b"IQ== 0\nIg== 1\n", "tiktoken"),
        // A piece, and a trainer that says unigram.
        (b"\x0a\x03\x0a\x01a\x12\x02\x18\x01", "BPE"),
        // A piece that is no text.
        (b"\x0a\x04\x0a\x02\xff\xfe\x12\x02\x18\x02", "damaged"),
    ] {
        let error = tokenizer_json("t.model", bytes.to_vec())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("t.model") && error.contains(word),
            "{word}: {error}"
        );
    }
}

#[test]
fn a_model_cut_short_anywhere_is_an_error_or_smaller() {
    let Some(model) = model() else { return };
    for length in (0..model.len()).step_by(97) {
        let cut = tokenizer_json("cut", model[..length].to_vec());
        assert!(cut.is_err(), "{length} bytes were read");
    }
}

proptest! {
    #[test]
    fn bytes_of_any_kind(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = tokenizer_json("arbitrary", bytes);
    }
}
