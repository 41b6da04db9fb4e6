//! A small data set on disk and a model to train on it.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use adem_data::datasets::{Captions, DatasetConfig, SourceConfig};
use adem_data::scenes::{HELD_OUT_SEEDS, Scene};
use adem_model::ModelConfig;
use adem_model::config::{AdemConfig, ClipConfig, LlamaConfig, RopeStyle};
use adem_train::Precision;
use adem_train::task::{
    ReadConfig, SaveConfig, SeeConfig, TaskConfig, TuneConfig, ValidationConfig, WeightsConfig,
};

/// Writes `count` pictures with two captions each to `folder` and says how to open them.
pub fn data_set(folder: &Path, count: u64) -> DatasetConfig {
    let images = folder.join("images");
    fs::create_dir_all(&images).unwrap();
    let mut lines = String::new();
    for i in 0..count {
        let scene = Scene::sample(HELD_OUT_SEEDS + i);
        let name = format!("{i}.png");
        scene.render(32).save(images.join(&name)).unwrap();
        let captions = scene.captions();
        for caption in [&captions[0], &captions[captions.len() - 1]] {
            writeln!(lines, r#"{{"image": "{name}", "caption": "{caption}"}}"#).unwrap();
        }
    }
    let file = folder.join("captions.jsonl");
    fs::write(&file, lines).unwrap();
    DatasetConfig {
        source: SourceConfig::Captions { file, images },
        captions: Captions::Each,
        caption_style: Default::default(),
        augment: None,
        max_bad_rows: 0,
    }
}

/// A run from nothing that takes about a second.
pub fn config(folder: &Path) -> TaskConfig {
    TaskConfig {
        name: "toy".to_owned(),
        seed: 5,
        model: ModelConfig {
            llama: LlamaConfig {
                dim: 16,
                n_layers: 2,
                n_heads: 2,
                ffn_hidden: 24,
                rope_style: RopeStyle::Half,
                max_seq_len: 64,
                ..LlamaConfig::default()
            },
            clip: ClipConfig {
                image_size: 16,
                patch: 4,
                width: 16,
                layers: 3,
                heads: 2,
                ..ClipConfig::default()
            },
            adem: AdemConfig {
                hidden_proj: 8,
                clip_adapter_dim: 2,
                down_sample: vec![16, 4],
                beta: 0.5,
                ..AdemConfig::default()
            },
        },
        weights: WeightsConfig {
            train_tokenizer: Some(300),
            precision: Precision::F32,
            ..WeightsConfig::default()
        },
        data: Some(data_set(folder, 12)),
        see: Some(SeeConfig {
            epochs: 1.0,
            warmup_epochs: 0.2,
            batch: 4,
            channels: 8,
            ..SeeConfig::default()
        }),
        read: Some(ReadConfig {
            epochs: 1.0,
            warmup_epochs: 0.2,
            batch: 4,
            ..ReadConfig::default()
        }),
        tune: TuneConfig {
            epochs: 2.0,
            warmup_epochs: 0.5,
            batch: 6,
            micro_batch: 3,
            max_tokens: 64,
            pool: 2,
            ..TuneConfig::default()
        },
        save: SaveConfig {
            every_seconds: 3600,
            keep: 1,
            ..SaveConfig::default()
        },
        ..TaskConfig::default()
    }
}

/// The same with another look at data that is not trained on.
pub fn validated(folder: &Path) -> TaskConfig {
    let held_out = folder.join("held-out");
    fs::create_dir_all(&held_out).unwrap();
    TaskConfig {
        validation: Some(ValidationConfig {
            data: data_set(&held_out, 3),
            batches: 2,
            captions: 2,
            every_steps: None,
        }),
        ..config(folder)
    }
}
