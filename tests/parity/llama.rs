//! The decoder alone, from Hugging Face's and from Meta's layout.

use std::path::Path;

use adem_model::config::{LlamaConfig, RopeScaling, RopeStyle};
use adem_model::language::{KvCache, Llama, Positions};
use adem_model::nn::Builder;
use adem_model::{Sampler, Sampling};
use adem_tests::golden::{self, Array, Tensors};
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use crate::backend::Backend;
use crate::compare::{Report, download, ids, upload_ids};
use crate::source::{Named, Stored};

/// The decoder of a folder in Hugging Face's layout.
fn hugging_face(folder: &Path, device: &Device) -> Llama {
    let json = golden::json(&folder.join("config.json"));
    let size = |key: &str| json[key].as_u64().unwrap() as usize;
    let config = LlamaConfig {
        dim: size("hidden_size"),
        n_layers: size("num_hidden_layers"),
        n_heads: size("num_attention_heads"),
        n_kv_heads: Some(size("num_key_value_heads")),
        vocab_size: size("vocab_size"),
        ffn_hidden: size("intermediate_size"),
        norm_eps: json["rms_norm_eps"].as_f64().unwrap(),
        rope_theta: json["rope_theta"].as_f64().unwrap(),
        rope_scaling: scaling(&json),
        rope_style: RopeStyle::Half,
        tie_embeddings: json["tie_word_embeddings"].as_bool().unwrap(),
        max_seq_len: size("max_position_embeddings"),
    };
    let tensors = Tensors::open(&folder.join("model.safetensors"));
    let mut source = Named {
        tensors: &tensors,
        stored: |name| Stored::Whole(hf_name(name)),
    };
    Llama::new(&mut Builder::new(&mut source, device), &config).unwrap()
}

fn scaling(json: &Value) -> Option<RopeScaling> {
    serde_json::from_value(json["rope_scaling"].clone()).unwrap()
}

fn hf_name(name: &str) -> String {
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["tok_embeddings", "weight"] => "model.embed_tokens.weight".into(),
        ["norm", "weight"] => "model.norm.weight".into(),
        ["output", "weight"] => "lm_head.weight".into(),
        ["layers", i, rest @ ..] => {
            let part = match rest {
                ["attention", "wq", _] => "self_attn.q_proj",
                ["attention", "wk", _] => "self_attn.k_proj",
                ["attention", "wv", _] => "self_attn.v_proj",
                ["attention", "wo", _] => "self_attn.o_proj",
                ["feed_forward", "w1", _] => "mlp.gate_proj",
                ["feed_forward", "w2", _] => "mlp.down_proj",
                ["feed_forward", "w3", _] => "mlp.up_proj",
                ["attention_norm", _] => "input_layernorm",
                ["ffn_norm", _] => "post_attention_layernorm",
                _ => panic!("unknown tensor {name}"),
            };
            format!("model.layers.{i}.{part}.weight")
        }
        _ => panic!("unknown tensor {name}"),
    }
}

/// The decoder of a folder in Meta's layout; sizes the parameters leave out follow the tensors.
fn meta(folder: &Path, device: &Device) -> Llama {
    let json = golden::json(&folder.join("params.json"));
    let size = |key: &str| json[key].as_u64().unwrap() as usize;
    let tensors = Tensors::open(&folder.join("consolidated.safetensors"));
    let config = LlamaConfig {
        dim: size("dim"),
        n_layers: size("n_layers"),
        n_heads: size("n_heads"),
        n_kv_heads: json["n_kv_heads"].as_u64().map(|n| n as usize),
        vocab_size: tensors.f32("tok_embeddings.weight").shape[0],
        ffn_hidden: tensors.f32("layers.0.feed_forward.w1.weight").shape[0],
        norm_eps: json["norm_eps"].as_f64().unwrap(),
        rope_theta: json["rope_theta"].as_f64().unwrap(),
        rope_scaling: scaling(&json),
        rope_style: RopeStyle::Interleaved,
        tie_embeddings: tensors.find("output.weight").is_none(),
        ..LlamaConfig::default()
    };
    let mut source = Named {
        tensors: &tensors,
        stored: |name| Stored::Whole(name.into()),
    };
    Llama::new(&mut Builder::new(&mut source, device), &config).unwrap()
}

/// Logits `[batch, tokens, vocabulary]` of the tokens that follow those in `cache`.
fn continued(llama: &Llama, rows: &[Vec<u32>], cache: &mut KvCache, device: &Device) -> Tensor<3> {
    let embeddings = llama.embed(upload_ids(rows, device));
    let positions = Positions::new(rows[0].len(), cache.tokens(), &[]);
    llama.logits(llama.hidden(embeddings, None, &positions, Some(cache)))
}

/// The `steps` most probable tokens after `ids`, one after another; `seen` may end it early.
pub fn greedy(
    llama: &Llama,
    ids: &[u32],
    steps: usize,
    device: &Device,
    mut seen: impl FnMut(u32) -> bool,
) {
    let mut sampler = Sampler::new(Sampling::Greedy).unwrap();
    let mut cache = KvCache::new(llama.layers.len());
    let mut next = ids.to_vec();
    for _ in 0..steps {
        let logits = continued(llama, &[next], &mut cache, device);
        let [_, tokens, _] = logits.dims();
        let last = download(logits.narrow(1, tokens - 1, 1));
        let token = sampler.choose(&last.values).unwrap();
        if !seen(token) {
            return;
        }
        next = vec![token];
    }
}

/// Numbers at the end of a tensor's name: `chunk_logits_17_30` has 17 and 30.
fn numbers_after(name: &str, prefix: &str) -> Option<Vec<usize>> {
    name.strip_prefix(prefix)?
        .split('_')
        .map(|n| n.parse().ok())
        .collect()
}

fn slice(rows: &[Vec<u32>], from: usize, to: usize) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row[from..to].to_vec()).collect()
}

/// One decoder against one set of expected values.
pub fn compare(
    llama: &Llama,
    what: &str,
    expected: &Tensors,
    backend: &Backend,
    report: &mut Report,
) {
    let (device, t) = (&backend.device, &backend.tolerances);
    let ids_ = ids(expected.i64("ids"));
    let all = ids_[0].len();
    let empty = || KvCache::new(llama.layers.len());

    let embeddings = llama.embed(upload_ids(&ids_, device));
    let positions = Positions::new(all, 0, &[]);
    let mut states = llama.hidden_states(embeddings.clone(), None, &positions, None);
    // The public models count the final norm's output as the last state.
    let last = states.pop().unwrap();
    states.push(llama.norm.forward(last));
    let want = expected.f32("hidden_states");
    assert_eq!(want.shape[0], states.len(), "{what}: states");
    for (i, state) in states.into_iter().enumerate() {
        let what = format!("{what}, state {i}");
        report.absolute(
            "hidden states",
            &what,
            &download(state),
            &want.row(i),
            t.logits,
        );
    }

    let full = download(llama.logits(llama.hidden(embeddings, None, &positions, None)));
    report.absolute("logits", what, &full, expected.f32("logits"), t.logits);

    let mut cache = empty();
    let steps: Vec<Tensor<3>> = (0..all)
        .map(|i| continued(llama, &slice(&ids_, i, i + 1), &mut cache, device))
        .collect();
    let cached = download(Tensor::cat(steps, 1));
    report.absolute(
        "decoded logits",
        what,
        &cached,
        expected.f32("decode_logits"),
        t.logits,
    );
    report.absolute("cached to uncached", what, &cached, &full, t.logits);

    let mut chunks = 0;
    for name in expected.float_names() {
        let Some(ends) = numbers_after(name, "chunk_logits_") else {
            continue;
        };
        let mut cache = empty();
        continued(llama, &slice(&ids_, 0, ends[0]), &mut cache, device);
        let got = download(continued(
            llama,
            &slice(&ids_, ends[0], ends[1]),
            &mut cache,
            device,
        ));
        report.absolute("chunked logits", what, &got, expected.f32(name), t.logits);
        chunks += 1;
    }
    assert!(chunks > 0, "{what}: no chunked prefill in the fixture");

    let mut texts = 0;
    for name in expected.int_names() {
        let Some(start) = numbers_after(name, "greedy_from_first") else {
            continue;
        };
        let want = &ids(expected.i64(name))[0];
        let mut got = Vec::new();
        greedy(llama, &ids_[0][..start[0]], want.len(), device, |token| {
            got.push(token);
            true
        });
        assert_eq!(&got, want, "{what}: greedy ids on {}", backend.name);
        texts += 1;
    }
    assert!(texts > 0, "{what}: no greedy text in the fixture");
    report.case();
}

fn expected(folder: &Path) -> Tensors {
    Tensors::open(&folder.join("expected.safetensors"))
}

fn hugging_face_layout(backend: &Backend) {
    let mut report = Report::new("llama, Hugging Face layout", backend.name);
    for folder in golden::entries("llama", |p| p.join("model.safetensors").exists()) {
        let llama = hugging_face(&folder, &backend.device);
        compare(
            &llama,
            &golden::name(&folder),
            &expected(&folder),
            backend,
            &mut report,
        );
    }
    report.finish();
}

fn meta_layout(backend: &Backend) {
    let mut report = Report::new("llama, Meta layout", backend.name);
    for folder in golden::entries("llama", |p| {
        p.join("meta/consolidated.safetensors").exists()
    }) {
        let llama = meta(&folder.join("meta"), &backend.device);
        compare(
            &llama,
            &golden::name(&folder),
            &expected(&folder),
            backend,
            &mut report,
        );
    }
    report.finish();
}

crate::on_every_backend!(hugging_face_layout, meta_layout);

/// A row's logits do not depend on the others in its batch.
#[test]
fn rows_are_independent() {
    let folder = golden::entries("llama", |p| p.join("model.safetensors").exists()).remove(0);
    let device = Device::flex();
    let llama = hugging_face(&folder, &device);
    let rows = ids(expected(&folder).i64("ids"));
    let logits = |rows: &[Vec<u32>]| {
        download(continued(
            &llama,
            rows,
            &mut KvCache::new(llama.layers.len()),
            &device,
        ))
    };
    let together = logits(&rows);
    let mut report = Report::new("llama, rows alone", "cpu");
    for (i, row) in rows.iter().enumerate() {
        let alone: Array<f32> = logits(std::slice::from_ref(row)).row(0);
        report.absolute(
            "logits",
            &format!("row {i}"),
            &alone,
            &together.row(i),
            2e-5,
        );
        report.case();
    }
    report.finish();
}
