//! Decoders from GGUF files: floats, blocks that are kept and blocks that are not.

use adem_import::{ImportOptions, Storage};
use adem_tests::golden::{self, Tensors};
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::Value;

use crate::files::{Named, golden as all};
use crate::folders::{Place, assert_equal, kinds, small_tokenizer};
use crate::gguf_file::{self, Field, Stored};

/// GGUF's names of Meta's tensors.
fn renamed(name: &str) -> String {
    [
        ("layers.", "blk."),
        ("tok_embeddings", "token_embd"),
        ("attention.wq", "attn_q"),
        ("attention.wk", "attn_k"),
        ("attention.wv", "attn_v"),
        ("attention.wo", "attn_output"),
        ("feed_forward.w1", "ffn_gate"),
        ("feed_forward.w2", "ffn_down"),
        ("feed_forward.w3", "ffn_up"),
        ("attention_norm", "attn_norm"),
    ]
    .iter()
    .fold(
        match name {
            "norm.weight" => "output_norm.weight".to_owned(),
            other => other.to_owned(),
        },
        |name, (from, to)| name.replace(from, to),
    )
}

/// The metadata of a model of these sizes, with the small tokenizer.
fn fields(params: &Value, context: u32) -> Vec<(&'static str, Field)> {
    let size = |key: &str| Field::U32(params[key].as_u64().unwrap() as u32);
    let number = |key: &str| Field::F32(params[key].as_f64().unwrap() as f32);
    let tokenizer = small_tokenizer();
    let mut tokens: Vec<_> = tokenizer["model"]["vocab"]
        .as_object()
        .unwrap()
        .iter()
        .collect();
    tokens.sort_by_key(|(_, id)| id.as_u64());
    let kinds = (0..tokens.len()).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        _ => 1,
    });
    vec![
        ("general.architecture", Field::Text("llama".into())),
        ("llama.context_length", Field::U32(context)),
        ("llama.embedding_length", size("dim")),
        ("llama.block_count", size("n_layers")),
        ("llama.feed_forward_length", size("ffn_hidden")),
        ("llama.attention.head_count", size("n_heads")),
        (
            "llama.attention.head_count_kv",
            match params["n_kv_heads"].is_null() {
                true => size("n_heads"),
                false => size("n_kv_heads"),
            },
        ),
        ("llama.attention.layer_norm_rms_epsilon", number("norm_eps")),
        (
            "llama.rope.freq_base",
            match params["rope_theta"].is_null() {
                true => Field::F32(10_000.0),
                false => number("rope_theta"),
            },
        ),
        ("tokenizer.ggml.model", Field::Text("llama".into())),
        (
            "tokenizer.ggml.tokens",
            Field::Texts(tokens.iter().map(|it| it.0.clone()).collect()),
        ),
        (
            "tokenizer.ggml.scores",
            Field::Floats((0..tokens.len()).map(|i| -(i as f32)).collect()),
        ),
        ("tokenizer.ggml.token_type", Field::Ints(kinds.collect())),
    ]
}

/// The golden decoders under Meta's names, with their sizes.
fn golden_models() -> Vec<(String, Value, Vec<Named>)> {
    let has = |path: &std::path::Path| path.join("meta/consolidated.safetensors").exists();
    golden::entries("llama", has)
        .into_iter()
        .map(|folder| {
            let params = golden::json(&folder.join("meta/params.json"));
            let tensors = all(&Tensors::open(
                &folder.join("meta/consolidated.safetensors"),
            ));
            (golden::name(&folder), params, tensors)
        })
        .collect()
}

#[test]
fn floats_come_through_bit_by_bit() {
    for (what, params, tensors) in golden_models() {
        let stored: Vec<_> = tensors
            .iter()
            .map(|it| Stored {
                name: renamed(&it.name),
                ..Stored::floats(it)
            })
            .collect();
        let place = Place::new();
        place.put(
            "model.gguf",
            gguf_file::file(3, &fields(&params, 128), &stored),
        );
        place
            .import(&["model.gguf"], &ImportOptions::default())
            .unwrap();
        let (manifest, found) = place.package();
        assert_equal(&found, &tensors, &what);
        let llama = &manifest.model["llama"];
        for field in ["dim", "n_layers", "n_heads", "ffn_hidden", "norm_eps"] {
            assert_eq!(llama[field], params[field], "{what}: {field}");
        }
        assert_eq!(llama["rope_style"], "interleaved");
        assert_eq!(llama["max_seq_len"], 128);
    }
}

/// Bytes of blocks with scales that are small numbers.
fn blocks(kind: u32, elements: usize, rng: &mut TestRng) -> Vec<u8> {
    use proptest::prelude::Rng;
    let (block, bytes, scales): (usize, usize, &[usize]) = match kind {
        2 => (32, 18, &[0]),
        8 => (32, 34, &[0]),
        12 => (256, 144, &[0, 2]),
        14 => (256, 210, &[208]),
        _ => panic!("no blocks of {kind}"),
    };
    let mut all = vec![0; elements / block * bytes];
    rng.fill_bytes(&mut all);
    for one in all.chunks_mut(bytes) {
        for place in scales {
            // Half precision of 2^-7 or so, of either sign.
            one[place + 1] = (one[place + 1] & 0x83) | 0x20;
        }
    }
    all
}

/// A model of one layer and width 256 whose matrices are of ggml type `kind`.
fn of_blocks(place: &Place, kind: u32) -> Vec<Stored> {
    let mut rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let params = serde_json::json!({
        "dim": 256, "n_layers": 1, "n_heads": 4, "n_kv_heads": 2, "ffn_hidden": 512,
        "norm_eps": 1e-5, "rope_theta": 10000.0,
    });
    let mut stored = Vec::new();
    for (name, rows, cols) in [
        ("token_embd", 40, 256),
        ("output", 40, 256),
        ("blk.0.attn_q", 256, 256),
        ("blk.0.attn_k", 128, 256),
        ("blk.0.attn_v", 128, 256),
        ("blk.0.attn_output", 256, 256),
        ("blk.0.ffn_gate", 512, 256),
        ("blk.0.ffn_up", 512, 256),
        ("blk.0.ffn_down", 256, 512),
    ] {
        stored.push(Stored {
            name: format!("{name}.weight"),
            shape: vec![rows, cols],
            kind,
            bytes: blocks(kind, rows * cols, &mut rng),
        });
    }
    for name in ["output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"] {
        let norm = Named::counted(&format!("{name}.weight"), &[256], 0);
        stored.push(Stored::floats(&norm));
    }
    place.put(
        "model.gguf",
        gguf_file::file(3, &fields(&params, 64), &stored),
    );
    stored
}

#[test]
fn q4_0_and_q8_0_are_kept_as_they_are() {
    for (kind, dtype, stored_as) in [
        (2, adem_import::Dtype::Q4_0, "q4"),
        (8, adem_import::Dtype::Q8_0, "q8"),
    ] {
        let place = Place::new();
        let stored = of_blocks(&place, kind);
        let report = place
            .import(&["model.gguf"], &ImportOptions::default())
            .unwrap();
        assert!(report.tensors.iter().all(|it| it.exact), "{stored_as}");
        let found = place.package().1;
        let kinds = kinds(&place.path("package"));
        for tensor in stored.iter().filter(|it| it.kind == kind) {
            let name = found
                .keys()
                .find(|name| renamed(name) == tensor.name)
                .unwrap();
            assert_eq!(kinds[name], stored_as, "{name}");
            let wanted = dtype.decode(&tensor.bytes);
            let zeros = |values: &[f32]| values.iter().map(|v| v + 0.0).collect::<Vec<_>>();
            assert!(zeros(&found[name].values) == zeros(&wanted), "{name}");
        }
    }
}

#[test]
fn blocks_of_other_kinds_are_quantised_anew_and_the_report_says_so() {
    for (kind, dtype, stored_as, off) in [
        (12, adem_import::Dtype::Q4K, "q4", 0.12),
        (14, adem_import::Dtype::Q6K, "q8", 0.02),
    ] {
        let place = Place::new();
        let stored = of_blocks(&place, kind);
        let report = place
            .import(&["model.gguf"], &ImportOptions::default())
            .unwrap();
        let note = format!("9 tensors of {}", dtype.name());
        assert!(
            report.notes.iter().any(|it| it.contains(&note)),
            "{:?}",
            report.notes
        );
        let found = place.package().1;
        let kinds = kinds(&place.path("package"));
        for tensor in stored.iter().filter(|it| it.kind == kind) {
            let name = found
                .keys()
                .find(|name| renamed(name) == tensor.name)
                .unwrap();
            assert_eq!(kinds[name], stored_as, "{name}");
            let wanted = dtype.decode(&tensor.bytes);
            let square = |sum: f32, value: f32| sum + value * value;
            let error = found[name].values.iter().zip(&wanted).map(|(a, b)| a - b);
            let error = error.fold(0.0, square) / wanted.iter().copied().fold(0.0, square);
            assert!(error.sqrt() < off, "{name}: {}", error.sqrt());
        }
    }
}

#[test]
fn blocks_become_floats_where_that_is_asked_for() {
    let place = Place::new();
    let stored = of_blocks(&place, 8);
    let options = ImportOptions {
        storage: Storage::Float,
        dtype: Some(adem_package::Dtype::F32),
        ..ImportOptions::default()
    };
    place.import(&["model.gguf"], &options).unwrap();
    let wanted = adem_import::Dtype::Q8_0.decode(&stored[0].bytes);
    assert_eq!(place.package().1["tok_embeddings.weight"].values, wanted);
}

#[test]
fn llama_3s_scaling_of_rope_is_known_by_its_factors() {
    let (_, mut params, tensors) = golden_models().remove(0);
    params["rope_theta"] = serde_json::json!(500_000.0);
    let head = params["dim"].as_u64().unwrap() / params["n_heads"].as_u64().unwrap();
    // Llama 3.1's: frequencies of long waves are divided by 8.
    let factor = |pair: u64| {
        let wave = std::f64::consts::TAU * 500_000f64.powf((2 * pair) as f64 / head as f64);
        match wave {
            wave if wave < 8192.0 / 4.0 => 1.0,
            wave if wave > 8192.0 => 8.0,
            wave => {
                let smooth = (8192.0 / wave - 1.0) / 3.0;
                1.0 / ((1.0 - smooth) / 8.0 + smooth)
            }
        }
    };
    let factors: Vec<f32> = (0..head / 2).map(|pair| factor(pair) as f32).collect();
    assert!(factors.contains(&8.0) && factors.contains(&1.0));
    let place = Place::new();
    let file = |factors: Vec<f32>| {
        let mut stored: Vec<_> = tensors
            .iter()
            .map(|it| Stored {
                name: renamed(&it.name),
                ..Stored::floats(it)
            })
            .collect();
        let shape = [factors.len()];
        stored.push(Stored::floats(&Named::new(
            "rope_freqs.weight",
            &shape,
            factors,
        )));
        gguf_file::file(3, &fields(&params, 128), &stored)
    };
    place.put("model.gguf", file(factors.clone()));
    place
        .import(&["model.gguf"], &ImportOptions::default())
        .unwrap();
    let scaling = &place.package().0.model["llama"]["rope_scaling"];
    assert_eq!(scaling["factor"], 8.0);
    assert_eq!(scaling["original_max_position_embeddings"], 8192);
    let odd = factors.iter().map(|it| it * 1.1).collect();
    place.put("model.gguf", file(odd));
    let error = place.refused(&["model.gguf"], &ImportOptions::default());
    assert!(error.contains("rope_freqs.weight"), "{error}");
}

#[test]
fn models_and_tokenizers_of_other_kinds_are_refused_by_key() {
    let (_, params, tensors) = golden_models().remove(0);
    let stored: Vec<_> = tensors
        .iter()
        .map(|it| Stored {
            name: renamed(&it.name),
            ..Stored::floats(it)
        })
        .collect();
    for (key, value) in [
        ("general.architecture", Field::Text("qwen2".into())),
        ("llama.rope.scaling.type", Field::Text("yarn".into())),
        ("llama.rope.dimension_count", Field::U32(8)),
        ("llama.embedding_length", Field::U32(0)),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Field::Text("x".into()),
        ),
        ("tokenizer.ggml.model", Field::Text("t5".into())),
        ("tokenizer.ggml.scores", Field::Floats(vec![0.0])),
    ] {
        let mut fields = fields(&params, 64);
        fields.retain(|(name, _)| *name != key);
        fields.push((key, value));
        let place = Place::new();
        place.put("model.gguf", gguf_file::file(3, &fields, &stored));
        let error = place.refused(&["model.gguf"], &ImportOptions::default());
        assert!(error.contains(key), "{key}: {error}");
    }
}
