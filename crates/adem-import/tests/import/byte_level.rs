//! Decoders whose tokens are made of bytes: Llama 3's and SmolLM's folders, and their GGUF files.

use std::collections::BTreeMap;
use std::fs;

use adem_data::tokenizer::Tokenizer;
use adem_import::ImportOptions;
use serde_json::{Value, json};

use crate::files::{Named, safetensors};
use crate::folders::Place;
use crate::gguf_file::{self, Field, Stored};

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The character that stands for a byte: itself where it can be seen, else one from U+0100 on.
fn symbols() -> Vec<String> {
    let seen = |b: &u32| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut unseen = 256..;
    let symbol = |b: u32| if seen(&b) { b } else { unseen.next().unwrap() };
    let chars = (0..256).map(symbol).map(|c| char::from_u32(c).unwrap());
    chars.map(String::from).collect()
}

const MERGES: [&str; 6] = ["r e", "re d", "\u{120} red", "1 2", "12 3", "i s"];

struct Family {
    name: &'static str,
    special: [&'static str; 3],
    /// Special tokens come before all others.
    first: bool,
    steps: Vec<Value>,
    ignore_merges: bool,
    config: Value,
    ids: [u32; 3],
    gguf: &'static str,
    /// What " red 1234" is made of.
    parts: &'static [&'static str],
}

fn families() -> [Family; 2] {
    let bytes = |regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let split = json!({"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": false});
    [
        Family {
            name: "llama-3",
            special: ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
            first: false,
            steps: vec![split, bytes(false)],
            ignore_merges: true,
            config: json!({"bos_token_id": 262, "eos_token_id": [264, 263]}),
            ids: [262, 264, 264],
            gguf: "llama-bpe",
            parts: &["\u{120}red", "\u{120}", "123", "4"],
        },
        Family {
            name: "smollm",
            special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            first: true,
            steps: vec![
                json!({"type": "Digits", "individual_digits": true}),
                bytes(true),
            ],
            ignore_merges: false,
            config: json!({"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 2}),
            ids: [0, 0, 2],
            gguf: "smollm",
            parts: &["\u{120}red", "\u{120}", "1", "2", "3", "4"],
        },
    ]
}

impl Family {
    /// All tokens in the order of their ids.
    fn tokens(&self) -> Vec<String> {
        let special: Vec<String> = self.special.map(String::from).to_vec();
        let mut others = symbols();
        others.extend(MERGES.map(|it| it.replace(' ', "")));
        match self.first {
            true => [special, others].concat(),
            false => [others, special].concat(),
        }
    }

    fn tokenizer(&self) -> Value {
        let tokens = self.tokens();
        let ids: BTreeMap<&str, usize> = tokens
            .iter()
            .enumerate()
            .map(|(id, it)| (it.as_str(), id))
            .collect();
        let added = self
            .special
            .map(|it| json!({"id": ids[it], "content": it, "special": true}));
        let mut vocab = ids.clone();
        if !self.first {
            vocab.retain(|token, _| !self.special.contains(token));
        }
        json!({
            "version": "1.0", "added_tokens": added, "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": self.steps},
            "post_processor": {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}},
            "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
            "model": {"type": "BPE", "unk_token": null, "ignore_merges": self.ignore_merges,
                "vocab": vocab, "merges": MERGES},
        })
    }

    /// A decoder of one layer, with its output tied to its embedding, under Hugging Face's names.
    fn tensors(&self) -> Vec<Named> {
        let layer = "model.layers.0.";
        let square = [8, 8];
        [
            ("model.embed_tokens", &[self.tokens().len(), 8][..]),
            ("model.norm", &[8]),
            (&format!("{layer}self_attn.q_proj"), &square),
            (&format!("{layer}self_attn.k_proj"), &square),
            (&format!("{layer}self_attn.v_proj"), &square),
            (&format!("{layer}self_attn.o_proj"), &square),
            (&format!("{layer}mlp.gate_proj"), &[16, 8]),
            (&format!("{layer}mlp.up_proj"), &[16, 8]),
            (&format!("{layer}mlp.down_proj"), &[8, 16]),
            (&format!("{layer}input_layernorm"), &[8]),
            (&format!("{layer}post_attention_layernorm"), &[8]),
        ]
        .map(|(name, shape)| Named::counted(&format!("{name}.weight"), shape, name.len()))
        .to_vec()
    }

    /// The files of a folder of Hugging Face's.
    fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut config = json!({
            "model_type": "llama", "hidden_act": "silu", "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 16,
            "vocab_size": self.tokens().len(), "rms_norm_eps": 1e-5, "rope_theta": 5e5,
            "tie_word_embeddings": true, "max_position_embeddings": 128,
        });
        for (field, value) in self.config.as_object().unwrap() {
            config[field] = value.clone();
        }
        vec![
            ("config.json", config.to_string().into_bytes()),
            ("tokenizer.json", self.tokenizer().to_string().into_bytes()),
            ("model.safetensors", safetensors(&self.tensors())),
        ]
    }

    fn folder(&self, place: &Place) {
        for (file, bytes) in self.files() {
            place.put(&format!("{}/{file}", self.name), bytes);
        }
    }

    fn gguf(&self, place: &Place, pre: &str) {
        let kind = |token: &String| match self.special.contains(&token.as_str()) {
            true => 3,
            false => 1,
        };
        let tokens = self.tokens();
        let mut fields: Vec<(&str, Field)> = [
            ("llama.context_length", 128),
            ("llama.embedding_length", 8),
            ("llama.block_count", 1),
            ("llama.feed_forward_length", 16),
            ("llama.attention.head_count", 2),
            ("tokenizer.ggml.bos_token_id", self.ids[0]),
            ("tokenizer.ggml.eos_token_id", self.ids[1]),
            ("tokenizer.ggml.padding_token_id", self.ids[2]),
        ]
        .map(|(key, value)| (key, Field::U32(value)))
        .to_vec();
        let text = |text: &str| Field::Text(text.into());
        fields.extend([
            ("general.architecture", text("llama")),
            ("llama.attention.layer_norm_rms_epsilon", Field::F32(1e-5)),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text(pre)),
            (
                "tokenizer.ggml.token_type",
                Field::Ints(tokens.iter().map(kind).collect()),
            ),
            ("tokenizer.ggml.tokens", Field::Texts(tokens)),
            (
                "tokenizer.ggml.merges",
                Field::Texts(MERGES.map(String::from).to_vec()),
            ),
        ]);
        let name = |name: &str| {
            [
                ("model.embed_tokens", "token_embd"),
                ("model.norm", "output_norm"),
                ("model.layers", "blk"),
                ("self_attn.q_proj", "attn_q"),
                ("self_attn.k_proj", "attn_k"),
                ("self_attn.v_proj", "attn_v"),
                ("self_attn.o_proj", "attn_output"),
                ("mlp.gate_proj", "ffn_gate"),
                ("mlp.up_proj", "ffn_up"),
                ("mlp.down_proj", "ffn_down"),
                ("input_layernorm", "attn_norm"),
                ("post_attention_layernorm", "ffn_norm"),
            ]
            .iter()
            .fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
        };
        let tensors: Vec<_> = self
            .tensors()
            .iter()
            .map(|it| Stored {
                name: name(&it.name),
                ..Stored::floats(it)
            })
            .collect();
        let file = gguf_file::file(3, &fields, &tensors);
        place.put(&format!("{}.gguf", self.name), file);
    }

    /// The package that was written writes this family's tokens.
    fn assert_imported(&self, place: &Place, what: &str) {
        let (manifest, _) = place.package();
        let ids = &manifest.tokenizer;
        assert_eq!([ids.bos, ids.eos, ids.pad], self.ids, "{what}");
        let json = fs::read(place.path("package/tokenizer.json")).unwrap();
        let tokenizer = Tokenizer::from_bytes(&json).unwrap();
        let tokens = self.tokens();
        let found = tokenizer.encode(" red 1234");
        let found: Vec<_> = found
            .iter()
            .map(|id| tokens[*id as usize].as_str())
            .collect();
        assert_eq!(found, self.parts, "{what}");
        // What is typed is never special.
        let typed = tokenizer.encode(self.special[1]);
        assert_eq!(tokenizer.decode(&typed).unwrap(), self.special[1], "{what}");
    }
}

/// The files of a small model of SmolLM's kind.
pub fn smollm() -> Vec<(&'static str, Vec<u8>)> {
    families()[1].files()
}

#[test]
fn folders_of_llama_3_and_smollm_are_imported() {
    for family in families() {
        let place = Place::new();
        family.folder(&place);
        place
            .import(&[family.name], &ImportOptions::default())
            .unwrap();
        family.assert_imported(&place, family.name);
    }
}

#[test]
fn their_gguf_files_have_the_same_tokenizer() {
    for family in families() {
        let place = Place::new();
        family.gguf(&place, family.gguf);
        let file = format!("{}.gguf", family.name);
        place.import(&[&file], &ImportOptions::default()).unwrap();
        family.assert_imported(&place, &file);
        family.gguf(&place, "tekken");
        let error = place.refused(&[&file], &ImportOptions::default());
        assert!(
            error.contains("tokenizer.ggml.pre") && error.contains("tekken"),
            "{error}"
        );
    }
}

#[test]
fn a_pattern_nobody_knows_is_refused_by_name() {
    let [family, _] = families();
    let place = Place::new();
    family.folder(&place);
    let mut json = family.tokenizer();
    json["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = json!(r"\p{Lu}+|\s+");
    place.json("llama-3/tokenizer.json", &json);
    let error = place.refused(&["llama-3"], &ImportOptions::default());
    assert!(
        error.contains("pre_tokenizer") && error.contains(r"\\p{Lu}+"),
        "{error}"
    );
}
