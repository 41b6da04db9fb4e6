//! Stage 1: the vision encoder, on drawn pictures.

use std::sync::Arc;

use adem_data::scenes::Scene;
use adem_model::ModelConfig;
use adem_model::nn::{Builder, Linear};
use adem_model::vision::ClipVision;
use burn::module::Module;
use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::config::ScenesConfig;
use super::draw::{Use, scene, scene_pixels};
use super::heads::{Answers, PAIRS, PATCH_CLASSES, POINTS, picture_classes};
use super::text::Texts;
use crate::checkpoint::Tensors;
use crate::error::TrainError;
use crate::loader::{Loader, Numbered};
use crate::stage::{Batches, Context, Forward, Part, Stage, Start, shares};
use crate::tensors::{contrastive, rows};

/// Channels of the space in which pictures and texts are compared.
const SHARED: usize = 96;
/// Sharpness of the contrastive comparison, 1 / temperature.
const SHARPNESS: f64 = 10.0;
/// Weights of the other terms against the patches' classifiers.
const WHOLE: f64 = 0.08;
const EXISTS: f64 = 0.1;
const CONTRAST: f64 = 0.1;
/// Blocks after which the form of things is asked for, patch by patch: the outline first, so that
/// the blocks above can put a shape together from it.
const FORM_BLOCKS: usize = 2;
/// Weights of a patch's mask and of its place within its object.
const MASK: f64 = 3.0;
const OFFSET: f64 = 10.0;

/// The encoder and what it is asked while it learns.
#[derive(Module, Debug)]
pub(crate) struct Seer {
    visual: ClipVision,
    form_head: Linear,
    patch_head: Linear,
    picture_head: Linear,
    pair_head: Linear,
    picture_proj: Linear,
    text_proj: Linear,
}

impl Seer {
    pub(crate) fn new(
        config: &ModelConfig,
        source: &mut dyn adem_model::TensorSource,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let b = &mut Builder::new(source, device);
        let w = config.clip.width;
        let build = |b: &mut Builder| -> Result<Self, adem_model::SourceError> {
            Ok(Self {
                visual: ClipVision::new(b, "backbone.visual", config)?,
                form_head: Linear::new(b, "form_head", [w, POINTS + 2], true)?,
                patch_head: Linear::new(b, "patch_head", [w, PATCH_CLASSES.iter().sum()], true)?,
                picture_head: Linear::new(
                    b,
                    "picture_head",
                    [w, picture_classes().iter().sum()],
                    true,
                )?,
                pair_head: Linear::new(b, "pair_head", [w, PAIRS], true)?,
                picture_proj: Linear::new(b, "picture_proj", [w, SHARED], false)?,
                text_proj: Linear::new(b, "text_proj", [config.llama.vocab_size, SHARED], false)?,
            })
        };
        build(b).map_err(|e| TrainError::Model(e.into()))
    }
}

/// Pictures and all answers about them.
pub(crate) struct SeeBatch {
    pixels: TensorData,
    masks: TensorData,
    offsets: TensorData,
    patches: Vec<Vec<i32>>,
    picture: Vec<Vec<i32>>,
    pairs: TensorData,
    words: TensorData,
}

/// The stage.
pub(crate) struct See {
    pub config: ScenesConfig,
    pub model: ModelConfig,
    pub texts: Arc<Texts>,
}

impl See {
    /// Share of each vocabulary token among a scene's descriptions.
    fn words(&self, scene: &Scene) -> Vec<f32> {
        let mut counts = vec![0.0f32; self.model.llama.vocab_size];
        let ids: Vec<u32> = scene
            .captions()
            .iter()
            .flat_map(|c| self.texts.tokenizer.encode(c))
            .collect();
        for id in &ids {
            counts[*id as usize] += 1.0 / ids.len() as f32;
        }
        counts
    }
}

impl Numbered for See {
    type Batch = SeeBatch;

    fn batch(&self, step: u64) -> Result<SeeBatch, TrainError> {
        let (n, side) = (self.config.see.batch, self.model.clip.image_size);
        let mut pixels = Vec::with_capacity(n * 3 * side * side);
        let mut patches = vec![Vec::new(); PATCH_CLASSES.len()];
        let mut picture = vec![Vec::new(); picture_classes().len()];
        let (mut masks, mut offsets) = (Vec::new(), Vec::new());
        let (mut pairs, mut words) = (Vec::new(), Vec::new());
        for i in 0..n as u64 {
            let scene = scene(self.config.seed, Use::See, step * n as u64 + i);
            pixels.extend(scene_pixels(&scene, side));
            let answers = Answers::of(&scene, self.model.clip.grid());
            for (all, own) in patches.iter_mut().zip(answers.patches) {
                all.extend(own);
            }
            for (all, own) in picture.iter_mut().zip(answers.picture) {
                all.push(own);
            }
            masks.extend(answers.masks);
            offsets.extend(answers.offsets);
            pairs.extend(answers.pairs);
            words.extend(self.words(&scene));
        }
        let tokens = n * self.model.clip.grid().pow(2);
        Ok(SeeBatch {
            pixels: TensorData::new(pixels, [n, 3, side, side]),
            masks: TensorData::new(masks, [tokens, POINTS]),
            offsets: TensorData::new(offsets, [tokens, 3]),
            patches,
            picture,
            pairs: TensorData::new(pairs, [n, PAIRS]),
            words: TensorData::new(words, [n, self.model.llama.vocab_size]),
        })
    }
}

impl Stage for See {
    type Model = Seer;
    type Batch = SeeBatch;

    fn name(&self) -> &'static str {
        "see"
    }

    fn batches(self: Arc<Self>, from: &Start) -> Result<Box<dyn Batches<SeeBatch>>, TrainError> {
        Ok(Box::new(Loader::start(&self, from)))
    }

    fn samples(&self, batch: &SeeBatch) -> usize {
        batch.picture.first().map_or(0, Vec::len)
    }

    fn forward(
        &self,
        model: &Seer,
        batch: SeeBatch,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let device = &context.device;
        let pixels = Tensor::<4>::from_data(batch.pixels, device);
        let [early, features] = model.visual.forward_with_early(pixels, FORM_BLOCKS);
        let [n, all, width] = features.dims();
        let cls = features.clone().narrow(1, 0, 1).reshape([n, width]);
        let patches = |x: Tensor<3>| x.narrow(1, 1, all - 1).reshape([n * (all - 1), width]);
        let form = form(
            model.form_head.forward(patches(early)),
            Tensor::from_data(batch.masks, device),
            Tensor::from_data(batch.offsets, device),
        );
        let places = choices(
            model.patch_head.forward(patches(features)),
            &PATCH_CLASSES,
            &batch.patches,
        );
        let whole = choices(
            model.picture_head.forward(cls.clone()),
            &picture_classes(),
            &batch.picture,
        );
        let pairs = Tensor::<2>::from_data(batch.pairs, device);
        let exists = yes_or_no(model.pair_head.forward(cls.clone()), pairs);
        let words = Tensor::<2>::from_data(batch.words, device);
        let shared = vec![
            model.picture_proj.forward(cls),
            model.text_proj.forward(words),
        ];
        Ok(Forward {
            loss: form + places + whole * WHOLE + exists * EXISTS,
            shared,
        })
    }

    fn joint(&self, shared: Vec<Tensor<2>>) -> Option<Tensor<1>> {
        let [pictures, texts] = <[_; 2]>::try_from(shared).ok()?;
        Some(contrastive(pictures, texts, SHARPNESS) * CONTRAST)
    }

    fn split(&self, batch: SeeBatch, parts: usize) -> Vec<Part<SeeBatch>> {
        let all = self.samples(&batch);
        let patches = self.model.clip.grid() * self.model.clip.grid();
        let mut start = 0;
        let lengths = shares(all, parts);
        lengths
            .into_iter()
            .map(|n| {
                let from = start;
                start += n;
                let cut = |answers: &[Vec<i32>], each: usize| -> Vec<Vec<i32>> {
                    let of = |a: &Vec<i32>| a[from * each..(from + n) * each].to_vec();
                    answers.iter().map(of).collect()
                };
                Part {
                    share: n as f64 / all as f64,
                    batch: SeeBatch {
                        pixels: rows(&batch.pixels, from, n),
                        patches: cut(&batch.patches, patches),
                        picture: cut(&batch.picture, 1),
                        pairs: rows(&batch.pairs, from, n),
                        words: rows(&batch.words, from, n),
                        masks: rows(&batch.masks, from * patches, n * patches),
                        offsets: rows(&batch.offsets, from * patches, n * patches),
                    },
                }
            })
            .collect()
    }

    fn trains(&self, name: &str) -> bool {
        !name.contains("adapter_mlp")
    }
}

/// Sum over questions of the mean cross-entropy of their answers. `logits` `[n, sum of classes]`.
fn choices(logits: Tensor<2>, classes: &[usize], answers: &[Vec<i32>]) -> Tensor<1> {
    let device = logits.device();
    let mut sum = Tensor::<1>::zeros([1], &device);
    let mut start = 0;
    for (count, answers) in classes.iter().zip(answers) {
        let n = answers.len();
        let answers =
            Tensor::<2, Int>::from_data(TensorData::new(answers.clone(), [n, 1]), &device);
        let logits = logits.clone().narrow(1, start, *count);
        sum = sum - log_softmax(logits, 1).gather(1, answers).mean();
        start += count;
    }
    sum
}

/// What a patch's object covers of it, and where the patch lies within the object (squared error
/// where there is one). `logits` `[patches, POINTS + 2]`, `masks` `[patches, POINTS]`, `offsets`
/// `[patches, 3]`.
fn form(logits: Tensor<2>, masks: Tensor<2>, offsets: Tensor<2>) -> Tensor<1> {
    let real = offsets.clone().narrow(1, 2, 1);
    let miss = logits.clone().narrow(1, POINTS, 2) - offsets.narrow(1, 0, 2);
    let masks = yes_or_no(logits.narrow(1, 0, POINTS), masks) / POINTS as f64;
    masks * MASK + (miss.square() * real).mean() * OFFSET
}

/// Mean over rows of the summed binary cross-entropy.
fn yes_or_no(logits: Tensor<2>, truth: Tensor<2>) -> Tensor<1> {
    let yes = log_sigmoid(logits.clone()) * truth.clone();
    let no = log_sigmoid(logits.neg()) * (truth.neg() + 1.0);
    (yes + no).sum_dim(1).mean().neg()
}

/// The encoder's tensors alone.
pub(crate) fn encoder_of(trained: Tensors) -> Tensors {
    let Tensors { map, origin } = trained;
    let map = map
        .into_iter()
        .filter(|(name, _)| name.starts_with("backbone.visual."))
        .collect();
    Tensors { map, origin }
}
