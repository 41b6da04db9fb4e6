//! Our tokeniser against the `tokenizers` library on arbitrary text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::LazyLock;

use adem_data::tokenizer::{BpeTraining, Tokenizer, train_bpe};
use common::golden;
use proptest::prelude::*;

struct Both {
    ours: Tokenizer,
    reference: tokenizers::Tokenizer,
}

impl Both {
    fn new(json: &[u8]) -> Self {
        let mut reference = tokenizers::Tokenizer::from_bytes(json).unwrap();
        // As ours: names of special tokens in a text are only text.
        reference.set_encode_special_tokens(true);
        Self {
            ours: Tokenizer::from_bytes(json).unwrap(),
            reference,
        }
    }

    fn assert_equal(&self, text: &str) {
        let reference = self.reference.encode(text, false).unwrap();
        assert_eq!(self.ours.encode(text), reference.get_ids(), "{text:?}");
    }
}

static GOLDEN: LazyLock<Both> = LazyLock::new(|| {
    Both::new(&std::fs::read(golden("tokenizer").join("tokenizer.json")).unwrap())
});

const TEXTS: [&str; 6] = [
    "a picture of a large red circle above two small blue squares",
    "a picture of three green triangles on a dark background",
    "Question: what colour is the large circle?\nAnswer: red",
    "Question: how many squares are there?\nAnswer: 2",
    "there is no yellow star; is there a circle? yes, 12 of them",
    "the red circle is left of the blue square and above the green triangle",
];

fn trained(byte_fallback: bool, lowercase: bool) -> Both {
    let settings = BpeTraining {
        vocab_size: 420,
        byte_fallback,
        lowercase,
        ..BpeTraining::default()
    };
    Both::new(&train_bpe(TEXTS, &settings).unwrap())
}

static WITH_BYTES: LazyLock<Both> = LazyLock::new(|| trained(true, false));
static WITHOUT_BYTES: LazyLock<Both> = LazyLock::new(|| trained(false, false));
static LOWERCASE: LazyLock<Both> = LazyLock::new(|| trained(false, true));

#[test]
fn our_trained_files_are_read_alike() {
    for both in [&*WITH_BYTES, &*WITHOUT_BYTES, &*LOWERCASE] {
        for text in TEXTS {
            both.assert_equal(text);
        }
        assert_eq!(both.ours.vocab_size(), both.reference.get_vocab_size(true));
    }
}

/// Text that merges (words of the vocabularies), and text that does not.
fn any_text() -> impl Strategy<Value = String> {
    let words = prop::collection::vec(
        "( |  |\n|a|an|the|picture|red|circles?|Image:|is|of|\\?|[0-9]|<s>|</s>|\u{2581}|\u{e9}|\u{1f600})",
        0..30,
    );
    prop_oneof![
        words.prop_map(|w| w.concat()),
        any::<String>(),
        "[a-z ]{0,80}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn ids_are_equal(text in any_text()) {
        GOLDEN.assert_equal(&text);
        WITH_BYTES.assert_equal(&text);
        WITHOUT_BYTES.assert_equal(&text);
        LOWERCASE.assert_equal(&text);
    }

    /// With bytes to fall back on, decoding gives the text back; a visible space reads as a space.
    #[test]
    fn decoding_undoes_encoding(text in any_text()) {
        for both in [&*GOLDEN, &*WITH_BYTES] {
            let decoded = both.ours.decode(&both.ours.encode(&text)).unwrap();
            prop_assert_eq!(decoded, text.replace('\u{2581}', " "));
        }
    }

    #[test]
    fn decoding_equals_the_reference(text in any_text()) {
        // Our own file, unlike the golden one, also tells the reference to strip the first space.
        let ids = WITH_BYTES.ours.encode(&text);
        let reference = WITH_BYTES.reference.decode(&ids, true).unwrap();
        prop_assert_eq!(WITH_BYTES.ours.decode(&ids).unwrap(), reference);
    }

    #[test]
    fn streaming_arbitrary_ids_never_breaks_a_character(ids in prop::collection::vec(0u32..700, 0..60)) {
        let mut stream = GOLDEN.ours.stream();
        let mut pieces = String::new();
        for &id in &ids {
            pieces.push_str(&stream.push(id).unwrap());
        }
        pieces.push_str(&stream.finish());
        prop_assert_eq!(pieces, GOLDEN.ours.decode(&ids).unwrap());
    }
}
