//! Pre-training of the encoder: pictures and captions find one another, words are named, and what a
//! teacher sees is said.

use std::collections::BTreeSet;
use std::sync::Arc;

use adem_data::datasets::{Batch, LoadPlan};
use adem_data::rows::Truncation;
use adem_model::nn::{Builder, Linear};
use adem_model::vision::ClipVision;
use adem_model::{ModelConfig, SourceError, TensorSource};
use burn::module::Module;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor, TensorData};

use super::config::{SeeConfig, TaskConfig};
use super::feed::{Feed, names, pictures};
use super::teacher::{Teacher, lesson};
use super::texts::{Language, Opened};
use crate::error::TrainError;
use crate::stage::{Batches, Context, Forward, Part, Stage, Start, shares};
use crate::tensors::{contrastive, rows};

/// The encoder and what it is asked while it learns.
#[derive(Module, Debug)]
pub(crate) struct Seer {
    visual: ClipVision,
    picture_proj: Linear,
    text_proj: Linear,
    word_head: Linear,
    pupil: Option<Pupil>,
}

/// From the encoder's channels to a teacher's.
#[derive(Module, Debug)]
pub(crate) struct Pupil {
    cls: Linear,
    patches: Linear,
}

impl Seer {
    /// `taught` is the number of a teacher's channels.
    pub(crate) fn new(
        model: &ModelConfig,
        channels: usize,
        taught: Option<usize>,
        source: &mut dyn TensorSource,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let b = &mut Builder::new(source, device);
        let (w, vocabulary) = (model.clip.width, model.llama.vocab_size);
        let build = |b: &mut Builder| -> Result<Self, SourceError> {
            Ok(Self {
                visual: ClipVision::new(b, "backbone.visual", model)?,
                picture_proj: Linear::new(b, "picture_proj", [2 * w, channels], false)?,
                text_proj: Linear::new(b, "text_proj", [vocabulary, channels], false)?,
                word_head: Linear::new(b, "word_head", [2 * w, vocabulary], true)?,
                pupil: match taught {
                    None => None,
                    Some(width) => Some(Pupil {
                        cls: Linear::new(b, "pupil.cls", [w, width], true)?,
                        patches: Linear::new(b, "pupil.patches", [w, width], true)?,
                    }),
                },
            })
        };
        build(b).map_err(|e| TrainError::Model(e.into()))
    }
}

impl Pupil {
    /// What the teacher is thought to see, `[n, 1 + G*G, its width]`.
    fn repeat(&self, features: Tensor<3>) -> Tensor<3> {
        let tokens = features.dims()[1];
        let cls = self.cls.forward(features.clone().narrow(1, 0, 1));
        let patches = self.patches.forward(features.narrow(1, 1, tokens - 1));
        Tensor::cat(vec![cls, patches], 1)
    }
}

/// [cls] and the mean of the patches, `[n, 2 * width]`, of features `[n, 1 + G*G, width]`.
fn whole(features: Tensor<3>) -> Tensor<2> {
    let [n, all, width] = features.dims();
    let cls = features.clone().narrow(1, 0, 1).reshape([n, width]);
    let patches = features.narrow(1, 1, all - 1).mean_dim(1);
    Tensor::cat(vec![cls, patches.reshape([n, width])], 1)
}

/// Pictures and the words of a caption of each.
pub(crate) struct SeeBatch {
    names: Vec<String>,
    pixels: TensorData,
    /// Share of each token among the caption's, `[n, vocabulary]`.
    shares: TensorData,
    /// 1 for tokens that the caption holds, `[n, vocabulary]`.
    present: TensorData,
    /// What the teacher sees, `[n, 1 + G*G, its width]`.
    shown: Option<TensorData>,
}

/// The stage.
pub(crate) struct See {
    pub config: TaskConfig,
    pub see: SeeConfig,
    pub model: ModelConfig,
    pub language: Arc<Language>,
    pub data: Opened,
    pub teacher: Option<Arc<Teacher>>,
}

/// What a batch of the loader is to this stage.
fn batch_of(batch: Batch, side: usize, vocabulary: usize, shown: Option<TensorData>) -> SeeBatch {
    let n = batch.examples.len();
    let mut share = vec![0.0f32; n * vocabulary];
    let mut present = share.clone();
    for (example, row) in batch.examples.iter().zip(0..) {
        let text = example
            .row
            .ids
            .iter()
            .take(example.row.len.saturating_sub(1));
        let words: Vec<usize> = text
            .skip(example.row.prompt_len)
            .map(|id| *id as usize)
            .filter(|id| *id < vocabulary)
            .collect();
        for word in &words {
            share[row * vocabulary + word] += 1.0 / words.len() as f32;
        }
        for word in words.iter().collect::<BTreeSet<_>>() {
            present[row * vocabulary + word] = 1.0;
        }
    }
    SeeBatch {
        names: names(&batch),
        pixels: TensorData::new(batch.pixels, [n, 3, side, side]),
        shares: TensorData::new(share, [n, vocabulary]),
        present: TensorData::new(present, [n, vocabulary]),
        shown,
    }
}

impl Stage for See {
    type Model = Seer;
    type Batch = SeeBatch;

    fn name(&self) -> &'static str {
        "see"
    }

    fn batches(self: Arc<Self>, from: &Start) -> Result<Box<dyn Batches<SeeBatch>>, TrainError> {
        let (side, vocabulary) = (self.model.clip.image_size, self.model.llama.vocab_size);
        let plan = LoadPlan {
            seed: self.config.seed ^ 0x5ee,
            batch: self.see.batch,
            pool: 1,
            ..LoadPlan::default()
        };
        let width = self.model.llama.max_seq_len;
        let encoder = self.language.encoder(
            width,
            0,
            Truncation::KeepEos,
            self.data.config.caption_style,
        );
        let (teacher, grid) = (self.teacher.clone(), self.model.clip.grid());
        let make = move |batch: Batch| {
            let shown = teacher.as_ref().map(|t| t.show(&batch.examples, grid));
            Ok(batch_of(batch, side, vocabulary, shown.transpose()?))
        };
        let pictures = pictures(&self.config, &self.data);
        Ok(Box::new(Feed::new(
            &self.data,
            encoder,
            Some(pictures),
            &plan,
            from,
            make,
        )?))
    }

    fn samples(&self, batch: &SeeBatch) -> usize {
        batch.names.len()
    }

    fn names(&self, batch: &SeeBatch) -> Vec<String> {
        batch.names.clone()
    }

    fn forward(
        &self,
        model: &Seer,
        batch: SeeBatch,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let pixels = Tensor::from_data(batch.pixels, &context.device);
        let features = model.visual.forward(pixels, None);
        let seen = whole(features.clone());
        let said = Tensor::<2>::from_data(batch.shares, &context.device);
        let present = Tensor::<2>::from_data(batch.present, &context.device);
        let logits = model.word_head.forward(seen.clone());
        let yes = log_sigmoid(logits.clone()) * present.clone();
        let no = log_sigmoid(logits.neg()) * (present.neg() + 1.0);
        let words = (yes + no).sum_dim(1).mean().neg();
        let mut loss = words * (self.see.words * WORDS);
        if let (Some(pupil), Some(shown), Some(teacher)) =
            (&model.pupil, batch.shown, &self.see.teacher)
        {
            let shown = Tensor::from_data(shown, &context.device);
            loss = loss + lesson(pupil.repeat(features), shown) * teacher.weight;
        }
        Ok(Forward {
            loss,
            shared: vec![
                model.picture_proj.forward(seen),
                model.text_proj.forward(said),
            ],
        })
    }

    fn joint(&self, shared: Vec<Tensor<2>>) -> Option<Tensor<1>> {
        let [pictures, texts] = <[_; 2]>::try_from(shared).ok()?;
        Some(contrastive(pictures, texts, self.see.sharpness))
    }

    fn split(&self, batch: SeeBatch, parts: usize) -> Vec<Part<SeeBatch>> {
        let all = batch.names.len();
        let mut start = 0;
        let lengths = shares(all, parts);
        lengths
            .into_iter()
            .map(|n| {
                let from = start;
                start += n;
                Part {
                    share: n as f64 / all as f64,
                    batch: SeeBatch {
                        names: batch.names[from..from + n].to_vec(),
                        pixels: rows(&batch.pixels, from, n),
                        shares: rows(&batch.shares, from, n),
                        present: rows(&batch.present, from, n),
                        shown: batch.shown.as_ref().map(|shown| rows(shown, from, n)),
                    },
                }
            })
            .collect()
    }

    fn trains(&self, name: &str) -> bool {
        !name.contains("adapter_mlp")
    }
}

/// Brings the summed cross-entropy of a few hundred rare words to the size of the comparison's.
const WORDS: f64 = 0.05;
