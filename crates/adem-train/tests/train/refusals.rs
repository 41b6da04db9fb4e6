//! Settings, files and data that cannot be trained with: an error by name before anything is
//! computed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use adem_model::config::{ClipConfig, LlamaConfig};
use adem_model::{AdemVl, ModelConfig, RandomInit};
use adem_train::scenes::ScenesConfig;
use adem_train::task::{Reporter, TaskConfig, describe, train};
use adem_train::{Log, Parameters, Rate, Recipe, Schedule, Source, shipped};
use burn::module::Module;
use burn::tensor::Device;

use crate::data::config;

fn refused(config: &TaskConfig, out: &Path) -> String {
    let report: Reporter = Arc::new(|_| ());
    let stop = AtomicBool::new(false);
    let devices = [Device::flex()];
    train(config, out, &devices, &mut Log::silent(), &report, &stop)
        .unwrap_err()
        .to_string()
}

fn says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

fn recipe(name: &str) -> Recipe {
    Source {
        recipe: Some(name.to_owned()),
        ..Source::default()
    }
    .read()
    .unwrap()
}

fn task(name: &str, set: &[&str]) -> TaskConfig {
    let source = Source {
        recipe: Some(name.to_owned()),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..Source::default()
    };
    match source.read().unwrap() {
        Recipe::Task(config) => *config,
        Recipe::Scenes(_) => panic!("not a task"),
    }
}

#[test]
fn shipped_recipes_have_the_authors_numbers_and_count_their_parameters() {
    assert_eq!(
        recipe("scenes"),
        Recipe::Scenes(Box::<ScenesConfig>::default())
    );
    for (name, epochs, warmup) in [
        ("coco-caption", 5.0, 0.1),
        ("scienceqa", 20.0, 2.0),
        ("instruction", 15.0, 0.2),
    ] {
        for (size, trained) in [("llama-7b", 4_530_432), ("llama-13b", 5_449_984)] {
            let config = task(name, &[&format!("size={size}")]);
            assert_eq!(
                Parameters::of(&config.model).trained(),
                trained,
                "{name} {size}"
            );
            let t = &config.tune;
            assert_eq!((t.epochs, t.warmup_epochs, t.batch), (epochs, warmup, 32));
            assert!((config.lr() - 9e-3 * 32.0 / 256.0).abs() < 1e-12);
            let a = &config.adamw;
            assert_eq!((a.beta_1, a.beta_2, a.weight_decay), (0.9, 0.95, 0.02));
        }
        // Nobody's weights and data are needed to look at the plan.
        let text = describe(&task(name, &[]), 1).unwrap();
        says(
            &text,
            &["4,530,432", "24,576", "GiB", "TFLOP", "lr 0.001125"],
        );
    }
    assert_eq!(shipped().count(), 6);
    for name in ["flickr8k", "photo"] {
        task(name, &[]).validate().unwrap();
    }
}

#[test]
fn counts_are_those_of_built_models() {
    let base = ModelConfig {
        llama: LlamaConfig {
            dim: 16,
            n_layers: 2,
            n_heads: 4,
            vocab_size: 30,
            ffn_hidden: 24,
            ..LlamaConfig::default()
        },
        clip: ClipConfig {
            image_size: 16,
            patch: 4,
            width: 8,
            layers: 3,
            heads: 2,
            ..ClipConfig::default()
        },
        ..ModelConfig::default()
    };
    let changes: [fn(&mut ModelConfig); 6] = [
        |_| (),
        |m| m.llama.tie_embeddings = true,
        |m| m.llama.n_kv_heads = Some(2),
        |m| m.adem.with_cls = false,
        |m| m.adem.clip_adapter_dim = 0,
        |m| m.adem.down_sample = vec![64, 16],
    ];
    for change in changes {
        let mut config = base.clone();
        change(&mut config);
        let model = AdemVl::new(&config, &mut RandomInit::new(1), &Device::flex()).unwrap();
        let p = Parameters::of(&config);
        assert_eq!(
            p.frozen() + p.trained(),
            model.num_params() as u64,
            "{config:?}"
        );
    }
}

/// Values of the authors' own code.
#[test]
fn the_schedules_are_the_authors() {
    let text = include_str!("golden/lr_schedule.json");
    let cases: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut compared = 0;
    for case in cases.as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let rate = Rate {
            schedule: Schedule {
                lr: number("base_lr"),
                min_lr: 0.0,
                warmup: number("warmup"),
                total: number("epochs"),
            },
            steps_per_unit: 1000.0,
            lead: 0,
        };
        for point in case["points"].as_array().unwrap() {
            let (epoch, lr) = (
                point["epoch"].as_f64().unwrap(),
                point["lr"].as_f64().unwrap(),
            );
            assert!((rate.schedule.at(epoch) - lr).abs() < 1e-12, "{point}");
            let step = (epoch * 1000.0).round() as u64;
            if (step as f64 / 1000.0 - epoch).abs() < 1e-12 {
                assert!((rate.of(step) - lr).abs() < 1e-12, "{point}, step {step}");
            }
            compared += 1;
        }
    }
    assert!(compared >= 20, "{compared}");
}

#[test]
fn what_a_recipe_adds_is_left_out_where_it_is_set_to_false_and_nothing_else() {
    let set = [
        "see=false",
        "data.augment=false",
        "weights.train_tokenizer=false",
    ];
    let config = task("photo", &set);
    assert!(config.see.is_none() && config.read.is_some());
    assert!(config.data.unwrap().augment.is_none() && config.weights.train_tokenizer.is_none());
    let source = Source {
        recipe: Some("photo".to_owned()),
        set: vec!["tune.epochs=false".to_owned()],
        ..Source::default()
    };
    says(
        &source.read().unwrap_err().to_string(),
        &["tune.epochs", "invalid type"],
    );
}

#[test]
fn config_files_are_refused_by_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        let source = Source {
            file: Some(path.clone()),
            ..Source::default()
        };
        source.read().map_err(|e| e.to_string())
    };
    let error = |text: &str| read(text).unwrap_err();
    says(
        &error("recipe = \"coco-caption\"\n[tune]\nepocs = 3\n"),
        &["run.toml", "tune", "epocs"],
    );
    says(
        &error("recipe = \"scenes\"\nsed = 3\n"),
        &["run.toml", "sed"],
    );
    says(
        &error("recipe = \"scienceqa\"\n[tune]\nbatch = \"many\"\n"),
        &["run.toml", "tune.batch"],
    );
    says(&error("recipe = \"mnist\"\n"), &["mnist", "coco-caption"]);
    says(&error("seed = 3\n"), &["recipe", "run.toml"]);
    says(&error("recipe = \n"), &["run.toml", "TOML"]);
    says(
        &error("recipe = \"scienceqa\"\nsize = \"llama-70b\"\n"),
        &["size", "llama-13b"],
    );
    let missing = Source {
        file: Some(PathBuf::from("no/such.toml")),
        ..Source::default()
    };
    says(&missing.read().unwrap_err().to_string(), &["no/such.toml"]);
    let set = Source {
        recipe: Some("scienceqa".to_owned()),
        set: vec!["tune.batsch=3".to_owned()],
        ..Source::default()
    };
    says(
        &set.read().unwrap_err().to_string(),
        &["--set tune.batsch=3", "batsch"],
    );
    // A layer changes what it names and nothing else.
    let Ok(Recipe::Task(config)) = read("recipe = \"scienceqa\"\n[tune]\nmicro_batch = 8\n") else {
        panic!()
    };
    assert_eq!((config.tune.micro_batch, config.tune.epochs), (8, 20.0));
}

/// A change for the worse, and the field that is to blame.
type Case = (fn(&mut TaskConfig), &'static str);

#[test]
fn impossible_settings_are_named() {
    let place = tempfile::tempdir().unwrap();
    let good = config(place.path());
    let out = place.path().join("run");
    let cases: [Case; 12] = [
        (|c| c.model.llama.n_heads = 3, "llama.n_heads"),
        (|c| c.model.clip.patch = 5, "clip.patch"),
        (|c| c.data = None, "data"),
        (|c| c.tune.micro_batch = 4, "tune.micro_batch"),
        (|c| c.tune.batch = 0, "tune.batch"),
        (|c| c.tune.warmup_epochs = 9.0, "tune.epochs"),
        (|c| c.tune.blr = f64::NAN, "tune.blr"),
        (|c| c.tune.clip = Some(0.0), "tune.clip"),
        (|c| c.tune.max_tokens = 65, "tune.max_tokens"),
        (|c| c.tune.cache_features = true, "clip_adapter_dim"),
        (|c| c.see = None, "weights.files"),
        (|c| c.weights.train_tokenizer = None, "weights.tokenizer"),
    ];
    for (change, field) in cases {
        let mut config = good.clone();
        change(&mut config);
        says(&refused(&config, &out), &[field]);
    }
    assert!(!out.exists(), "something was written");
}

#[test]
fn data_weights_and_tokenisers_that_do_not_fit_are_named_before_anything_is_computed() {
    let place = tempfile::tempdir().unwrap();
    let good = config(place.path());
    let out = place.path().join("run");
    let none = |name: &str| !out.join(name).exists();

    let mut config = good.clone();
    config.weights.files = vec![place.path().join("missing.safetensors")];
    says(&refused(&config, &out), &["missing.safetensors"]);

    let garbage = place.path().join("garbage.safetensors");
    fs::write(&garbage, [0xff; 64]).unwrap();
    config.weights.files = vec![garbage];
    says(&refused(&config, &out), &["garbage.safetensors", "header"]);

    let mut config = good.clone();
    config.weights.train_tokenizer = None;
    config.weights.tokenizer = Some(place.path().join("missing.json"));
    says(&refused(&config, &out), &["missing.json"]);

    // A tokeniser of another vocabulary than the given decoder's.
    let words = ["a picture of", "a red circle"].map(str::to_owned);
    let settings = adem_data::tokenizer::BpeTraining {
        vocab_size: 290,
        ..Default::default()
    };
    let json = adem_data::tokenizer::train_bpe(words, &settings).unwrap();
    let tokenizer = place.path().join("tokenizer.json");
    fs::write(&tokenizer, json).unwrap();
    let weights = place.path().join("weights.safetensors");
    fs::write(
        &weights,
        safetensors::serialize(
            Vec::<(String, safetensors::tensor::TensorView)>::new(),
            None,
        )
        .unwrap(),
    )
    .unwrap();
    config.weights.tokenizer = Some(tokenizer);
    config.weights.files = vec![weights];
    config.read = None;
    says(
        &refused(&config, &out),
        &["weights.tokenizer", "32000", "another model"],
    );

    // Data sets with nothing in them, or nothing that can be read.
    let empty = place.path().join("empty.jsonl");
    fs::write(&empty, "").unwrap();
    let mut config = good.clone();
    let with_file = |config: &mut TaskConfig, path: &Path| {
        if let Some(adem_data::datasets::SourceConfig::Captions { file, .. }) =
            config.data.as_mut().map(|d| &mut d.source)
        {
            *file = path.to_owned();
        }
    };
    with_file(&mut config, &empty);
    says(&refused(&config, &out), &["usable row"]);
    with_file(&mut config, &place.path().join("missing.jsonl"));
    says(&refused(&config, &out), &["missing.jsonl"]);
    let few = place.path().join("few.jsonl");
    fs::write(&few, "{\"image\": \"1.png\", \"caption\": \"a dog\"}\n").unwrap();
    with_file(&mut config, &few);
    says(&refused(&config, &out), &["1 samples"]);

    assert!(none("see.safetensors") && none("read.safetensors") && none("tune.safetensors"));
}

#[test]
fn the_plan_shows_samples_with_what_is_learned_of_them() {
    let place = tempfile::tempdir().unwrap();
    let text = describe(&config(place.path()), 2).unwrap();
    says(
        &text,
        &[
            "each of 2 devices",
            "a picture of「",
            "</s>」",
            "24 samples",
            "4 steps an epoch",
        ],
    );
    // Nothing was kept of the tokeniser that was trained for it.
    assert!(!place.path().join("tokenizer.json").exists());
}
