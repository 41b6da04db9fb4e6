//! Packages for the tests: sound ones, and ones with a fault put in by hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use adem_package::{
    Digest, Draft, ImageSpec, MANIFEST_FILE, Memory, NewTensor, Package, PackageError, Prompts,
    Provenance, Task, TokenIds, Weights, WriteOptions, write,
};
use serde_json::{Value, json};

pub const TOKENIZER: &[u8] = b"{\"model\": {}}";

pub fn draft() -> Draft {
    Draft {
        name: "scenes".into(),
        model: json!({"llama": {"dim": 8}, "clip": {"width": 4}, "adem": {"alpha": 0.1}}),
        image: ImageSpec {
            size: 64,
            mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        },
        prompts: Prompts {
            image_prefix: "Image: ".into(),
            no_image_prefix: "Image: N/A".into(),
            caption: "Describe: ".into(),
            question: "Question: {question}\nAnswer:".into(),
        },
        tasks: vec![Task::Caption, Task::Question],
        max_new_tokens: 48,
        provenance: Provenance {
            created: "2026-01-01".into(),
            training: "by hand".into(),
            data: "none".into(),
            licence: "MIT".into(),
            more: BTreeMap::from([("note".to_owned(), "for tests".to_owned())]),
        },
        token_ids: TokenIds {
            bos: 1,
            eos: 2,
            pad: 0,
        },
    }
}

/// A tensor whose values every dtype holds exactly, different for every `seed`.
pub fn tensor(name: &str, shape: &[usize], seed: u32) -> NewTensor {
    let count = shape.iter().product::<usize>() as u32;
    NewTensor {
        name: name.into(),
        shape: shape.to_vec(),
        data: (0..count)
            .map(|i| ((i * 7 + seed) % 255) as f32 * 0.25 - 31.0)
            .collect(),
    }
}

pub fn tensors() -> Vec<NewTensor> {
    vec![
        tensor("norm.weight", &[8], 1),
        tensor("layers.0.wq.weight", &[8, 8], 2),
        tensor("adapter_emb1", &[1, 2, 3, 4], 3),
        tensor("alpha", &[], 4),
    ]
}

/// Every file of a folder.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect()
}

pub fn memory(files: &BTreeMap<String, Vec<u8>>) -> Memory {
    files.clone().into_iter().collect()
}

pub fn load(source: Memory) -> Result<Weights, PackageError> {
    pollster::block_on(async { Package::open(source).await?.load_weights(|_| {}).await })
}

/// Made once: the disk is waited for.
static SOUND: LazyLock<Crafted> = LazyLock::new(|| Crafted::with(&WriteOptions::default()));

/// A package in memory whose manifest is at hand as JSON.
#[derive(Clone)]
pub struct Crafted {
    pub files: BTreeMap<String, Vec<u8>>,
    pub manifest: Value,
}

impl Crafted {
    /// A sound package of one shard.
    pub fn sound() -> Self {
        SOUND.clone()
    }

    pub fn with(options: &WriteOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), draft(), TOKENIZER, tensors(), options).unwrap();
        let mut files = files(folder.path());
        let manifest = serde_json::from_slice(&files.remove(MANIFEST_FILE).unwrap()).unwrap();
        Self { files, manifest }
    }

    /// A package whose one shard is `bytes`, its length and digest right in the manifest.
    pub fn with_shard(bytes: &[u8], names: &[&str]) -> Self {
        let mut package = Self::sound();
        let shard = &mut package.manifest["shards"][0];
        shard["bytes"] = json!(bytes.len());
        shard["sha256"] = json!(Digest::of(bytes).to_string());
        shard["tensors"] = json!(names);
        let file = shard["file"].as_str().unwrap().to_owned();
        package.manifest["tensors"] = json!(names.len());
        package.files.insert(file, bytes.to_vec());
        package
    }

    /// Name of the shard `index`.
    pub fn shard_file(&self, index: usize) -> String {
        self.manifest["shards"][index]["file"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub fn manifest_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.manifest).unwrap()
    }

    pub fn source(&self) -> Memory {
        let mut source = memory(&self.files);
        source.insert(MANIFEST_FILE, self.manifest_bytes());
        source
    }

    /// Why the package cannot be loaded; verifying must say the same.
    pub fn refusal(&self) -> PackageError {
        let refusal = load(self.source()).expect_err("the package loads");
        let verified = pollster::block_on(adem_package::verify(self.source(), |_| {}))
            .expect_err("the package verifies");
        assert_eq!(refusal.to_string(), verified.to_string());
        refusal
    }
}

/// A safetensors file with this header.
pub fn safetensors(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Asserts that a message names all of `parts`.
#[track_caller]
pub fn names(error: &PackageError, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
