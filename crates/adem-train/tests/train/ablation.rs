//! Studies at toy size: what is tuned, what is not tuned twice, and what goes on.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adem_train::ablation::{Ablation, Outcome, Studied, Study};
use adem_train::scenes::Stopped;
use adem_train::task::{Reporter, TaskConfig, train};
use adem_train::{Log, TrainError};
use burn::tensor::Device;

use crate::data::validated;

fn silent() -> Reporter {
    Arc::new(|_| ())
}

/// A config whose encoder and decoder were trained by another run, in `place`.
fn frozen(place: &Path) -> TaskConfig {
    let mut config = validated(place);
    config.tune.epochs = 0.5;
    config.tune.warmup_epochs = 0.0;
    let run = place.join("parts");
    let (log, stop) = (&mut Log::silent(), AtomicBool::new(false));
    train(&config, &run, &[Device::flex()], log, &silent(), &stop).unwrap();
    let weights = ["see.safetensors", "read.safetensors"].map(|file| run.join(file));
    let manifest = fs::read_to_string(run.join("package/adem.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let vocabulary = manifest.pointer("/model/llama/vocab_size").unwrap();
    config.model.llama.vocab_size = vocabulary.as_u64().unwrap() as usize;
    config.model.adem.clip_adapter_dim = 0;
    config.weights.files = weights.into();
    config.weights.tokenizer = Some(run.join("tokenizer.json"));
    config.weights.train_tokenizer = None;
    config.tune.cache_features = true;
    (config.see, config.read) = (None, None);
    config
}

/// Runs a study and says which settings were tuned now; stops after `most` of them.
fn study(
    config: &TaskConfig,
    studies: &[Study],
    out: &Path,
    most: usize,
) -> Result<(Vec<Studied>, Stopped, Vec<String>), TrainError> {
    let ablation = Ablation {
        studies: studies.to_vec(),
        seeds: 2,
    };
    fs::create_dir_all(out).unwrap();
    let (tuned, stop) = (RefCell::new(Vec::new()), AtomicBool::new(false));
    let log = |folder: &Path, turn: adem_train::ablation::Turn<'_>| {
        let mut tuned = tuned.borrow_mut();
        tuned.push(format!("{}, seed {}", turn.name, turn.seed));
        stop.store(tuned.len() > most, Ordering::Relaxed);
        Log::new(folder, |_| ())
    };
    let devices = [Device::flex()];
    let (studied, stopped) = ablation.run(config, out, &devices, log, &silent(), &stop)?;
    Ok((studied, stopped, tuned.take()))
}

#[test]
fn a_study_tunes_each_setting_once_and_goes_on_where_it_was_stopped() {
    let place = tempfile::tempdir().unwrap();
    let config = frozen(place.path());
    let out = place.path().join("study");
    let studies = [Study::Ladder, Study::Gamma];

    let (part, stopped, first) = study(&config, &studies, &out, 3).unwrap();
    assert_eq!((stopped, first.len()), (Stopped::Yes, 4));
    let done = |studied: &[Studied]| -> usize {
        let settings = studied.iter().flat_map(|study| &study.settings);
        settings.map(|setting| setting.outcomes.len()).sum()
    };
    assert_eq!(done(&part), 3);

    let (whole, stopped, then) = study(&config, &studies, &out, usize::MAX).unwrap();
    assert_eq!(stopped, Stopped::No);
    assert_eq!(first[3], then[0], "the one that was stopped goes on");
    // 5 rungs and 6 shares; the last two rungs are shares, too.
    assert_eq!(first.len() - 1 + then.len(), 2 * (5 + 6 - 2));
    assert_eq!(done(&whole), 2 * (5 + 6));
    let (ladder, gamma) = (&whole[0].settings, &whole[1].settings);
    assert_eq!(ladder[3].outcomes, gamma[0].outcomes);
    assert_eq!(ladder[4].outcomes, gamma[1].outcomes);
    assert_ne!(ladder[4].outcomes[0], ladder[4].outcomes[1], "another seed");
    assert!(
        ladder[0].trained < ladder[1].trained,
        "[cls] has a projector"
    );
    let judged = |o: &Outcome| matches!(o, Outcome::Judged { loss, .. } if *loss > 0.0);
    assert!(
        ladder
            .iter()
            .chain(gamma)
            .all(|s| s.outcomes.iter().all(judged))
    );
    let drawn = fs::read_to_string(out.join("gamma.svg")).unwrap();
    assert_eq!(drawn.matches("<circle").count(), 12);
    assert!(!out.join("ladder.svg").exists());
    let caches = fs::read_dir(&out).unwrap().flatten();
    let caches = caches.filter(|e| e.file_name().to_string_lossy().starts_with("features-"));
    assert_eq!(caches.count(), 1, "pictures are encoded once for all");

    let (again, _, tuned) = study(&config, &studies, &out, 0).unwrap();
    assert_eq!(again, whole);
    assert!(tuned.is_empty());
    let mut longer = config;
    longer.tune.epochs = 1.0;
    let error = study(&longer, &studies, &out, 0).unwrap_err().to_string();
    assert!(error.contains("other settings"), "{error}");
}

#[test]
fn a_setting_that_diverges_is_said_to_and_the_others_go_on() {
    let place = tempfile::tempdir().unwrap();
    let mut config = frozen(place.path());
    config.tune.blr = 1e30;
    config.tune.epochs = 2.0;
    let out = place.path().join("study");
    let (studied, stopped, tuned) = study(&config, &[Study::Alpha], &out, usize::MAX).unwrap();
    assert_eq!((stopped, tuned.len()), (Stopped::No, 10));
    let diverged = |o: &Outcome| matches!(o, Outcome::Diverged { .. });
    let settings = &studied[0].settings;
    assert!(settings.iter().any(|s| s.outcomes.iter().any(diverged)));
    assert!(studied[0].to_string().contains("diverged at"));
}

#[test]
fn a_config_that_cannot_be_studied_is_refused_with_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let config = validated(place.path());
    let refused = |config: &TaskConfig| {
        let out = place.path().join("study");
        study(config, &[Study::Beta], &out, 0)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&config).contains("`see`"));
    let (see, read) = (None, None);
    let mut config = TaskConfig {
        see,
        read,
        ..config
    };
    config.validation = None;
    assert!(refused(&config).contains("`validation.captions`"));
}
