//! Llama 3's `tokenizer.model` as `tokenizer.json`: the same encodings.

use std::collections::HashMap;

use adem_data::tokenizer::Tokenizer;
use adem_import::{ImportOptions, tokenizer_json};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::json;

use crate::files::{Named, pth};
use crate::folders::Place;

/// Letters of one, two and three bytes, which the pattern never parts.
const LETTERS: [&str; 6] = ["a", "b", "c", "\u{e9}", "\u{436}", "\u{6f22}"];

/// The bytes in another order than their own, then every pair of tokens that `picks` names.
fn tokens(picks: &[(usize, usize)]) -> Vec<Vec<u8>> {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte: u8| vec![byte ^ 0x20]).collect();
    let letters = LETTERS.iter().flat_map(|it| it.bytes());
    let mut parts: Vec<Vec<u8>> = letters.map(|byte| vec![byte]).collect();
    parts.push(b" ".to_vec());
    for (left, right) in picks {
        let token = [
            parts[left % parts.len()].as_slice(),
            &parts[right % parts.len()],
        ]
        .concat();
        if token.len() <= 12 && !tokens.contains(&token) {
            tokens.push(token.clone());
            parts.push(token);
        }
    }
    tokens
}

fn file(tokens: &[Vec<u8>]) -> Vec<u8> {
    let lines = tokens.iter().enumerate();
    let line = |(rank, token): (usize, &Vec<u8>)| format!("{} {rank}\n", STANDARD.encode(token));
    lines.map(line).collect::<String>().into_bytes()
}

fn read(tokens: &[Vec<u8>]) -> Tokenizer {
    Tokenizer::from_bytes(&tokenizer_json("tokenizer.model", file(tokens)).unwrap()).unwrap()
}

/// What tiktoken does to one word: looked up whole, or else the two neighbours that make the token of
/// lowest rank, the leftmost of them, become that token, as long as there are such.
fn greedy(word: &[u8], tokens: &[Vec<u8>]) -> Vec<u32> {
    let ranks: HashMap<&[u8], usize> = tokens.iter().map(Vec::as_slice).zip(0..).collect();
    if let Some(rank) = ranks.get(word) {
        return vec![*rank as u32];
    }
    let mut parts: Vec<Vec<u8>> = word.iter().map(|byte| vec![*byte]).collect();
    loop {
        let pairs = parts.windows(2).enumerate();
        let made = pairs.filter_map(|(at, it)| Some((*ranks.get(it.concat().as_slice())?, at)));
        let Some((_, at)) = made.min() else { break };
        let right = parts.remove(at + 1);
        parts[at].extend(right);
    }
    parts
        .iter()
        .map(|part| ranks[part.as_slice()] as u32)
        .collect()
}

proptest! {
    #[test]
    fn words_are_merged_as_tiktoken_does(
        picks in prop::collection::vec(any::<(usize, usize)>(), 0..150),
        words in prop::collection::vec(prop::collection::vec(0..LETTERS.len(), 1..24), 1..12),
        runs in prop::collection::vec(1usize..20, 0..4),
    ) {
        let tokens = tokens(&picks);
        let tokenizer = read(&tokens);
        let words = words.iter().map(|word| word.iter().map(|i| LETTERS[*i]).collect::<String>());
        let runs = runs.iter().map(|length| "a".repeat(*length));
        for word in words.chain(runs) {
            for word in [word.clone(), format!(" {word}")] {
                let found = tokenizer.encode(&word);
                prop_assert_eq!(found, greedy(word.as_bytes(), &tokens), "{:?}", word);
            }
        }
    }

    #[test]
    fn texts_come_back(
        picks in prop::collection::vec(any::<(usize, usize)>(), 0..60),
        text in "[ a-c\u{e9}\u{6f22}0-9'.\n\t\u{1f600}]{0,60}",
        other in any::<String>(),
    ) {
        let tokenizer = read(&tokens(&picks));
        for text in [text, other] {
            let ids = tokenizer.encode(&text);
            // A space before all else is taken off.
            let wanted = text.strip_prefix(' ').unwrap_or(&text);
            prop_assert_eq!(tokenizer.decode(&ids).unwrap(), wanted);
        }
    }
}

#[test]
fn words_and_digits_are_cut_as_llama_3_does() {
    let mut tokens = tokens(&[]);
    for token in ["12", "123", "ab", "abca", " a"] {
        tokens.push(token.into());
    }
    let tokenizer = read(&tokens);
    let ids = |parts: &[&str]| -> Vec<u32> {
        let rank = |part: &&str| tokens.iter().position(|it| it == part.as_bytes());
        parts
            .iter()
            .map(|part| rank(part).unwrap() as u32)
            .collect()
    };
    // "abca" is a token that no merge makes: "ab" comes first, and "abc" is none.
    assert_eq!(tokenizer.encode("abca"), ids(&["abca"]));
    assert_eq!(tokenizer.encode("abcab"), ids(&["ab", "c", "ab"]));
    assert_eq!(tokenizer.encode("a abca"), ids(&["a", " ", "ab", "c", "a"]));
    assert_eq!(tokenizer.encode("ca a"), ids(&["c", "a", " a"]));
    assert_eq!(tokenizer.encode("12312"), ids(&["123", "12"]));
    assert_eq!(tokenizer.encode(" 12"), ids(&[" ", "12"]));
    let special = tokenizer.special();
    assert_eq!((special.bos, special.eos), (261, 262));
    assert_eq!(tokenizer.vocab_size(), 261 + 256);
    // Their names in a text are text.
    assert!(!tokenizer.encode("<|eot_id|>").contains(&270));
    assert_eq!(tokenizer.decode(&[270]).unwrap(), "");
}

#[test]
fn metas_folder_of_llama_3_has_its_tokenizer() {
    let tokens = tokens(&[(0, 1), (1, 2)]);
    let vocab = tokens.len() + 256;
    let mut tensors = vec![
        Named::counted("tok_embeddings.weight", &[vocab, 8], 0),
        Named::counted("output.weight", &[vocab, 8], 1),
        Named::counted("norm.weight", &[8], 2),
        Named::counted("layers.0.attention_norm.weight", &[8], 3),
        Named::counted("layers.0.ffn_norm.weight", &[8], 4),
    ];
    for (name, shape) in [
        ("attention.wq", [8, 8]),
        ("attention.wk", [4, 8]),
        ("attention.wv", [4, 8]),
        ("attention.wo", [8, 8]),
        ("feed_forward.w1", [16, 8]),
        ("feed_forward.w2", [8, 16]),
        ("feed_forward.w3", [16, 8]),
    ] {
        tensors.push(Named::counted(
            &format!("layers.0.{name}.weight"),
            &shape,
            5,
        ));
    }
    let place = Place::new();
    let params = json!({
        "dim": 8, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "norm_eps": 1e-5,
        "rope_theta": 500000.0, "vocab_size": vocab, "multiple_of": 16,
    });
    place.json("llama3/params.json", &params);
    place.put("llama3/consolidated.00.pth", pth(&tensors));
    let model = place.put("llama3/tokenizer.model", file(&tokens));
    place
        .import(&["llama3"], &ImportOptions::default())
        .unwrap();
    let (manifest, _) = place.package();
    let ids = (manifest.tokenizer.bos, manifest.tokenizer.eos);
    assert_eq!(ids, (tokens.len() as u32, tokens.len() as u32 + 1));
    let written = std::fs::read(place.path("package/tokenizer.json")).unwrap();
    assert_eq!(written, tokenizer_json("it", file(&tokens)).unwrap());

    // The same where it is named, not found.
    std::fs::rename(model, place.path("ranks.txt")).unwrap();
    let options = ImportOptions {
        tokenizer: Some(place.path("ranks.txt")),
        ..ImportOptions::default()
    };
    place.import(&["llama3"], &options).unwrap();
    assert_eq!(place.package().0.tokenizer, manifest.tokenizer);
}

#[test]
fn lines_that_are_none_are_refused_by_number() {
    let sound = file(&tokens(&[(0, 1)]));
    let text = String::from_utf8(sound).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let with = |number: usize, line: &str| {
        let mut lines = lines.clone();
        lines[number - 1] = line;
        lines.join("\n").into_bytes()
    };
    let long = format!("{} 256", STANDARD.encode([b'x'; 600]));
    for (bytes, words) in [
        (
            with(1, "not a line"),
            &["line 1", "not a line", "base64"][..],
        ),
        (with(1, "!!!! 0"), &["line 1", "!!!!"]),
        (with(7, "IQ=="), &["line 7"]),
        (with(7, "IQ== -1"), &["line 7"]),
        (with(7, "IQ== 99999999999999999999"), &["line 7"]),
        (with(7, "IQ== 6 6"), &["line 7"]),
        (with(7, "= 6"), &["line 7"]),
        (with(7, " 6"), &["line 7"]),
        (with(7, "\u{e9} 6"), &["line 7"]),
        (with(257, &long), &["line 257", "600 bytes"]),
        (
            with(7, &lines[7].replace(" 7", " 6")),
            &["line 8", "line 7 again"],
        ),
        (
            with(7, &lines[6].replace(" 6", " 5")),
            &["line 7", "rank 5 is there twice"],
        ),
        (
            with(7, &lines[6].replace(" 6", " 4000000")),
            &["line 7", "rank 4000000"],
        ),
        (with(7, ""), &["no line has rank 6"]),
        (
            lines[..100].join("\n").into_bytes(),
            &["no token of the byte"],
        ),
    ] {
        let error = tokenizer_json("t.model", bytes).unwrap_err().to_string();
        for word in [&["t.model", "tiktoken"], words].concat() {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    // Line ends of Windows, and an empty line at the end.
    let windows = text.replace('\n', "\r\n") + "\r\n";
    let own = tokenizer_json("t.model", windows.into_bytes()).unwrap();
    assert_eq!(own, tokenizer_json("t.model", text.into_bytes()).unwrap());
}
