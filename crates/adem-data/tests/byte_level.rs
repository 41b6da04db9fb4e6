//! Byte-level tokenizers against the `tokenizers` library: vocabularies that it learns here, cut in
//! each of the ways that known models use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;

use adem_data::rows::{RowLayout, Truncation, training_row};
use adem_data::tokenizer::{SpecialIds, Tokenizer, TokenizerError};
use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainerBuilder;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

const TEXTS: [&str; 7] = [
    "a picture of a large red circle above two small blue squares, isn't it?",
    "Image: a picture of three green triangles on a dark background\n\nImage: N/A",
    "Question: what colour is the large circle?\nAnswer: red; it's what they've said",
    "Question: how many squares are there in 2024?\r\nAnswer: 1234567, I'd say (12 345 678)",
    "WE'LL SEE, THEY'RE HERE   and    there\t\tand\n \n  everywhere",
    "Ein gr\u{f6}\u{df}erer Kreis, \u{4e00}\u{4e2a}\u{7ea2}\u{8272}\u{7684}\u{5706}, \u{43a}\u{440}\u{430}\u{441}\u{43d}\u{44b}\u{439} \u{43a}\u{440}\u{443}\u{433}, \u{1f534}\u{1f534}",
    "fn main() { println!(\"{}\", x[0] + 1_000); } // ---- ==== ----",
];

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

fn byte_level(space: bool, regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": regex})
}

fn sequence(steps: &[Value]) -> Value {
    json!({"type": "Sequence", "pretokenizers": steps})
}

fn split(regex: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
}

fn digits(alone: bool) -> Value {
    json!({"type": "Digits", "individual_digits": alone})
}

/// A file whose vocabulary is learned with this `pre_tokenizer`, its special tokens first.
fn learned(pre_tokenizer: Value) -> Value {
    let empty = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": pre_tokenizer, "post_processor": null,
        "decoder": byte_level(true, true),
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": {}, "merges": []},
    });
    let empty = serde_json::to_vec(&empty).unwrap();
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(&empty).unwrap();
    let special = ["<|begin_of_text|>", "<|end_of_text|>"];
    let trainer = BpeTrainerBuilder::new()
        .vocab_size(480)
        .min_frequency(0)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(
            special
                .map(|it| tokenizers::AddedToken::from(it, true))
                .to_vec(),
        )
        .build();
    let mut trainer = TrainerWrapper::BpeTrainer(trainer);
    tokenizer.train(&mut trainer, TEXTS.iter()).unwrap();
    serde_json::from_str(&tokenizer.to_string(false).unwrap()).unwrap()
}

struct Both {
    ours: Tokenizer,
    reference: tokenizers::Tokenizer,
}

impl Both {
    fn new(file: &Value) -> Self {
        let json = serde_json::to_vec(file).unwrap();
        let mut reference = tokenizers::Tokenizer::from_bytes(&json).unwrap();
        // As ours: names of special tokens in a text are only text.
        reference.set_encode_special_tokens(true);
        Self {
            ours: Tokenizer::from_bytes(&json).unwrap(),
            reference,
        }
    }

    fn assert_equal(&self, text: &str) {
        let wanted = self.reference.encode(text, false).unwrap();
        let ids = self.ours.encode(text);
        assert_eq!(ids, wanted.get_ids(), "{text:?}: {:?}", wanted.get_tokens());
        self.assert_decoded(&ids);
    }

    /// Ours takes a first space away.
    fn assert_decoded(&self, ids: &[u32]) {
        let wanted = self.reference.decode(ids, true).unwrap();
        let wanted = wanted.strip_prefix(' ').unwrap_or(&wanted);
        assert_eq!(self.ours.decode(ids).unwrap(), wanted, "{ids:?}");
    }
}

/// Words of the vocabulary that no merges lead to.
fn with_unmerged_words(mut file: Value) -> Value {
    let model = &mut file["model"];
    model["ignore_merges"] = json!(true);
    let merges = model["merges"].as_array_mut().unwrap();
    merges.truncate(merges.len() - 60);
    file
}

/// Tokens that are found in a text before it is cut: in it, and in what is left.
fn with_added_tokens(mut file: Value) -> Value {
    let count = file["model"]["vocab"].as_object().unwrap().len();
    let added = file["added_tokens"].as_array_mut().unwrap();
    for (at, (content, normalized, special)) in [
        ("  ", true, false),
        ("    ", true, false),
        ("circle", false, false),
        ("red circle", true, false),
        ("<|end_of", true, false),
        ("_text|>", false, false),
        ("e <|begin", false, true),
    ]
    .into_iter()
    .enumerate()
    {
        added.push(json!({
            "id": count + at, "content": content, "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": normalized, "special": special,
        }));
    }
    file
}

static ALL: LazyLock<Vec<Both>> = LazyLock::new(|| {
    let gpt2 = learned(byte_level(false, true));
    let llama3 = learned(sequence(&[split(LLAMA3), byte_level(false, false)]));
    let ones = LLAMA3.replace("{1,3}", "");
    [
        learned(byte_level(true, true)),
        learned(sequence(&[digits(true), byte_level(false, true)])),
        learned(sequence(&[digits(false), byte_level(true, true)])),
        learned(sequence(&[split(GPT2), byte_level(false, false)])),
        learned(sequence(&[split(&ones), byte_level(false, false)])),
        learned(byte_level(false, false)),
        with_unmerged_words(llama3.clone()),
        with_added_tokens(gpt2.clone()),
        gpt2,
        llama3,
    ]
    .iter()
    .map(Both::new)
    .collect()
});

#[test]
fn learned_texts_are_read_alike() {
    for both in &*ALL {
        for text in TEXTS {
            both.assert_equal(text);
        }
        assert_eq!(both.ours.vocab_size(), both.reference.get_vocab_size(true));
    }
}

#[test]
fn words_that_no_merge_makes_are_whole_where_the_file_says_so() {
    let whole = with_unmerged_words(learned(byte_level(false, true)));
    let mut merged = whole.clone();
    merged["model"]["ignore_merges"] = json!(false);
    let [merged, whole] = [merged, whole].map(|file| Both::new(&file).ours);
    let text = TEXTS.concat();
    assert!(whole.encode(&text).len() < merged.encode(&text).len());
}

/// Characters of all of Unicode between letters, digits, spaces and marks.
#[test]
fn assigned_characters_are_cut_alike() {
    let none = Regex::new(r"^\p{Cn}").unwrap();
    let assigned = ('\0'..=char::MAX).filter(|c| !none.is_match(c.encode_utf8(&mut [0; 4])));
    let all: Vec<char> = assigned.step_by(43).collect();
    for some in all.chunks(1000) {
        let text: String = some.iter().map(|c| format!("a{c}1{c} {c}{c}. ")).collect();
        // SmolLM's, GPT-2's and Llama 3's ways.
        for both in [&ALL[1], &ALL[8], &ALL[9]] {
            let wanted = both.reference.encode(text.as_str(), false).unwrap();
            assert!(both.ours.encode(&text) == wanted.get_ids(), "{:?}", some[0]);
        }
    }
}

/// Text of assigned characters, and text in which every part of the patterns is tried.
fn any_text() -> impl Strategy<Value = String> {
    static NONE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{Cn}").unwrap());
    let parts = prop::collection::vec(
        "( |  |   |\n|\r|\r\n|\t|\u{a0}|\u{3000}|a|A|the|picture| red|circles?|'s|'S|'\u{17f}|'re|'RE|'lL|'Ve|'d|'x|'|\"|[0-9]{1,5}| ?[.!?-]{1,3}|<\\|end_of_text\\|>|<\\|begin|\u{e9}|e\u{301}|\u{24b6}|\u{2167}|\u{bd}|\u{661}|\u{4e00}|\u{1f600}|\u{200d})",
        0..30,
    );
    let words = parts.prop_map(|parts| parts.concat());
    let others = any::<String>().prop_map(|text| NONE.replace_all(&text, "").into_owned());
    prop_oneof![words, others, "[a-zA-Z0-9' .\\r\\n]{0,60}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn ids_and_texts_are_equal(text in any_text()) {
        for both in &*ALL {
            both.assert_equal(&text);
        }
    }

    #[test]
    fn arbitrary_ids_are_decoded_alike(ids in prop::collection::vec(0u32..480, 0..40)) {
        for both in &*ALL {
            both.assert_decoded(&ids);
            let mut stream = both.ours.stream();
            let mut pieces = String::new();
            for &id in &ids {
                pieces.push_str(&stream.push(id).unwrap());
            }
            pieces.push_str(&stream.finish());
            prop_assert_eq!(pieces, both.ours.decode(&ids).unwrap());
        }
    }
}

#[test]
fn special_tokens_are_found_by_name_and_emit_nothing() {
    let tokenizer = &ALL[9].ours;
    let special = tokenizer.special();
    assert_eq!(
        (special.bos, special.eos, special.pad, special.unk),
        (0, 1, None, None)
    );
    let mut ids = tokenizer.encode_with_bos(" a red circle");
    ids.push(1);
    assert_eq!(tokenizer.decode(&ids).unwrap(), "a red circle");
}

/// SmolLM's begin and end of a text is token 0, and has to be learned.
#[test]
fn an_end_of_text_with_id_0_is_a_label() {
    let special = SpecialIds {
        bos: 0,
        eos: 0,
        pad: Some(0),
        unk: Some(0),
    };
    let tokenizer = ALL[1].ours.clone().with_special_ids(special).unwrap();
    let layout = RowLayout {
        width: 40,
        reserve: 0,
        pad: 0,
        truncation: Truncation::KeepEos,
    };
    let row = training_row(&tokenizer, "a picture of", " a red circle", &layout).unwrap();
    let learned: Vec<u32> = row.labels[row.prompt_len..row.len].to_vec();
    assert_eq!(learned, row.ids[row.prompt_len..row.len]);
    assert_eq!(learned.last(), Some(&0));
}

#[test]
fn what_would_be_read_otherwise_is_refused_by_field() {
    let file = learned(sequence(&[split(LLAMA3), byte_level(false, false)]));
    let altered = |change: &dyn Fn(&mut Value)| {
        let mut file = file.clone();
        change(&mut file);
        Tokenizer::from_bytes(&serde_json::to_vec(&file).unwrap())
    };
    let steps = |steps: &[Value]| altered(&|f| f["pre_tokenizer"] = sequence(steps));
    let last = byte_level(false, false);
    let other = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}]*\p{Ll}+|\s+";
    let mut removed = split(LLAMA3);
    removed["behavior"] = json!("Removed");
    for (result, wanted, word) in [
        (steps(&[split(other), last.clone()]), "pre_tokenizer", "Lt"),
        (steps(&[removed, last.clone()]), "pre_tokenizer", "Removed"),
        (
            steps(&[last.clone(), split(GPT2)]),
            "pre_tokenizer",
            "ByteLevel",
        ),
        (
            steps(&[json!({"type": "Punctuation"}), last]),
            "pre_tokenizer",
            "Punctuation",
        ),
        (
            altered(&|f| f["normalizer"] = json!({"type": "NFC"})),
            "normalizer",
            "NFC",
        ),
        (
            altered(&|f| f["decoder"] = json!({"type": "Fuse"})),
            "decoder",
            "Fuse",
        ),
        (
            altered(&|f| {
                f["added_tokens"][0]["special"] = json!(false);
                f["added_tokens"][0]["lstrip"] = json!(true);
            }),
            "added_tokens",
            "begin_of_text",
        ),
    ] {
        match result.unwrap_err() {
            TokenizerError::Unsupported { field, found, .. } => {
                assert_eq!(field, wanted);
                assert!(found.contains(word), "{word}: {found}");
            }
            other => panic!("{other}"),
        }
    }
    let wordless = altered(&|f| {
        let vocab = f["model"]["vocab"].as_object_mut().unwrap();
        let id = vocab.remove("\u{120}").unwrap();
        vocab.insert("nothing".into(), id);
        f["model"]["merges"] = json!([]);
    });
    assert_eq!(wordless.unwrap_err(), TokenizerError::NoFallback);
}

#[test]
fn bytes_without_a_token_are_unknown() {
    let mut file = learned(byte_level(false, true));
    let vocab = file["model"]["vocab"].as_object_mut().unwrap();
    let id = vocab.remove("!").unwrap();
    vocab.insert("nothing".into(), id);
    file["model"]["merges"] = json!([]);
    for fuse in [false, true] {
        file["model"]["unk_token"] = json!("<|end_of_text|>");
        file["model"]["fuse_unk"] = json!(fuse);
        let both = Both::new(&file);
        both.assert_equal("a!!b !");
        assert_eq!(both.ours.special().unk, Some(1));
    }
}
