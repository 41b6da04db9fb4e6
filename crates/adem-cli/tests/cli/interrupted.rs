//! `adem import`, interrupted in the middle.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Map, json};

const DIM: usize = 512;
const HIDDEN: usize = 1024;
const VOCAB: usize = 256;
const LAYERS: usize = 6;

/// A folder with a language model large enough that its import takes a while.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let folder = place.path("llama");
        fs::create_dir(&folder).unwrap();
        let config = json!({
            "model_type": "llama", "hidden_act": "silu", "hidden_size": DIM, "vocab_size": VOCAB,
            "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 8,
            "rms_norm_eps": 1e-5, "max_position_embeddings": 32,
        });
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let mut vocab = json!({"<unk>": 0, "<s>": 1, "</s>": 2});
        vocab["\u{2581}"] = json!(3);
        let special = |id: u32, it: &str| json!({"id": id, "content": it, "special": true});
        let tokenizer = json!({
            "version": "1.0",
            "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "\u{2581}"},
                {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
            ]},
            "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": []},
        });
        fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
        fs::write(folder.join("model.safetensors"), weights()).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn import(&self, out: &str, jobs: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adem"));
        command.args(["import", "llama", "-o", out, "--scheme", "q4"]);
        command.args(["--shard-bytes", "400000", "--jobs", jobs]);
        command.current_dir(self.0.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(Stdio::piped());
        command
    }

    /// Begins an import into `out` and waits until some of its shards are complete.
    fn begun(&self, out: &str, shards: usize) -> Child {
        let mut child = self.import(out, "1").spawn().unwrap();
        let journal = self.path(&format!("{out}.partial/journal.json"));
        let start = Instant::now();
        let wanted = format!("\"{}\":", shards - 1);
        while !fs::read_to_string(&journal).is_ok_and(|text| text.contains(&wanted)) {
            assert!(child.try_wait().unwrap().is_none(), "it ended too soon");
            assert!(start.elapsed() < Duration::from_secs(120), "no shards");
            sleep(Duration::from_millis(1));
        }
        child
    }
}

/// Half precision of small numbers, no two rows alike.
fn weights() -> Vec<u8> {
    let mut shapes = vec![
        ("embed_tokens".to_owned(), vec![VOCAB, DIM]),
        ("norm".to_owned(), vec![DIM]),
    ];
    for layer in 0..LAYERS {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("layers.{layer}.{name}"), shape.to_vec()));
        };
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[DIM, DIM]);
        }
        add("mlp.gate_proj", &[HIDDEN, DIM]);
        add("mlp.up_proj", &[HIDDEN, DIM]);
        add("mlp.down_proj", &[DIM, HIDDEN]);
        add("input_layernorm", &[DIM]);
        add("post_attention_layernorm", &[DIM]);
    }
    let mut shapes: Vec<_> = shapes
        .into_iter()
        .map(|(name, shape)| (format!("model.{name}.weight"), shape))
        .collect();
    shapes.push(("lm_head.weight".to_owned(), vec![VOCAB, DIM]));
    let (mut header, mut begin) = (Map::new(), 0);
    for (name, shape) in shapes {
        let end = begin + 2 * shape.iter().product::<usize>();
        let info = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name, info);
        begin = end;
    }
    let header = json!(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let mut state = 1u64;
    for _ in 0..begin / 2 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let bits = ((state >> 48) as u16 & 0x83ff) | 0x2400;
        bytes.extend(bits.to_le_bytes());
    }
    bytes
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let file = |path: PathBuf| (path.file_name().unwrap().into(), fs::read(path).unwrap());
    entries.map(file).collect()
}

/// Sends the program a signal.
fn send(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.unwrap().success());
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The number of shards that the program says are there.
fn going_on(output: &Output) -> usize {
    let said = said(output);
    let line = said
        .lines()
        .find_map(|it| it.strip_prefix("adem: going on: "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    assert!(line.ends_with("shards are there"), "{line}");
    line.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn an_import_that_was_killed_or_stopped_goes_on_to_the_same_package() {
    let place = Place::new();
    let whole = place.import("whole", "3").output().unwrap();
    assert!(whole.status.success(), "{}", said(&whole));
    assert_eq!(said(&whole), "");
    let wanted = files(&place.path("whole"));

    // Killed, killed again, and then left alone.
    for shards in [2, 6] {
        let mut child = place.begun("killed", shards);
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), None, "it was killed");
        assert!(!place.path("killed").exists());
    }
    let ended = place.import("killed", "2").output().unwrap();
    assert!(ended.status.success(), "{}", said(&ended));
    assert!(going_on(&ended) >= 6);
    assert_eq!(files(&place.path("killed")), wanted);
    assert!(!place.path("killed.partial").exists());

    // Ctrl-C.
    let child = place.begun("stopped", 3);
    send(&child, "-INT");
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", said(&ended));
    let text = said(&ended);
    for word in ["stopped", "shards are kept", "the same command goes on"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(!place.path("stopped").exists());
    let ended = place.import("stopped", "1").output().unwrap();
    assert!(going_on(&ended) >= 3);
    assert_eq!(files(&place.path("stopped")), wanted);
}

#[test]
fn a_second_import_into_the_same_folder_waits_for_nobody() {
    let place = Place::new();
    let first = place.begun("out", 1);
    send(&first, "-STOP");
    let second = place.import("out", "1").output().unwrap();
    send(&first, "-CONT");
    let first = first.wait_with_output().unwrap();
    assert!(first.status.success(), "{}", said(&first));
    assert_eq!(second.status.code(), Some(1));
    let text = said(&second);
    for word in ["another program is writing", "out.partial"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}
