//! Folders to import from, and packages that came of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use adem_import::{ImportError, ImportOptions, ImportReport, import};
use adem_package::{Folder, Manifest, Package, Storage, verify};
use pollster::block_on;
use serde_json::{Value, json};

use crate::files::Named;

/// A place for the folders of a test.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file, and the folder it is in.
    pub fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn json(&self, name: &str, value: &Value) -> PathBuf {
        self.put(name, value.to_string())
    }

    /// Imports these of the place's files and folders into `package`.
    pub fn import(
        &self,
        sources: &[&str],
        options: &ImportOptions,
    ) -> Result<ImportReport, ImportError> {
        let sources: Vec<_> = sources.iter().map(|name| self.path(name)).collect();
        import(
            &sources,
            &self.path("package"),
            options,
            |_| {},
            &AtomicBool::new(false),
        )
    }

    pub fn refused(&self, sources: &[&str], options: &ImportOptions) -> String {
        let before = listing(&self.path("package"));
        let error = self.import(sources, options).unwrap_err().to_string();
        assert_eq!(listing(&self.path("package")), before, "the target changed");
        error
    }

    /// The package that was written: its manifest and weights.
    pub fn package(&self) -> (Manifest, BTreeMap<String, Named>) {
        package(&self.path("package"))
    }
}

/// Names and bytes of the files in a folder.
pub fn listing(folder: &Path) -> Option<BTreeMap<PathBuf, Vec<u8>>> {
    let entries = fs::read_dir(folder).ok()?;
    let file = |entry: fs::DirEntry| (entry.path(), fs::read(entry.path()).unwrap());
    Some(entries.map(|entry| file(entry.unwrap())).collect())
}

/// A sound package's manifest and weights.
pub fn package(folder: &Path) -> (Manifest, BTreeMap<String, Named>) {
    block_on(verify(Folder::new(folder), |_| {})).unwrap();
    let package = block_on(Package::open(Folder::new(folder))).unwrap();
    let weights = block_on(package.load_weights(|_| {})).unwrap();
    let tensors = weights.unused().map(|view| {
        let tensor = Named::new(view.name, view.shape, view.to_f32());
        (view.name.to_owned(), tensor)
    });
    (package.manifest().clone(), tensors.collect())
}

/// How each weight of a package is stored: the float's name, or `q4` or `q8`.
pub fn kinds(folder: &Path) -> BTreeMap<String, &'static str> {
    let package = block_on(Package::open(Folder::new(folder))).unwrap();
    let weights = block_on(package.load_weights(|_| {})).unwrap();
    let kind = |storage: &Storage<'_>| match storage {
        Storage::Float { dtype, .. } => dtype.name(),
        Storage::Quantised(view) => view.scheme().name(),
    };
    weights
        .unused()
        .map(|view| (view.name.to_owned(), kind(&view.storage)))
        .collect()
}

/// A tokenizer of the letters and little else: fewer tokens than any fixture's vocabulary.
pub fn small_tokenizer() -> Value {
    let mut vocab = json!({"<unk>": 0, "<s>": 1, "</s>": 2, "\u{2581}": 3});
    for (id, letter) in ('a'..='z').enumerate() {
        vocab[letter.to_string()] = json!(id + 4);
    }
    let special = |id: u32, content: &str| json!({"id": id, "content": content, "special": true});
    json!({
        "version": "1.0",
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u{2581}"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "vocab": vocab, "merges": []},
    })
}

/// `found` holds `wanted` and nothing else, bit by bit.
pub fn assert_equal(found: &BTreeMap<String, Named>, wanted: &[Named], what: &str) {
    let names: Vec<_> = found.keys().collect();
    let mut expected: Vec<_> = wanted.iter().map(|it| &it.name).collect();
    expected.sort();
    assert_eq!(names, expected, "{what}");
    for tensor in wanted {
        let got = &found[&tensor.name];
        assert_eq!(got.shape, tensor.shape, "{what}: {}", tensor.name);
        let bits = |it: &Named| it.values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert!(bits(got) == bits(tensor), "{what}: {} differs", tensor.name);
    }
}
