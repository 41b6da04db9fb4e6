//! Imports that were interrupted and go on.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use adem_import::{
    ImportError, ImportOptions, ImportProgress, ImportReport, Input, Storage, import,
};
use adem_package::quant::Scheme;
use serde_json::json;

use crate::files::{Named, safetensors};
use crate::folders::{Place, listing, package, small_tokenizer};

/// A small language model in two files, and options that make many shards of it.
pub fn place() -> (Place, ImportOptions) {
    let place = Place::new();
    let (dim, hidden, layers) = (64, 96, 4);
    let config = json!({
        "model_type": "llama", "hidden_act": "silu", "hidden_size": dim, "vocab_size": 40,
        "intermediate_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 4,
        "rms_norm_eps": 1e-5, "max_position_embeddings": 32,
    });
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let first = 1000 * tensors.len();
        tensors.push(Named::counted(&format!("{name}.weight"), shape, first));
    };
    add("model.embed_tokens".into(), &[40, dim]);
    add("lm_head".into(), &[40, dim]);
    add("model.norm".into(), &[dim]);
    for layer in 0..layers {
        let mut add =
            |name: &str, shape: &[usize]| add(format!("model.layers.{layer}.{name}"), shape);
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[dim, dim]);
        }
        add("mlp.gate_proj", &[hidden, dim]);
        add("mlp.up_proj", &[hidden, dim]);
        add("mlp.down_proj", &[dim, hidden]);
        add("input_layernorm", &[dim]);
        add("post_attention_layernorm", &[dim]);
    }
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = BTreeMap::new();
    for (file, tensors) in [("a.safetensors", first), ("b.safetensors", second)] {
        place.put(&format!("llama/{file}"), safetensors(tensors));
        map.extend(tensors.iter().map(|it| (it.name.clone(), file)));
    }
    place.json("llama/config.json", &config);
    place.json("llama/tokenizer.json", &small_tokenizer());
    let index = json!({"weight_map": map});
    place.json("llama/model.safetensors.index.json", &index);
    let options = ImportOptions {
        storage: Storage::Quantised(Scheme::Q4),
        shard_bytes: 10_000,
        jobs: NonZeroUsize::new(1),
        ..ImportOptions::default()
    };
    (place, options)
}

/// Imports, and stops once so many shards are complete.
fn stopped_at(
    place: &Place,
    options: &ImportOptions,
    shards: usize,
) -> (Result<ImportReport, ImportError>, Vec<ImportProgress>) {
    let stop = AtomicBool::new(false);
    let mut all = Vec::new();
    let progress = |now: ImportProgress| {
        all.push(now);
        stop.store(now.shards >= shards, Ordering::Relaxed);
    };
    let sources = [place.path("llama")];
    let done = import(&sources, &place.path("package"), options, progress, &stop);
    (done, all)
}

fn whole(
    place: &Place,
    options: &ImportOptions,
) -> (ImportReport, BTreeMap<std::path::PathBuf, Vec<u8>>) {
    let sources = [place.path("llama")];
    let folder = place.path("whole");
    let never = AtomicBool::new(false);
    let report = import(&sources, &folder, options, |_| {}, &never).unwrap();
    (report, by_name(&folder))
}

pub fn by_name(folder: &std::path::Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let files = listing(folder).unwrap().into_iter();
    files
        .map(|(path, bytes)| (path.file_name().unwrap().into(), bytes))
        .collect()
}

#[test]
fn an_import_that_was_stopped_reads_only_what_is_missing() {
    let (place, options) = place();
    let (all, wanted) = whole(&place, &options);
    assert!(all.shards > 6 && all.shards_kept == 0);
    for at in [1, 3, all.shards - 1] {
        let (stopped, told) = stopped_at(&place, &options, at);
        let error = stopped.unwrap_err().to_string();
        assert!(error.contains("stopped"), "{error}");
        assert!(!place.path("package").exists());
        let before = told.last().unwrap();
        assert_eq!(before.shards, at);
        // Whole shards were read, and nothing after the last of them.
        let read = before.bytes;
        let (done, told) = stopped_at(&place, &options, usize::MAX);
        let report = done.unwrap();
        let first = told[0];
        assert_eq!((first.found.kept, first.found.shards), (at, all.shards));
        assert_eq!((first.bytes, first.shards), (read, at));
        let last = told.last().unwrap();
        assert_eq!(last.bytes, last.total_bytes);
        assert_eq!(
            (last.tensors, last.shards),
            (last.total_tensors, all.shards)
        );
        assert_eq!(report.shards_kept, at);
        assert_eq!(report.bytes_read, all.bytes_read - read);
        assert_eq!(report.tensors, all.tensors);
        assert_eq!(by_name(&place.path("package")), wanted);
        package(&place.path("package"));
        fs::remove_dir_all(place.path("package")).unwrap();
    }
    assert!(!place.path("package.partial").exists());
}

#[test]
fn one_job_and_many_make_the_same_package() {
    let (place, options) = place();
    for storage in [Storage::Float, Storage::Quantised(Scheme::Q8)] {
        let mut options = ImportOptions {
            storage,
            shard_bytes: 30_000,
            ..options.clone()
        };
        let (report, wanted) = whole(&place, &options);
        for jobs in [None, NonZeroUsize::new(2), NonZeroUsize::new(16)] {
            options.jobs = jobs;
            let found = place.import(&["llama"], &options).unwrap();
            assert_eq!(found, report, "{jobs:?}");
            assert_eq!(by_name(&place.path("package")), wanted, "{jobs:?}");
        }
    }
}

#[test]
fn sources_or_options_that_changed_begin_anew() {
    let touch = |place: &Place| {
        let path = place.path("llama/b.safetensors");
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let later = SystemTime::now() + Duration::from_secs(5);
        file.set_modified(later).unwrap();
    };
    type Change<'a> = &'a dyn Fn(&Place, &mut ImportOptions);
    let changes: [(&str, Change<'_>, bool); 6] = [
        ("nothing", &|_, _| {}, false),
        (
            "name",
            &|_, options| options.name = Some("other".into()),
            false,
        ),
        ("file", &|place, _| touch(place), true),
        (
            "scheme",
            &|_, options| options.storage = Storage::Float,
            true,
        ),
        ("shards", &|_, options| options.shard_bytes = 27_000, true),
        (
            "folder",
            &|place, _| {
                fs::rename(place.path("llama"), place.path("other")).unwrap();
                fs::create_dir(place.path("llama")).unwrap();
                for entry in fs::read_dir(place.path("other")).unwrap() {
                    let path = entry.unwrap().path();
                    let to = place.path("llama").join(path.file_name().unwrap());
                    fs::copy(&path, to).unwrap();
                }
                touch(place);
            },
            true,
        ),
    ];
    for (what, change, other) in changes {
        let (place, mut options) = place();
        options.shard_bytes = 26_000;
        stopped_at(&place, &options, 2).0.unwrap_err();
        change(&place, &mut options);
        let (done, told) = stopped_at(&place, &options, usize::MAX);
        let report = done.unwrap();
        let (kept, discarded) = if other { (0, 2) } else { (2, 0) };
        assert_eq!(report.shards_kept, kept, "{what}");
        assert_eq!(told[0].found.discarded, discarded, "{what}");
        let (_, wanted) = whole(&place, &options);
        assert_eq!(by_name(&place.path("package")), wanted, "{what}");
    }
}

#[test]
fn bad_weights_take_what_was_complete_with_them() {
    let (place, options) = place();
    let (_, told) = stopped_at(&place, &options, usize::MAX);
    fs::remove_dir_all(place.path("package")).unwrap();
    assert!(told.last().unwrap().shards > 3);
    let path = place.path("llama/b.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = place.refused(&["llama"], &options);
    assert!(
        error.contains("b.safetensors") && error.contains("NaN"),
        "{error}"
    );
    assert!(!place.path("package.partial").exists());
}

#[test]
fn a_second_import_into_the_same_folder_is_refused() {
    let (place, options) = place();
    let mut refused = String::new();
    let sources = [place.path("llama")];
    let never = AtomicBool::new(false);
    let progress = |now: ImportProgress| {
        if now.shards == 2 && refused.is_empty() {
            refused = place.import(&["llama"], &options).unwrap_err().to_string();
        }
    };
    import(&sources, &place.path("package"), &options, progress, &never).unwrap();
    assert!(refused.contains("another program is writing"), "{refused}");
    assert!(refused.contains("package.partial"), "{refused}");
    assert_eq!(by_name(&place.path("package")), whole(&place, &options).1);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let place = Place::new();
    let path = place.put("some", [7; 10_000]);
    let input = Input::open(&path).unwrap();
    assert_eq!(*input.map(5000..9000).unwrap(), [7; 4000]);
    assert!(input.map(10_000..10_000).unwrap().is_empty());
    assert!(input.map(9000..10_001).is_err());
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(6000).unwrap();
    for range in [5000..9000, 0..10] {
        let error = input.map(range).unwrap_err().to_string();
        assert!(error.contains("changed while it was read"), "{error}");
    }
}
