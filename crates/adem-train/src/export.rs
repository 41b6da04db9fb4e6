//! A run as a package: what it trained and what it left as it was, merged.

use std::fs;
use std::path::{Path, PathBuf};

use adem_data::tokenizer::Tokenizer;
use adem_model::{AdemVl, ModelConfig, RandomInit, SourceError, TensorSource};
use adem_package::{
    Draft, ImageSpec, NewTensor, Prompts, Provenance, Task, TokenIds, WriteOptions, write,
};
use burn::tensor::{Device, TensorData};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoint, Tensors};
use crate::error::TrainError;
use crate::weights::{Layers, WeightFiles};

/// The checkpoint that is packed where none is named: the first of these that is there.
const NEWEST: [&str; 3] = [
    "self_critical.safetensors",
    "joint.safetensors",
    "tune.safetensors",
];

/// What every run has that can be packed.
const TUNED: &str = "tune.safetensors";

/// What a package says beside its weights, and where those lie that the checkpoint does not hold.
/// Checkpoints carry it, so that a run's folder says all that its package needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Blueprint {
    pub name: String,
    pub model: ModelConfig,
    pub image: ImageSpec,
    pub prompts: Prompts,
    pub tasks: Vec<Task>,
    /// Longest answer, in tokens.
    pub max_new_tokens: u32,
    /// How the weights were made, up to the number of the last stage's steps.
    pub training: String,
    /// What those steps were.
    #[serde(default = "tuning")]
    pub last: String,
    /// On what.
    pub data: String,
    pub licence: String,
    /// Stages of the run that trained frozen parts.
    pub stages: Vec<String>,
    /// Files of frozen weights.
    pub weights: Vec<PathBuf>,
    /// The tokeniser, where it is not the run's own.
    pub tokenizer: Option<PathBuf>,
}

/// What steps of the stage `tune` are.
pub(crate) fn tuning() -> String {
    "of ADEM-VL tuning".to_owned()
}

impl Blueprint {
    /// As a checkpoint carries it.
    pub(crate) fn to_text(&self) -> Result<String, TrainError> {
        serde_json::to_string(self).map_err(|e| TrainError::file("package", e))
    }
}

/// A package that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Steps of the last stage when the checkpoint was made.
    pub step: u64,
    /// The checkpoint.
    pub checkpoint: PathBuf,
}

/// Writes the package of the run in `run` to `out`, from the checkpoint of this name in the run's
/// folder, or the newest of its last stage; weights in f16. Blocks of the encoder that ADEM-VL never runs are left
/// out. Neither the data set nor the config file is needed, given weights are.
///
/// # Errors
/// [`TrainError::File`] where the run has no such checkpoint or weights are missing, and when the
/// disk refuses; the package that was there before stays whole.
pub fn export(run: &Path, checkpoint: Option<&str>, out: &Path) -> Result<Exported, TrainError> {
    let newest = NEWEST.iter().find(|name| run.join(name).is_file());
    let path = run.join(checkpoint.or(newest.copied()).unwrap_or(TUNED));
    let found = Checkpoint::read(&path)?.ok_or_else(|| {
        let message = "is not there; name the folder of a run that has reached ADEM-VL tuning, and \
                       a checkpoint in it";
        TrainError::file(&path, message)
    })?;
    let text = found.package.as_ref().ok_or_else(|| {
        let message = "holds no whole model: only checkpoints of ADEM-VL tuning can be packed";
        TrainError::file(&path, message)
    })?;
    let plan: Blueprint = serde_json::from_str(text).map_err(|e| TrainError::file(&path, e))?;
    let tokenizer = match &plan.tokenizer {
        Some(path) => path.clone(),
        None => run.join("tokenizer.json"),
    };
    let tokenizer = fs::read(&tokenizer).map_err(|e| TrainError::file(&tokenizer, e))?;
    let mut trained = vec![found.weights];
    for stage in &plan.stages {
        let path = run.join(format!("{stage}.safetensors"));
        let earlier = Checkpoint::read(&path)?.ok_or_else(|| {
            TrainError::file(&path, "is not there; it holds what this run trained first")
        })?;
        trained.push(earlier.weights);
    }
    let mut files = match plan.weights.as_slice() {
        [] => None,
        files => Some(WeightFiles::open(files)?),
    };
    let source = Layers {
        trained,
        files: files.as_mut(),
        random: RandomInit::new(0),
        may_draw: |_| false,
    };
    let tensors = collect(&plan.model, source)?;
    pack(plan, found.step, &tokenizer, tensors, out)?;
    Ok(Exported {
        step: found.step,
        checkpoint: path,
    })
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

fn pack(
    plan: Blueprint,
    step: u64,
    tokenizer_json: &[u8],
    trained: Tensors,
    out: &Path,
) -> Result<(), TrainError> {
    let special = Tokenizer::from_bytes(tokenizer_json)?.special();
    let mut model = plan.model;
    let run = model.clip.blocks_run();
    let all = model.clip.layers;
    (model.clip.layers, model.clip.run_layers) = (run, run as i64);
    let draft = Draft {
        name: plan.name,
        model: serde_json::to_value(&model).map_err(|e| TrainError::file(out, e))?,
        image: plan.image,
        prompts: plan.prompts,
        tasks: plan.tasks,
        max_new_tokens: plan.max_new_tokens,
        provenance: Provenance {
            created: String::new(),
            training: format!("{}{step} steps {}", plan.training, plan.last),
            data: plan.data,
            licence: plan.licence,
            ..Provenance::default()
        },
        token_ids: TokenIds {
            bos: special.bos,
            eos: special.eos,
            pad: special.pad.unwrap_or(special.eos),
        },
    };
    let unused = |name: &str| (run..all).any(|i| name.contains(&format!("resblocks.{i}.")));
    let mut tensors = Vec::with_capacity(trained.map.len());
    for (name, data) in trained.map.into_iter().filter(|(name, _)| !unused(name)) {
        let shape = data.shape().to_vec();
        let data = data
            .try_to_vec::<f32>()
            .map_err(|e| TrainError::Read(format!("{name}: {e:?}")))?;
        tensors.push(NewTensor { name, shape, data });
    }
    let options = WriteOptions::default();
    write(out, draft, tokenizer_json, tensors, &options)?;
    Ok(())
}
