//! A whole-model fixture: weights, a training batch and what should come of it.

use std::path::{Path, PathBuf};

use adem_model::nn::Builder;
use adem_model::{AdemVl, ModelConfig, Prefix, TrainRow, VisualPrompt};
use adem_tests::golden::{self, Array, Tensors};
use burn::tensor::{Device, Tensor};
use serde_json::Value;

use crate::compare::{ids, upload};
use crate::source::{Named, Stored};

/// One fixture.
pub struct Fixture {
    pub name: String,
    pub json: Value,
    pub config: ModelConfig,
    /// `w.*` weights and `in.*` inputs.
    pub model: Tensors,
    pub expected: Tensors,
    path: PathBuf,
}

/// A training batch as the model takes it.
pub struct Batch {
    pub pixels: Array<f32>,
    pub rows: Vec<TrainRow>,
    pub prefix: Prefix,
    /// Length that rows are cut to.
    pub max_tokens: usize,
}

impl Fixture {
    /// Every whole model of the golden folder.
    pub fn all() -> Vec<Self> {
        let with_model = |p: &Path| {
            p.extension().is_some_and(|e| e == "json")
                && p.with_extension("model.safetensors").exists()
        };
        golden::entries("adem", with_model)
            .iter()
            .map(|p| Self::open(p))
            .collect()
    }

    /// The model of one JSON file.
    pub fn open(path: &Path) -> Self {
        let json = golden::json(path);
        let model = Tensors::open(&path.with_extension("model.safetensors"));
        let mut config: ModelConfig = serde_json::from_value(json["config"].clone()).unwrap();
        // The reference shares the embeddings where there is no output head.
        config.llama.tie_embeddings = model.find("w.output.weight").is_none();
        Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            config,
            model,
            expected: Tensors::open(&path.with_extension("expected.safetensors")),
            json,
            path: path.to_owned(),
        }
    }

    /// Trainable parameters after some steps of AdamW.
    pub fn after_steps(&self) -> Tensors {
        Tensors::open(&self.path.with_extension("after5.safetensors"))
    }

    /// The model with the fixture's weights, laid out for inference where `device` does not train.
    pub fn build(&self, device: &Device) -> AdemVl {
        let stored = |name: &str| Stored::Whole(format!("w.{name}"));
        let mut source = Named {
            tensors: &self.model,
            stored,
        };
        let mut builder = Builder::new(&mut source, device).for_inference();
        AdemVl::build(&self.config, &mut builder).unwrap()
    }

    /// The training batch.
    pub fn batch(&self) -> Batch {
        let (all, labels) = (
            ids(self.model.i64("in.ids")),
            ids(self.model.i64("in.labels")),
        );
        let pictures = pictures(&self.model.i64("in.indicators").values);
        let max_tokens = all[0].len();
        let rows = all
            .into_iter()
            .zip(labels)
            .zip(pictures)
            .map(|((ids, labels), picture)| TrainRow {
                ids,
                labels: learned(&labels),
                picture,
            })
            .collect();
        let pixels = self.model.f32("in.pixels").clone();
        Batch {
            pixels,
            rows,
            prefix: self.prefix(),
            max_tokens,
        }
    }

    /// The words before the text.
    pub fn prefix(&self) -> Prefix {
        let words = |name| ids(self.model.i64(name)).remove(0);
        Prefix {
            with_picture: words("in.prefix_img"),
            without_picture: words("in.prefix_nonimg"),
        }
    }
}

impl Batch {
    /// What the decoder sees of the batch's pictures.
    pub fn see(&self, model: &AdemVl, device: &Device) -> VisualPrompt {
        model.see(
            model.encode(upload::<4>(&self.pixels, device), None),
            &self.pictures(),
        )
    }

    /// Which rows have a picture.
    pub fn pictures(&self) -> Vec<bool> {
        self.rows.iter().map(|row| row.picture).collect()
    }

    /// Mean loss of the batch.
    pub fn loss(&self, model: &AdemVl, device: &Device) -> Tensor<1> {
        let prompt = self.see(model, device);
        model
            .loss(&prompt, &self.rows, &self.prefix, self.max_tokens)
            .unwrap()
    }
}

/// Indicators as the model takes them.
pub fn pictures(indicators: &[i64]) -> Vec<bool> {
    indicators.iter().map(|i| *i > 0).collect()
}

/// Label 0 stands for "nothing to learn here".
pub fn learned(labels: &[u32]) -> Vec<Option<u32>> {
    labels
        .iter()
        .map(|label| (*label > 0).then_some(*label))
        .collect()
}
