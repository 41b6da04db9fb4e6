//! How much memory and time a large model takes. Not run unless asked for:
//!
//! `ADEM_LARGE=/big/disk cargo test --release -p adem-import large -- --ignored --nocapture`
//!
//! writes a folder of LLaMA-2 7B's shapes there (13 GB of random half precision), imports it in
//! four bits, prints the figures and deletes both. `ADEM_LARGE_LAYERS` makes it shorter: memory does
//! not depend on the number of layers. With `ADEM_LARGE_KEEP` it only writes the folder, which stays.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use adem_import::{ImportOptions, Storage, import};
use adem_package::quant::Scheme;
use serde_json::{Map, json};

use crate::folders::small_tokenizer;

const DIM: usize = 4096;
const HIDDEN: usize = 11008;
const VOCAB: usize = 32000;
/// Most bytes of one file of the folder, as Hugging Face's are.
const FILE_BYTES: usize = 5 << 30;

/// Most memory this process has held, bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

fn shapes(layers: usize) -> Vec<(String, Vec<usize>)> {
    let mut all = vec![
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, DIM]),
        ("model.norm.weight".to_owned(), vec![DIM]),
        ("lm_head.weight".to_owned(), vec![VOCAB, DIM]),
    ];
    for layer in 0..layers {
        for (name, shape) in [
            ("self_attn.q_proj", vec![DIM, DIM]),
            ("self_attn.k_proj", vec![DIM, DIM]),
            ("self_attn.v_proj", vec![DIM, DIM]),
            ("self_attn.o_proj", vec![DIM, DIM]),
            ("mlp.gate_proj", vec![HIDDEN, DIM]),
            ("mlp.up_proj", vec![HIDDEN, DIM]),
            ("mlp.down_proj", vec![DIM, HIDDEN]),
            ("input_layernorm", vec![DIM]),
            ("post_attention_layernorm", vec![DIM]),
        ] {
            all.push((format!("model.layers.{layer}.{name}.weight"), shape));
        }
    }
    all
}

/// Writes the folder and returns its bytes.
fn generate(folder: &Path, layers: usize) -> u64 {
    let config = json!({
        "model_type": "llama", "hidden_act": "silu", "hidden_size": DIM, "vocab_size": VOCAB,
        "intermediate_size": HIDDEN, "num_hidden_layers": layers, "num_attention_heads": 32,
        "rms_norm_eps": 1e-5, "max_position_embeddings": 4096,
    });
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    fs::write(folder.join("tokenizer.json"), small_tokenizer().to_string()).unwrap();
    let bytes = |shape: &[usize]| 2 * shape.iter().product::<usize>();
    let mut files: Vec<Vec<(String, Vec<usize>)>> = vec![Vec::new()];
    let mut held = 0;
    for (name, shape) in shapes(layers) {
        if held + bytes(&shape) > FILE_BYTES {
            files.push(Vec::new());
            held = 0;
        }
        held += bytes(&shape);
        files.last_mut().unwrap().push((name, shape));
    }
    // Values of either sign near 0.02: a generator's words as half precision, exponents cut.
    let mut state = 1u64;
    let mut part = vec![0u8; 1 << 20];
    let mut total = 0;
    let mut map = Map::new();
    for (index, tensors) in files.iter().enumerate() {
        let file = format!("model-{:05}-of-{:05}.safetensors", index + 1, files.len());
        let mut header = Map::new();
        let mut begin = 0;
        for (name, shape) in tensors {
            let end = begin + bytes(shape);
            let info = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
            header.insert(name.clone(), info);
            map.insert(name.clone(), json!(file));
            begin = end;
        }
        let header = json!(header).to_string();
        let mut out = BufWriter::new(File::create(folder.join(&file)).unwrap());
        out.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        out.write_all(header.as_bytes()).unwrap();
        let mut left = begin;
        while left > 0 {
            for word in part.as_chunks_mut::<2>().0 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let bits = (state >> 48) as u16;
                *word = ((bits & 0x83ff) | 0x2400).to_le_bytes();
            }
            let now = left.min(part.len());
            out.write_all(&part[..now]).unwrap();
            left -= now;
        }
        out.flush().unwrap();
        total += begin as u64;
    }
    let index = json!({"weight_map": map}).to_string();
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
    total
}

#[test]
#[ignore = "13 GB of disk and minutes; see the module's page"]
fn a_large_model_is_imported_in_little_memory() {
    let Some(place) = std::env::var_os("ADEM_LARGE") else {
        println!("SKIPPED: ADEM_LARGE names no folder");
        return;
    };
    let layers = std::env::var("ADEM_LARGE_LAYERS");
    let layers = layers.map_or(32, |count| count.parse().unwrap());
    let place = tempfile::tempdir_in(place).unwrap();
    let read = generate(&place.path().join("llama"), layers);
    if std::env::var_os("ADEM_LARGE_KEEP").is_some() {
        println!("{read} bytes in {}", place.keep().join("llama").display());
        return;
    }
    let before = peak();
    let start = Instant::now();
    let options = ImportOptions {
        storage: Storage::Quantised(Scheme::Q4),
        ..ImportOptions::default()
    };
    let report = import(
        &[place.path().join("llama")],
        &place.path().join("package"),
        &options,
        |_| {},
        &AtomicBool::new(false),
    )
    .unwrap();
    let (seconds, after) = (start.elapsed().as_secs_f64(), peak());
    let largest = 2 * VOCAB * DIM;
    println!(
        "{layers} layers: {read} bytes read in {seconds:.1} s, {} bytes written in {} shards; \
         peak memory {} MB ({} MB before); the largest tensor has {} MB",
        report.bytes_written,
        report.shards,
        after >> 20,
        before >> 20,
        largest >> 20
    );
    assert!(after < largest as u64 + (1 << 30), "{after}");
}
