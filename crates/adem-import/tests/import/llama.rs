//! Decoders from Hugging Face's and Meta's folders.

use std::path::PathBuf;

use adem_import::{ImportOptions, Storage};
use adem_package::quant::{QuantizeOptions, Scheme, quantize};
use adem_package::{Dtype, Folder, Package};
use adem_tests::golden::{self, Tensors};
use pollster::block_on;
use serde_json::{Value, json};

use crate::files::{Named, golden as all, pth, pth_legacy, safetensors};
use crate::folders::{Place, assert_equal, kinds, package, small_tokenizer};

/// The golden folders that have `file`.
fn fixtures(file: &str) -> Vec<PathBuf> {
    golden::entries("llama", |path| path.join(file).exists())
}

/// The package's names of Hugging Face's tensors.
fn renamed(tensors: &[Named]) -> Vec<Named> {
    let pairs = [
        ("model.embed_tokens", "tok_embeddings"),
        ("model.norm", "norm"),
        ("lm_head", "output"),
        ("model.layers", "layers"),
        ("self_attn.q_proj", "attention.wq"),
        ("self_attn.k_proj", "attention.wk"),
        ("self_attn.v_proj", "attention.wv"),
        ("self_attn.o_proj", "attention.wo"),
        ("mlp.gate_proj", "feed_forward.w1"),
        ("mlp.down_proj", "feed_forward.w2"),
        ("mlp.up_proj", "feed_forward.w3"),
        ("input_layernorm", "attention_norm"),
        ("post_attention_layernorm", "ffn_norm"),
    ];
    let rename = |tensor: &Named| {
        let name = pairs.iter().fold(tensor.name.clone(), |name, (from, to)| {
            name.replace(from, to)
        });
        Named {
            name,
            ..tensor.clone()
        }
    };
    tensors.iter().map(rename).collect()
}

/// An index of two files that share `tensors` between them.
fn index(tensors: &[Named], files: [&str; 2]) -> Value {
    let map = tensors
        .iter()
        .enumerate()
        .map(|(i, tensor)| (tensor.name.clone(), json!(files[i % 2])));
    json!({"metadata": {"total_size": 0}, "weight_map": serde_json::Map::from_iter(map)})
}

fn every_second(tensors: &[Named], rest: usize) -> Vec<Named> {
    let own = tensors.iter().enumerate().filter(|(i, _)| i % 2 == rest);
    own.map(|(_, tensor)| tensor.clone()).collect()
}

#[test]
fn hugging_face_folders_of_every_kind_give_their_tensors() {
    for fixture in fixtures("model.safetensors") {
        let what = golden::name(&fixture);
        let config = golden::json(&fixture.join("config.json"));
        let tensors = all(&Tensors::open(&fixture.join("model.safetensors")));
        let place = Place::new();
        for kind in ["one", "sharded", "bin", "bins", "legacy"] {
            place.json(&format!("{kind}/config.json"), &config);
            place.json(&format!("{kind}/tokenizer.json"), &small_tokenizer());
        }
        place.put("one/model.safetensors", safetensors(&tensors));
        place.put("bin/pytorch_model.bin", pth(&tensors));
        place.put("legacy/pytorch_model.bin", pth_legacy(&tensors));
        let shards = ["model-1.safetensors", "model-2.safetensors"];
        let bins = ["pytorch_model-1.bin", "pytorch_model-2.bin"];
        for rest in 0..2 {
            let half = every_second(&tensors, rest);
            place.put(&format!("sharded/{}", shards[rest]), safetensors(&half));
            place.put(&format!("bins/{}", bins[rest]), pth(&half));
        }
        place.json(
            "sharded/model.safetensors.index.json",
            &index(&tensors, shards),
        );
        place.json("bins/pytorch_model.bin.index.json", &index(&tensors, bins));
        for kind in ["one", "sharded", "bin", "bins", "legacy"] {
            let report = place.import(&[kind], &ImportOptions::default()).unwrap();
            let (manifest, found) = place.package();
            let what = format!("{what}, {kind}");
            assert_equal(&found, &renamed(&tensors), &what);
            assert!(
                report
                    .tensors
                    .iter()
                    .all(|it| it.exact && it.stored == "F32"),
                "{what}"
            );
            assert!(report.left_out.is_empty(), "{what}");
            let llama = &manifest.model["llama"];
            for (ours, theirs) in [
                ("dim", "hidden_size"),
                ("n_layers", "num_hidden_layers"),
                ("n_heads", "num_attention_heads"),
                ("n_kv_heads", "num_key_value_heads"),
                ("ffn_hidden", "intermediate_size"),
                ("norm_eps", "rms_norm_eps"),
                ("rope_theta", "rope_theta"),
                ("rope_scaling", "rope_scaling"),
                ("tie_embeddings", "tie_word_embeddings"),
                ("max_seq_len", "max_position_embeddings"),
            ] {
                assert_eq!(llama[ours], config[theirs], "{what}: {ours}");
            }
            assert_eq!(llama["rope_style"], "half", "{what}");
        }
    }
}

/// Meta's tensors divided among `count` files, embeddings by rows or by columns.
fn divided(tensors: &[Named], count: usize, embedding: usize) -> Vec<Vec<Named>> {
    let part = |tensor: &Named, which: usize| {
        let dim = match tensor.name.rsplit('.').nth(1).unwrap() {
            "tok_embeddings" => embedding,
            "wo" | "w2" => 1,
            _ if tensor.shape.len() == 1 => return tensor.clone(),
            _ => 0,
        };
        let cols = tensor.shape[1];
        let mut shape = tensor.shape.clone();
        shape[dim] /= count;
        let mine = |i: usize| {
            let at = if dim == 0 { i / cols } else { i % cols };
            at / shape[dim] == which
        };
        let values = (0..tensor.values.len()).filter(|i| mine(*i));
        Named::new(
            &tensor.name,
            &shape,
            values.map(|i| tensor.values[i]).collect(),
        )
    };
    (0..count)
        .map(|which| tensors.iter().map(|tensor| part(tensor, which)).collect())
        .collect()
}

#[test]
fn metas_folders_give_their_tensors_divided_or_not() {
    for fixture in fixtures("meta/consolidated.safetensors") {
        let what = golden::name(&fixture);
        let params = golden::json(&fixture.join("meta/params.json"));
        let mut tensors = all(&Tensors::open(
            &fixture.join("meta/consolidated.safetensors"),
        ));
        // A vocabulary that four files can share.
        for tensor in &mut tensors {
            if tensor.shape[0] == 97 {
                tensor.shape[0] = 96;
                tensor.values.truncate(96 * 64);
            }
        }
        for (count, embedding) in [(1, 0), (2, 1), (2, 0), (4, 1), (4, 0)] {
            let what = format!("{what}, {count} files, embeddings along {embedding}");
            let place = Place::new();
            place.json("llama/params.json", &params);
            place.json("llama/tokenizer.json", &small_tokenizer());
            for (i, part) in divided(&tensors, count, embedding).iter().enumerate() {
                place.put(&format!("llama/consolidated.{i:02}.pth"), pth(part));
            }
            place.import(&["llama"], &ImportOptions::default()).unwrap();
            let (manifest, found) = place.package();
            assert_equal(&found, &tensors, &what);
            let llama = &manifest.model["llama"];
            assert_eq!(llama["ffn_hidden"], params["ffn_hidden"], "{what}");
            assert_eq!(llama["vocab_size"], 96, "{what}");
            assert_eq!(llama["rope_style"], "interleaved", "{what}");
        }
    }
}

#[test]
fn the_files_pytorch_wrote_for_two_cards_are_the_whole_model() {
    let wrote = |path: &std::path::Path| path.join("meta_2shards/consolidated.01.pth").exists();
    let folder = golden::root().join("llama/mha_untied_10k");
    if !wrote(&folder) {
        println!(
            "SKIPPED: no meta_2shards in {} (ADEM_GOLDEN)",
            folder.display()
        );
        return;
    }
    let place = Place::new();
    for name in ["params.json", "consolidated.00.pth", "consolidated.01.pth"] {
        let bytes = std::fs::read(folder.join("meta_2shards").join(name)).unwrap();
        place.put(&format!("llama/{name}"), bytes);
    }
    place.json("llama/tokenizer.json", &small_tokenizer());
    place.import(&["llama"], &ImportOptions::default()).unwrap();
    let wanted = all(&Tensors::open(
        &folder.join("meta/consolidated.safetensors"),
    ));
    assert_equal(&place.package().1, &wanted, "meta_2shards");
}

/// A folder `llama` with these tensors of the first fixture, changed by `change`.
fn changed(place: &Place, change: impl Fn(&mut Vec<Named>)) {
    let fixture = fixtures("model.safetensors").remove(0);
    let mut tensors = all(&Tensors::open(&fixture.join("model.safetensors")));
    change(&mut tensors);
    place.json(
        "llama/config.json",
        &golden::json(&fixture.join("config.json")),
    );
    place.json("llama/tokenizer.json", &small_tokenizer());
    place.put("llama/model.safetensors", safetensors(&tensors));
}

#[test]
fn missing_unknown_and_misshaped_tensors_are_named_all_at_once() {
    let place = Place::new();
    changed(&place, |tensors| {
        tensors.retain(|it| it.name != "model.norm.weight");
        tensors.push(Named::counted("model.layers.0.mystery.weight", &[2, 2], 0));
        tensors.push(Named::counted(
            "model.layers.0.self_attn.rotary_emb.inv_freq",
            &[8],
            0,
        ));
        let down = tensors
            .iter_mut()
            .find(|it| it.name.ends_with("0.mlp.down_proj.weight"));
        down.unwrap().shape.reverse();
    });
    let error = place.refused(&["llama"], &ImportOptions::default());
    for word in [
        "1 missing: model.norm.weight",
        "model.layers.0.mlp.down_proj.weight [192, 64], the model's is [64, 192]",
        "1 not known here",
        "model.layers.0.mystery.weight",
        "--ignore",
    ] {
        assert!(error.contains(word), "{word}: {error}");
    }
    assert!(!error.contains("inv_freq"), "{error}");
}

#[test]
fn unknown_tensors_are_left_out_where_that_is_asked_for_and_the_report_says_so() {
    let place = Place::new();
    changed(&place, |tensors| {
        tensors.push(Named::counted("model.layers.0.mystery.weight", &[2, 2], 0));
        tensors.push(Named::counted("rotary_emb.inv_freq", &[8], 0));
    });
    let options = ImportOptions {
        ignore: vec!["*.mystery.*".into()],
        ..ImportOptions::default()
    };
    let report = place.import(&["llama"], &options).unwrap();
    let left: Vec<_> = report
        .left_out
        .iter()
        .map(|it| it.tensor.as_str())
        .collect();
    assert_eq!(left.len(), 2);
    assert!(
        left.contains(&"model.layers.0.mystery.weight") && left.contains(&"rotary_emb.inv_freq")
    );
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("no vision tower"))
    );
}

#[test]
fn weights_that_are_not_finite_are_refused_by_file_and_tensor() {
    let place = Place::new();
    changed(&place, |tensors| tensors[3].values[5] = f32::NAN);
    let error = place.refused(&["llama"], &ImportOptions::default());
    assert!(
        error.contains("model.safetensors") && error.contains("NaN"),
        "{error}"
    );
}

#[test]
fn configs_of_other_models_are_refused_by_field() {
    let place = Place::new();
    changed(&place, |_| {});
    let config = golden::json(&place.path("llama/config.json"));
    for (field, value) in [
        ("model_type", json!("gpt2")),
        ("hidden_act", json!("gelu")),
        ("attention_bias", json!(true)),
        ("head_dim", json!(32)),
        ("hidden_size", json!(0)),
        ("hidden_size", json!("64")),
        ("num_hidden_layers", json!(1u64 << 40)),
        ("num_attention_heads", json!(7)),
        ("rms_norm_eps", json!(null)),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 2.0})),
    ] {
        let mut changed = config.clone();
        changed[field] = value;
        place.json("llama/config.json", &changed);
        let error = place.refused(&["llama"], &ImportOptions::default());
        let named =
            error.contains(field) || field == "num_attention_heads" || field == "rope_scaling";
        assert!(named && error.contains("config.json"), "{field}: {error}");
    }
    // Newer configs keep RoPE's numbers together.
    let mut newer = config.clone();
    newer["rope_parameters"] = json!({"rope_theta": 123.0, "rope_type": "default"});
    newer.as_object_mut().unwrap().remove("rope_theta");
    place.json("llama/config.json", &newer);
    place.import(&["llama"], &ImportOptions::default()).unwrap();
    assert_eq!(place.package().0.model["llama"]["rope_theta"], 123.0);
}

#[test]
fn indexes_that_lead_astray_are_refused() {
    let place = Place::new();
    changed(&place, |_| {});
    for (map, word) in [
        (
            json!({"a": "../model.safetensors"}),
            "no file of the folder",
        ),
        (json!({"a": "/etc/passwd"}), "no file of the folder"),
        (json!({"a": "C:\\x"}), "no file of the folder"),
        (json!({"a": 3}), "no file of the folder"),
        (json!({}), "0 files"),
        (
            json!({"a": "model-00002-of-00002.safetensors"}),
            "model-00002-of-00002",
        ),
        (json!({"a": "config.json"}), "config.json"),
    ] {
        place.json(
            "llama/model.safetensors.index.json",
            &json!({"weight_map": map}),
        );
        let error = place.refused(&["llama"], &ImportOptions::default());
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[test]
fn folders_that_are_not_whole_are_refused() {
    let place = Place::new();
    place.json("empty/notes.json", &json!({}));
    place.json("config/config.json", &json!({"model_type": "llama"}));
    place.json("params/params.json", &json!({"dim": 64}));
    place.json("gap/params.json", &json!({"dim": 64}));
    place.put(
        "gap/consolidated.01.pth",
        pth(&[Named::counted("a", &[1], 0)]),
    );
    place.json("vit/config.json", &json!({"model_type": "vit"}));
    place.put(
        "vit/model.safetensors",
        safetensors(&[Named::counted("a", &[1], 0)]),
    );
    let token = Named::counted("vit.embeddings.cls_token", &[1, 1, 4], 0);
    place.put("vit.safetensors", safetensors(&[token]));
    for (folder, word) in [
        ("vit.safetensors", "patch_embeddings"),
        ("empty", "no config.json"),
        ("config", "model.safetensors"),
        ("params", "consolidated.00.pth"),
        ("gap", "consolidated.00.pth"),
        ("vit", "none of a ViT's"),
        ("absent", "absent"),
    ] {
        let error = place.refused(&[folder], &ImportOptions::default());
        assert!(error.contains(word), "{folder}: {error}");
    }
}

#[test]
fn quantised_as_it_streams_is_the_same_as_quantised_after() {
    for (scheme, name) in [(Scheme::Q4, "q4"), (Scheme::Q8, "q8")] {
        let place = Place::new();
        changed(&place, |_| {});
        place.import(&["llama"], &ImportOptions::default()).unwrap();
        let float = block_on(Package::open(Folder::new(place.path("package")))).unwrap();
        let after = place.path("after");
        let options = QuantizeOptions::new(scheme);
        block_on(quantize(&float, &after, &options, |_| {}, &AtomicFalse)).unwrap();
        let options = ImportOptions {
            storage: Storage::Quantised(scheme),
            ..ImportOptions::default()
        };
        place.import(&["llama"], &options).unwrap();
        let kinds = kinds(&place.path("package"));
        assert_eq!(kinds["layers.0.attention.wq.weight"], name);
        assert_eq!(kinds["norm.weight"], "F32");
        let wanted: Vec<_> = package(&after).1.into_values().collect();
        assert_equal(&place.package().1, &wanted, name);
    }
}

#[allow(non_upper_case_globals)]
static AtomicFalse: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

#[test]
fn floats_of_another_type_are_rounded_and_overflow_is_refused() {
    let place = Place::new();
    changed(&place, |_| {});
    let half = ImportOptions {
        dtype: Some(Dtype::F16),
        ..ImportOptions::default()
    };
    let report = place.import(&["llama"], &half).unwrap();
    assert!(
        report
            .tensors
            .iter()
            .all(|it| it.stored == "F16" && !it.exact)
    );
    changed(&place, |tensors| tensors[0].values[0] = 1e6);
    let error = place.refused(&["llama"], &half);
    assert!(
        error.contains("1000000") && error.contains("F16"),
        "{error}"
    );
}

#[test]
fn a_stop_leaves_the_package_that_was_there() {
    let place = Place::new();
    changed(&place, |_| {});
    place.import(&["llama"], &ImportOptions::default()).unwrap();
    let before = place.package();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let halfway = |now: adem_import::ImportProgress| {
        assert!(now.bytes <= now.total_bytes && now.tensors <= now.total_tensors);
        stop.store(now.tensors > 3, std::sync::atomic::Ordering::Relaxed);
    };
    let options = ImportOptions {
        storage: Storage::Quantised(Scheme::Q4),
        ..ImportOptions::default()
    };
    let stopped = adem_import::import(
        &[place.path("llama")],
        &place.path("package"),
        &options,
        halfway,
        &stop,
    );
    assert!(stopped.unwrap_err().to_string().contains("stopped"));
    assert_eq!(place.package(), before);
    let left = std::fs::read_dir(place.path("package")).unwrap();
    let parts = left.filter(|it| it.as_ref().unwrap().path().extension() == Some("part".as_ref()));
    assert_eq!(parts.count(), 0);
}
