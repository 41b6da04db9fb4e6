//! What `inspect` says of files, folders and packages.

use adem_import::{ImportOptions, inspect};
use adem_tests::golden::{self, Tensors};
use serde_json::json;

use crate::files::{Named, golden as all, pth, safetensors};
use crate::folders::{Place, small_tokenizer};
use crate::gguf_file::{self, Field};

#[test]
fn a_folder_its_package_and_a_file_of_nobody_are_described() {
    let has = |path: &std::path::Path| path.join("model.safetensors").exists();
    let fixture = golden::entries("llama", has).remove(0);
    let tensors = all(&Tensors::open(&fixture.join("model.safetensors")));
    let place = Place::new();
    place.json(
        "llama/config.json",
        &golden::json(&fixture.join("config.json")),
    );
    place.json("llama/tokenizer.json", &small_tokenizer());
    let file = place.put("llama/model.safetensors", safetensors(&tensors));

    for path in [place.path("llama"), file.clone()] {
        let seen = inspect(&path).unwrap();
        assert_eq!(seen.kind, "LLaMA, Hugging Face");
        let sizes = seen.config.unwrap().llama.unwrap();
        assert_eq!(sizes.dim, 64);
        let of_file = &seen.files[0];
        assert_eq!(of_file.tensors.len(), tensors.len());
        assert_eq!(of_file.metadata["format"], "pt");
        let norm = of_file
            .tensors
            .iter()
            .find(|it| it.name == "model.norm.weight")
            .unwrap();
        assert_eq!(
            (norm.dtype, norm.shape.as_slice(), norm.bytes),
            ("F32", &[64][..], 256)
        );
    }

    place.import(&["llama"], &ImportOptions::default()).unwrap();
    let seen = inspect(&place.path("package")).unwrap();
    assert_eq!(seen.kind, "package");
    let manifest = seen.manifest.unwrap();
    assert!(manifest.provenance.more["language_model"].contains("Hugging Face"));
    assert_eq!(seen.files[0].tensors.len() as u64, manifest.tensors);

    let other = place.put("other.pth", pth(&[Named::counted("weights", &[2, 2], 0)]));
    let seen = inspect(&other).unwrap();
    assert!(seen.kind.starts_with("not imported"), "{}", seen.kind);
    assert_eq!(seen.files[0].tensors[0].name, "weights");
    let nothing = place.put("nothing.bin", b"nothing that anybody knows");
    assert!(inspect(&nothing).is_err());
}

#[test]
fn long_lists_of_a_gguf_file_are_cut() {
    let place = Place::new();
    let texts = |count: usize| Field::Texts(vec!["x".into(); count]);
    let fields = [("short", texts(2)), ("long", texts(5000))];
    let file = place.put("model.gguf", gguf_file::file(3, &fields, &[]));
    let seen = inspect(&file).unwrap();
    let metadata = &seen.files[0].metadata;
    assert_eq!(metadata["short"], json!(["x", "x"]));
    assert_eq!(metadata["long"]["length"], 5000);
}
