//! A finished run as a package.

use std::path::Path;

use adem_model::{AdemVl, ModelConfig, SourceError, TensorSource};
use burn::tensor::{Device, TensorData};

use super::prepared::Prepared;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::export::{About, export};
use crate::weights::Layers;

/// Longest answer that a package allows, in tokens.
const MAX_NEW_TOKENS: u32 = 64;

/// Writes the package of a run whose tuning took `steps` steps; `source` holds every weight.
pub(crate) fn package(
    p: &Prepared,
    source: Layers,
    steps: u64,
    folder: &Path,
) -> Result<(), TrainError> {
    let tensors = collect(&p.model, source)?;
    let stages = [
        p.config
            .see
            .as_ref()
            .map(|s| format!("{} epochs of seeing, ", s.epochs)),
        p.config
            .read
            .as_ref()
            .map(|r| format!("{} epochs of reading, ", r.epochs)),
    ];
    let stages: String = stages.into_iter().flatten().collect();
    let about = About {
        name: p.config.name.clone(),
        prompts: p.config.prompts.clone(),
        normalisation: p.config.normalisation.values(),
        tasks: p.tasks()?,
        max_new_tokens: MAX_NEW_TOKENS.min(p.model.llama.max_seq_len as u32 / 2),
        training: format!(
            "adem train, seed {}: {stages}{steps} steps of ADEM-VL tuning",
            p.config.seed
        ),
        data: p.data.source.name().to_owned(),
        licence: "that of the data set and of the weights it started from".to_owned(),
    };
    export(about, &p.model, &p.tokenizer_json, tensors, folder)
}

/// Every tensor of the model that is run, on the host.
fn collect(model: &ModelConfig, source: Layers) -> Result<Tensors, TrainError> {
    struct Recorder<'a> {
        source: Layers<'a>,
        found: Tensors,
    }
    impl TensorSource for Recorder<'_> {
        fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<TensorData, SourceError> {
            let data = self.source.tensor(name, shape)?;
            self.found.map.insert(name.to_owned(), data.clone());
            Ok(data)
        }
    }
    let mut recorder = Recorder {
        source,
        found: Tensors::default(),
    };
    AdemVl::new(model, &mut recorder, &Device::flex())?;
    Ok(recorder.found)
}
