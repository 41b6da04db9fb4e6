//! Models of a hub, fetched into the cache and imported from there.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use adem_import::ImportOptions;
use adem_import::hub::{HubError, HubName, HubOptions, HubProgress, fetch};
use proptest::prelude::*;
use serde_json::json;

use crate::byte_level::smollm;
use crate::folders::Place;
use crate::hub_server::{COMMIT, Hub, digest};

const MODEL: &str = "hf:someone/model";
const WEIGHTS: &str = "model.safetensors";

/// A small model's files, and some that nobody imports.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = smollm();
    files.extend([
        ("README.md", b"# a model".to_vec()),
        ("pytorch_model.bin", vec![7; 3000]),
        ("onnx/model.onnx", vec![8; 3000]),
    ]);
    files
}

fn options(hub: &Hub, place: &Place) -> HubOptions {
    HubOptions {
        endpoint: hub.address.clone(),
        cache: place.path("cache"),
        token: None,
        offline: false,
    }
}

fn name(text: &str) -> HubName {
    HubName::parse(text).unwrap().unwrap()
}

fn run(text: &str, options: &HubOptions) -> Result<(PathBuf, HubProgress), HubError> {
    let mut last = HubProgress::default();
    let stop = AtomicBool::new(false);
    let place = fetch(&name(text), options, &mut |now| last = now, &stop)?;
    Ok((place, last))
}

fn refused(text: &str, options: &HubOptions) -> String {
    run(text, options).unwrap_err().to_string()
}

/// Files asked for, in order.
fn paths(hub: &Hub) -> Vec<String> {
    hub.asked().into_iter().map(|it| it.0).collect()
}

#[test]
fn a_model_comes_once_and_is_imported() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    let options = options(&hub, &place);
    let (folder, last) = run(MODEL, &options).unwrap();
    assert_eq!(paths(&hub), ["config.json", "tokenizer.json", WEIGHTS]);
    assert_eq!((last.files, last.total_files), (3, 3));
    assert_eq!(
        (last.bytes, last.fetched),
        (last.total_bytes, last.total_bytes)
    );
    for (file, bytes) in files() {
        match fs::read(folder.join(file)) {
            Ok(found) => assert_eq!(found, bytes, "{file}"),
            Err(_) => assert!(!["config.json", "tokenizer.json", WEIGHTS].contains(&file)),
        }
    }
    let root = place.path("cache/models--someone--model");
    assert_eq!(folder, root.join("snapshots").join(COMMIT));
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    let blob = root
        .join("blobs")
        .join(digest(WEIGHTS, &fs::read(folder.join(WEIGHTS)).unwrap()));
    assert!(blob.is_file());
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(folder.join(WEIGHTS))
            .unwrap()
            .parent()
            .unwrap()
            .to_str(),
        Some("../../blobs")
    );

    // What is there is not fetched again, nor what has lost its name alone.
    fs::remove_file(folder.join(WEIGHTS)).unwrap();
    let (again, last) = run(MODEL, &options).unwrap();
    assert_eq!((again, last.fetched), (folder.clone(), 0));
    assert_eq!(paths(&hub), [""; 0]);
    assert!(folder.join(WEIGHTS).exists());

    let listed = hub.state.lock().unwrap().listed;
    let offline = HubOptions {
        offline: true,
        ..options
    };
    for text in [
        MODEL,
        "hf:someone/model@0123456789abcdef0123456789abcdef01234567",
    ] {
        assert_eq!(run(text, &offline).unwrap().0, folder, "{text}");
    }
    assert_eq!(
        hub.state.lock().unwrap().listed,
        listed,
        "the network was asked"
    );

    let relative = folder
        .strip_prefix(place.path(""))
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    place
        .import(&[&relative], &ImportOptions::default())
        .unwrap();
    let manifest = place.package().0;
    assert_eq!(manifest.name, "model");
    let origin = &manifest.provenance.more["language_model"];
    assert_eq!(
        *origin,
        format!("hf:someone/model@{COMMIT} (LLaMA, Hugging Face)")
    );
}

#[test]
fn files_of_hugging_faces_own_library_are_used() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    let root = "cache/models--someone--model";
    for (file, bytes) in files() {
        place.put(&format!("{root}/snapshots/{COMMIT}/{file}"), bytes);
    }
    let (_, last) = run(MODEL, &options(&hub, &place)).unwrap();
    assert_eq!((last.fetched, paths(&hub).len()), (0, 0));
}

#[test]
fn a_download_that_was_cut_goes_on_where_it_stopped() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    let options = options(&hub, &place);
    hub.state.lock().unwrap().cuts = vec![usize::MAX, usize::MAX, 1000, 0, 500];
    run(MODEL, &options).unwrap();
    let ranges: Vec<_> = hub
        .asked()
        .into_iter()
        .filter(|it| it.0 == WEIGHTS)
        .map(|it| it.1)
        .collect();
    let from = |at: u64| Some(format!("bytes={at}-"));
    assert_eq!(ranges, [None, from(1000), from(1000), from(1500)]);

    // The same over two runs.
    let second = Place::new();
    let options = HubOptions {
        cache: second.path("cache"),
        ..options
    };
    let (_, weights) = files().into_iter().find(|it| it.0 == WEIGHTS).unwrap();
    let part = format!(
        "cache/models--someone--model/blobs/{}.incomplete",
        digest(WEIGHTS, &weights)
    );
    second.put(&part, &weights[..1234]);
    let (folder, last) = run(MODEL, &options).unwrap();
    assert_eq!(hub.asked().last().unwrap().1, from(1234));
    assert_eq!(last.fetched, last.total_bytes - 1234);
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights);
    assert!(!second.path(&part).exists());
}

#[test]
fn a_busy_hub_is_asked_for_its_list_again() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    hub.state.lock().unwrap().busy = 2;
    run(MODEL, &options(&hub, &place)).unwrap();
    assert_eq!(hub.state.lock().unwrap().listed, 3);
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    let options = options(&hub, &place);
    {
        let mut state = hub.state.lock().unwrap();
        state.cuts = vec![usize::MAX, usize::MAX, 1000];
        state.no_ranges = true;
    }
    let (folder, last) = run(MODEL, &options).unwrap();
    assert_eq!(
        (last.bytes, last.fetched),
        (last.total_bytes, last.total_bytes + 1000)
    );
    let (_, weights) = files().into_iter().find(|it| it.0 == WEIGHTS).unwrap();
    assert_eq!(fs::read(folder.join(WEIGHTS)).unwrap(), weights);
}

#[test]
fn damaged_files_are_refused_and_not_kept() {
    for file in ["config.json", WEIGHTS] {
        let (hub, place) = (Hub::new(&files()), Place::new());
        let options = options(&hub, &place);
        hub.state.lock().unwrap().damaged = vec![file.to_owned()];
        let error = refused(MODEL, &options);
        assert!(error.contains(file) && error.contains("SHA-"), "{error}");
        let folder = place.path("cache/models--someone--model");
        assert!(!folder.join("snapshots").join(COMMIT).join(file).exists());
        let blobs = fs::read_dir(folder.join("blobs")).unwrap();
        assert!(blobs.into_iter().all(|it| {
            !it.unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .ends_with(".incomplete")
        }));
        // The next attempt begins anew.
        hub.state.lock().unwrap().damaged.clear();
        hub.asked();
        run(MODEL, &options).unwrap();
        assert!(hub.asked().contains(&(file.to_owned(), None)));
    }
    // A part that is not of this file.
    let (hub, place) = (Hub::new(&files()), Place::new());
    let (_, weights) = files().into_iter().find(|it| it.0 == WEIGHTS).unwrap();
    let part = format!(
        "cache/models--someone--model/blobs/{}.incomplete",
        digest(WEIGHTS, &weights)
    );
    place.put(&part, vec![0; 77]);
    let error = refused(MODEL, &options(&hub, &place));
    assert!(
        error.contains(WEIGHTS) && error.contains("SHA-256"),
        "{error}"
    );
    run(MODEL, &options(&hub, &place)).unwrap();
}

#[test]
fn what_is_not_there_or_not_allowed_is_named() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    let own = options(&hub, &place);
    for (text, word) in [
        (
            "hf:someone/other",
            "hf:someone/other: the hub has no such model",
        ),
        (
            "hf:someone/model@v9",
            "hf:someone/model@v9: the hub has no such model, or revision",
        ),
        (
            "hf:someone/model/gone.gguf",
            "no such file; it has README.md",
        ),
    ] {
        let error = refused(text, &own);
        assert!(error.contains(word), "{text}: {error}");
    }
    for status in [401, 403] {
        hub.state.lock().unwrap().status = Some(status);
        let error = refused(MODEL, &own);
        for word in ["HF_TOKEN", "gated", &status.to_string(), "Accept its terms"] {
            assert!(error.contains(word), "{word}: {error}");
        }
        let error = refused(
            MODEL,
            &HubOptions {
                token: Some("weak".into()),
                ..own.clone()
            },
        );
        assert!(
            error.contains("HF_TOKEN, or of `hf auth login`, may not"),
            "{error}"
        );
    }
    {
        let mut state = hub.state.lock().unwrap();
        state.status = None;
        state.token = Some("secret".into());
    }
    assert!(refused(MODEL, &own).contains("401"));
    run(
        MODEL,
        &HubOptions {
            token: Some("secret".into()),
            ..own.clone()
        },
    )
    .unwrap();

    let empty = Place::new();
    let offline = HubOptions {
        offline: true,
        cache: empty.path("cache"),
        ..own
    };
    let error = refused(MODEL, &offline);
    assert!(
        error.contains("--offline") && error.contains("models--someone--model"),
        "{error}"
    );
    let nowhere = HubOptions {
        endpoint: "http://127.0.0.1:1".into(),
        offline: false,
        ..offline
    };
    let error = refused(MODEL, &nowhere);
    assert!(
        error.contains("127.0.0.1:1") && error.contains("--offline"),
        "{error}"
    );
}

#[test]
fn of_several_checkpoints_one_is_named() {
    let files = [
        ("a.gguf", vec![1; 9]),
        ("b.gguf", vec![2; 9]),
        ("q/c.gguf", vec![3; 9]),
    ];
    let (hub, place) = (Hub::new(&files), Place::new());
    let options = options(&hub, &place);
    let error = refused(MODEL, &options);
    assert!(
        error.contains("hf:someone/model/FILE: a.gguf, b.gguf"),
        "{error}"
    );
    for (file, byte) in [("b.gguf", 2), ("q/c.gguf", 3)] {
        let (path, _) = run(&format!("{MODEL}/{file}"), &options).unwrap();
        assert!(path.ends_with(file));
        assert_eq!(fs::read(&path).unwrap(), [byte; 9]);
        let offline = HubOptions {
            offline: true,
            ..options.clone()
        };
        assert_eq!(run(&format!("{MODEL}/{file}"), &offline).unwrap().0, path);
    }
    assert_eq!(paths(&hub), ["b.gguf", "q/c.gguf"]);
}

#[test]
fn weights_in_several_files_are_those_of_the_index() {
    let map = json!({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}});
    let files = [
        ("config.json", b"{}".to_vec()),
        ("model-1.safetensors", vec![1; 50]),
        ("model-2.safetensors", vec![2; 60]),
        ("model-3.safetensors", vec![3; 70]),
        ("model.safetensors.index.json", map.to_string().into_bytes()),
    ];
    let (hub, place) = (Hub::new(&files), Place::new());
    let (folder, last) = run(MODEL, &options(&hub, &place)).unwrap();
    assert_eq!(last.files, 4);
    assert!(
        folder.join("model-2.safetensors").exists() && !folder.join("model-3.safetensors").exists()
    );
    hub.state
        .lock()
        .unwrap()
        .files
        .remove("model-2.safetensors");
    let error = refused(MODEL, &options(&hub, &Place::new()));
    assert!(error.contains("model-2.safetensors"), "{error}");
}

#[test]
fn a_stop_keeps_what_has_come() {
    let (hub, place) = (Hub::new(&files()), Place::new());
    let options = options(&hub, &place);
    let stop = AtomicBool::new(false);
    let halt = &mut |now: HubProgress| {
        if now.files == 2 {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    };
    let error = fetch(&name(MODEL), &options, halt, &stop).unwrap_err();
    assert!(matches!(error, HubError::Stopped), "{error}");
    hub.asked();
    run(MODEL, &options).unwrap();
    assert_eq!(paths(&hub), [WEIGHTS]);
}

#[test]
fn names_say_model_file_and_revision() {
    let parts = |text: &str| {
        let HubName {
            repository,
            file,
            revision,
        } = name(text);
        (repository, file.unwrap_or_default(), revision)
    };
    let strings = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(parts("hf:a/b"), strings("a/b", "", "main"));
    assert_eq!(parts("hf:a/b@v1.0"), strings("a/b", "", "v1.0"));
    assert_eq!(
        parts("hf:a/b/c/d.gguf@refs/pr/1"),
        strings("a/b", "c/d.gguf", "refs/pr/1")
    );
    assert!(HubName::parse("folder/hf").is_none());
    for bad in [
        "hf:",
        "hf:a",
        "hf:a/",
        "hf:a/../b",
        "hf:a/b@",
        "hf:a/b@../x",
        "hf:a b/c",
        "hf:a/b?x",
    ] {
        assert!(
            matches!(HubName::parse(bad), Some(Err(HubError::Name { .. }))),
            "{bad}"
        );
    }
}

#[test]
fn the_environment_is_read_as_hugging_face_does() {
    let place = Place::new();
    place.put("home/token", "from-file\n");
    let home = place.path("home").display().to_string();
    let of = |set: &[(&str, &str)]| {
        let set: Vec<(String, String)> = set
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect();
        HubOptions::from_env(move |name| set.iter().find(|it| it.0 == name).map(|it| it.1.clone()))
    };
    let plain = of(&[("HOME", "/u")]).unwrap();
    assert_eq!(plain.cache, PathBuf::from("/u/.cache/huggingface/hub"));
    assert_eq!(
        (plain.endpoint.as_str(), plain.token, plain.offline),
        ("https://huggingface.co", None, false)
    );
    let set = of(&[
        ("HF_HOME", &home),
        ("HF_ENDPOINT", "http://mirror/"),
        ("HF_HUB_OFFLINE", "1"),
    ])
    .unwrap();
    assert_eq!(
        (set.cache, set.endpoint.as_str()),
        (place.path("home/hub"), "http://mirror")
    );
    assert_eq!(
        (set.token.as_deref(), set.offline),
        (Some("from-file"), true)
    );
    let own = of(&[
        ("HF_HOME", &home),
        ("HF_TOKEN", "mine"),
        ("HF_HUB_CACHE", "/c"),
    ])
    .unwrap();
    assert_eq!(
        (own.cache, own.token.as_deref()),
        (PathBuf::from("/c"), Some("mine"))
    );
    assert!(matches!(of(&[]), Err(HubError::NoHome)));
}

proptest! {
    /// Whatever a name says, it stays in the cache.
    #[test]
    fn no_name_leads_out_of_the_cache(text in "(hf:)?[a-z./@%\\\\ ]{0,30}") {
        if let Some(Ok(name)) = HubName::parse(&text) {
            let all = [name.repository, name.file.unwrap_or_default(), name.revision];
            let inside = |it: &str| !it.split(['/', '\\']).any(|part| part == "..");
            prop_assert!(all.iter().all(|it| inside(it) && !it.starts_with('/')), "{}", text);
        }
    }
}
