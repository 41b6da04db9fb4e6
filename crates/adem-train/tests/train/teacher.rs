//! An encoder that learns from another one, at toy size.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_data::image::Augment;
use adem_model::config::{AdemConfig, ClipConfig, VisionLayout};
use adem_model::nn::Builder;
use adem_model::vision::ClipVision;
use adem_model::{ModelConfig, RandomInit, SourceError, TensorSource};
use adem_package::{
    Draft, ImageSpec, NewTensor, PackageError, Prompts, Provenance, Task, TokenIds, WriteOptions,
    write,
};
use adem_train::scenes::Stopped;
use adem_train::task::{Reporter, TaskConfig, TeacherConfig, train};
use adem_train::{Log, TrainError};
use burn::tensor::{Device, TensorData};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::data::config;

/// A package with a plain ViT of random weights, and a tokenizer of the run in `run`.
fn teacher(folder: &Path, tokenizer: &[u8]) {
    let clip = ClipConfig {
        image_size: 24,
        patch: 4,
        width: 12,
        layers: 2,
        heads: 2,
        layout: VisionLayout::Vit { classes: 3 },
        ..ClipConfig::default()
    };
    struct Kept(RandomInit, Vec<NewTensor>);
    impl TensorSource for Kept {
        fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
            let drawn = self.0.tensor(name, shape)?;
            self.1.push(NewTensor {
                name: name.to_owned(),
                shape: shape.to_vec(),
                data: drawn.clone().try_to_vec().unwrap(),
            });
            Ok(drawn)
        }
    }
    let model = ModelConfig {
        clip: clip.clone(),
        adem: AdemConfig {
            clip_adapter_dim: 0,
            ..AdemConfig::default()
        },
        ..ModelConfig::default()
    };
    let mut kept = Kept(RandomInit::new(3), Vec::new());
    let device = Device::flex();
    let mut builder = Builder::new(&mut kept, &device);
    ClipVision::new(&mut builder, "backbone.visual", &model).unwrap();
    let draft = Draft {
        name: "teacher".to_owned(),
        model: json!({ "clip": clip }),
        image: ImageSpec {
            size: 24,
            mean: [0.5; 3],
            std: [0.5; 3],
        },
        prompts: Prompts {
            image_prefix: String::new(),
            no_image_prefix: String::new(),
            caption: "a picture of".to_owned(),
            question: "{question}".to_owned(),
        },
        tasks: vec![Task::Caption],
        max_new_tokens: 8,
        provenance: Provenance::default(),
        token_ids: TokenIds {
            bos: 0,
            eos: 1,
            pad: 1,
        },
    };
    write(folder, draft, tokenizer, kept.1, &WriteOptions::default()).unwrap();
}

/// A run whose encoder has a teacher, in `place`.
fn taught(place: &Path) -> TaskConfig {
    let mut config = config(place);
    let tokenizer = adem_data::tokenizer::train_bpe(["a picture of"], &Default::default());
    teacher(&place.join("teacher"), &tokenizer.unwrap());
    config.save.package = false;
    config.save.report_seconds = 0;
    config.tune.epochs = 0.6;
    config.data.as_mut().unwrap().augment = Some(Augment {
        operations: 0,
        ..Augment::default()
    });
    let see = config.see.as_mut().unwrap();
    see.teacher = Some(TeacherConfig {
        package: place.join("teacher"),
        weight: 10.0,
    });
    config
}

fn run(config: &TaskConfig, out: &Path, stop: &Arc<AtomicBool>) -> Result<Stopped, TrainError> {
    fs::create_dir_all(out).unwrap();
    let report: Reporter = Arc::new(|_| ());
    let mut log = Log::new(out, |_| ()).unwrap();
    train(config, out, &[Device::flex()], &mut log, &report, stop)
}

fn caches(out: &Path) -> Vec<(String, u64)> {
    let entries = fs::read_dir(out).unwrap().flatten();
    let named = entries.map(|e| {
        let name = e.file_name().to_string_lossy().into_owned();
        (name, e.metadata().unwrap().len())
    });
    named
        .filter(|(name, _)| name.starts_with("teacher-"))
        .collect()
}

/// One picture: 37 cells of 12 channels in half precision, and two marks.
const RECORD: u64 = 37 * 12 * 2 + 16;

#[test]
fn what_the_teacher_sees_is_learned() {
    let place = tempfile::tempdir().unwrap();
    let mut config = taught(place.path());
    let see = config.see.as_mut().unwrap();
    (see.epochs, see.lr, see.words) = (40.0, 5e-3, 1e-6);
    see.teacher.as_mut().unwrap().weight = 1000.0;
    let out = place.path().join("run");
    run(&config, &out, &Arc::default()).unwrap();
    assert_eq!(
        caches(&out).iter().map(|c| c.1).collect::<Vec<_>>(),
        [12 * RECORD]
    );
    let metrics = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["stage"] == "see")
        .map(|line| line["loss"].as_f64().unwrap())
        .collect();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..10]), mean(&losses[losses.len() - 10..]));
    assert!(last < 0.6 * first, "from {first} to {last}");
}

#[test]
fn a_teacher_stopped_after_every_picture_is_one_that_never_stopped() {
    let place = tempfile::tempdir().unwrap();
    let config = taught(place.path());
    let (whole, pieces) = (place.path().join("whole"), place.path().join("pieces"));
    run(&config, &whole, &Arc::default()).unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    for pictures in 1..=3 {
        assert_eq!(run(&config, &pieces, &stop).unwrap(), Stopped::Yes);
        let caches = caches(&pieces);
        assert_eq!(caches.len(), 1);
        assert_eq!(caches[0].1, pictures * RECORD);
        // A kill in the middle of a record.
        let path = pieces.join(&caches[0].0);
        let mut bytes = fs::read(&path).unwrap();
        let half = bytes[..100].to_vec();
        bytes.extend(half);
        fs::write(&path, bytes).unwrap();
    }
    stop.store(false, Ordering::Relaxed);
    run(&config, &pieces, &stop).unwrap();
    let bytes = |out: &Path| {
        let cache = caches(out).swap_remove(0);
        assert_eq!(cache.1, 12 * RECORD);
        fs::read(out.join(cache.0)).unwrap()
    };
    assert!(bytes(&whole) == bytes(&pieces), "other features");
    let [a, b] = [&whole, &pieces].map(|out| fs::read(out.join("see.safetensors")).unwrap());
    let [a, b] = [&a, &b].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    assert_eq!(a.len(), b.len());
    for (name, tensor) in a.tensors() {
        assert!(tensor.data() == b.tensor(&name).unwrap().data(), "{name}");
    }
    // Once the encoder has learned, nothing of the teacher's pictures is wanted again.
    fs::remove_file(pieces.join(&caches(&pieces)[0].0)).unwrap();
    run(&config, &pieces, &Arc::default()).unwrap();
    assert!(caches(&pieces).is_empty());
}

#[test]
fn a_teacher_that_cannot_teach_is_refused_by_name() {
    let place = tempfile::tempdir().unwrap();
    let config = taught(place.path());
    let out = place.path().join("run");
    let refused = |config: &TaskConfig| run(config, &out, &Arc::default()).unwrap_err();

    let mut missing = config.clone();
    let see = missing.see.as_mut().unwrap();
    see.teacher.as_mut().unwrap().package = place.path().join("nowhere");
    let error = refused(&missing);
    assert!(
        matches!(error, TrainError::Package(PackageError::Source(_))),
        "{error:?}"
    );
    assert!(error.to_string().contains("nowhere"), "{error}");

    let mut moving = config.clone();
    moving.data.as_mut().unwrap().augment = Some(Augment::default());
    let error = refused(&moving);
    let TrainError::Config { field, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(field, "data.augment.operations");

    let mut weightless = config.clone();
    let see = weightless.see.as_mut().unwrap();
    see.teacher.as_mut().unwrap().weight = 0.0;
    assert!(
        refused(&weightless)
            .to_string()
            .contains("see.teacher.weight")
    );

    // Sizes that its weights have not, or that its pictures have not.
    let manifest = place.path().join("teacher/adem.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let change = |path: &str, value: Value| {
        let mut json: Value = serde_json::from_str(&text).unwrap();
        *json.pointer_mut(path).unwrap() = value;
        fs::write(&manifest, json.to_string()).unwrap();
    };
    change("/model/clip/width", json!(16));
    let error = refused(&config);
    assert!(matches!(error, TrainError::Model(_)), "{error:?}");
    assert!(error.to_string().contains("backbone.visual"), "{error}");
    change("/image/size", json!(32));
    let error = refused(&config).to_string();
    assert!(
        error.contains("adem.json") && error.contains("32"),
        "{error}"
    );
    change("/model/clip", Value::Null);
    let error = refused(&config);
    assert!(matches!(error, TrainError::File { .. }), "{error:?}");
}
