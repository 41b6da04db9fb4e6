//! Self-critical sequence training (arXiv 1612.00563): captions that the model draws itself become
//! likelier or less likely by their CIDEr-D, beside the others of the same picture (arXiv
//! 2003.09971). What fits the batch's other pictures as well may count against a caption (after
//! CIDErBtw, arXiv 2007.06877), meant to keep captions from becoming alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use adem_data::datasets::{Batch, LoadPlan};
use adem_eval::captions::{Cider, tokenize};
use adem_model::{
    AdemVl, Generation, GenerationOptions, Sampling, TrainRow, VisualPrompt, token_losses,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::caption::Asking;
use super::config::SelfCriticalConfig;
use super::feed::{Feed, names, pictures};
use super::tune::Tune;
use crate::error::TrainError;
use crate::stage::{Batches, Context, Forward, Part, Quality, Stage, Start, shares};
use crate::tensors::rows;

/// Pictures and what people say of them.
pub(crate) struct CriticalBatch {
    names: Vec<String>,
    /// Pixels `[n, 3, side, side]`.
    pixels: TensorData,
    /// Captions of each picture, in words.
    references: Vec<Vec<Vec<String>>>,
}

/// The stage.
pub(crate) struct SelfCritical {
    pub config: SelfCriticalConfig,
    /// Data, each picture with all its captions, and validation.
    pub tune: Tune,
    /// Document frequencies of the data's captions.
    pub cider: Cider,
}

/// Captions drawn of a batch's pictures, as many of each, one picture after the other.
struct Drawn {
    rows: Vec<TrainRow>,
    /// Reward of each less the mean of the picture's others.
    advantages: Vec<f32>,
    /// Mean CIDEr-D.
    mean: f64,
}

impl SelfCritical {
    /// The document frequencies of a data set's captions.
    pub(crate) fn cider(captions: &BTreeMap<String, Vec<String>>) -> Cider {
        let words: Vec<Vec<Vec<String>>> = captions
            .values()
            .map(|of_one| of_one.iter().map(|text| tokenize(text)).collect())
            .collect();
        Cider::new(words.iter().map(Vec::as_slice))
    }

    fn draw(
        &self,
        model: &AdemVl,
        seen: VisualPrompt,
        references: &[Vec<Vec<String>>],
        context: &Context,
    ) -> Result<Drawn, TrainError> {
        let tune = &self.tune;
        let asking = Asking::new(&tune.language, model)?;
        let count = references.len() * self.config.samples;
        let options = GenerationOptions {
            sampling: Sampling::TopP {
                temperature: 1.0,
                top_p: 1.0,
                // Every text of every batch has a sequence of its own.
                seed: tune.config.seed ^ ((context.number << 24) | (context.part << 16)),
            },
            ..asking.options
        };
        let most = options.max_new_tokens;
        let prompts = vec![asking.prompt.clone(); count];
        let prefix = &tune.language.prefix;
        let mut generation = Generation::new(model, seen, &prompts, prefix, options)?;
        let mut drawn = vec![Vec::new(); count];
        while let Some(step) = pollster::block_on(generation.step())? {
            for (ids, token) in drawn.iter_mut().zip(step.tokens) {
                ids.extend(token);
            }
        }
        let texts = drawn.iter().map(|ids| tune.language.tokenizer.decode(ids));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let words: Vec<_> = texts.iter().map(|text| tokenize(text)).collect();
        let (scores, rewards) = judged(&self.cider, &self.config, &words, references);
        let special = tune.language.tokenizer.special();
        let rows = drawn.into_iter().map(|ids| {
            let mut row = vec![special.bos];
            row.extend(&asking.prompt);
            let given = row.len();
            // One that was cut off never came to its end.
            let ended = ids.len() < most;
            row.extend(ids);
            row.extend(ended.then_some(special.eos));
            let labels = (0..).zip(&row).map(|(i, id)| (i >= given).then_some(*id));
            TrainRow {
                labels: labels.collect(),
                ids: row,
                picture: true,
            }
        });
        Ok(Drawn {
            rows: rows.collect(),
            advantages: advantages(&rewards, self.config.samples),
            mean: scores.iter().sum::<f64>() / count.max(1) as f64,
        })
    }
}

/// CIDEr-D of each caption, as many of each picture one after the other, and its reward: less
/// `contrast` times its mean CIDEr-D for the other pictures.
fn judged(
    cider: &Cider,
    config: &SelfCriticalConfig,
    captions: &[Vec<String>],
    references: &[Vec<Vec<String>>],
) -> (Vec<f64>, Vec<f64>) {
    let judges: Vec<_> = references.iter().map(|r| cider.judge(r)).collect();
    let others = (judges.len() as f64 - 1.0).max(1.0);
    let of_pictures = judges.iter().zip(captions.chunks(config.samples));
    let of_captions =
        of_pictures.flat_map(|(own, captions)| captions.iter().map(move |c| (own, c)));
    let both = of_captions.map(|(own, caption)| {
        let score = own.score(caption);
        if config.contrast == 0.0 {
            return (score, score);
        }
        let all: f64 = judges.iter().map(|judge| judge.score(caption)).sum();
        (score, score - config.contrast * (all - score) / others)
    });
    both.unzip()
}

/// Each score less the mean of the other ones of its picture, which has `samples` of them.
fn advantages(scores: &[f64], samples: usize) -> Vec<f32> {
    let of_one = scores.chunks(samples).flat_map(|scores| {
        let sum: f64 = scores.iter().sum();
        let others = (scores.len() as f64 - 1.0).max(1.0);
        scores.iter().map(move |s| (s - (sum - s) / others) as f32)
    });
    of_one.collect()
}

impl Stage for SelfCritical {
    type Model = AdemVl;
    type Batch = CriticalBatch;

    fn name(&self) -> &'static str {
        "self_critical"
    }

    fn batches(
        self: Arc<Self>,
        from: &Start,
    ) -> Result<Box<dyn Batches<CriticalBatch>>, TrainError> {
        let tune = &self.tune;
        let plan = LoadPlan {
            seed: tune.config.seed ^ 0x5c57,
            batch: tune.config.tune.micro_batch,
            pool: 1,
            ..LoadPlan::default()
        };
        let encoder = tune.language.encoder(
            tune.config.tune.max_tokens,
            tune.model.adem.text_tokens(),
            tune.config.tune.truncation,
            tune.data.config.caption_style,
        );
        let side = tune.model.clip.image_size;
        let make = move |mut batch: Batch| {
            let n = batch.examples.len();
            let pixels = std::mem::take(&mut batch.pixels);
            let each = batch.examples.iter();
            Ok(CriticalBatch {
                names: names(&batch),
                pixels: TensorData::new(pixels, [n, 3, side, side]),
                references: each
                    .map(|e| e.sample.targets.iter().map(|text| tokenize(text)).collect())
                    .collect(),
            })
        };
        let planes = Some(pictures(&tune.config, &tune.data));
        Ok(Box::new(Feed::new(
            &tune.data, encoder, planes, &plan, from, make,
        )?))
    }

    fn samples(&self, batch: &CriticalBatch) -> usize {
        batch.references.len()
    }

    fn names(&self, batch: &CriticalBatch) -> Vec<String> {
        batch.names.clone()
    }

    /// What is reported as the loss is the mean CIDEr-D of the captions drawn, negated; the
    /// gradients are those of the mean over tokens of advantage times cross-entropy.
    fn forward(
        &self,
        model: &AdemVl,
        batch: CriticalBatch,
        context: &Context,
    ) -> Result<Forward, TrainError> {
        let all = vec![true; batch.references.len()];
        let see = |model: &AdemVl, device: &Device| {
            let pixels = Tensor::from_data(batch.pixels.clone(), device);
            model.see(model.encode(pixels, None), &all)
        };
        let still = model.valid();
        let seen = see(&still, &context.device.clone().inner());
        let drawn = self.draw(&still, seen, &batch.references, context)?;
        let prompt = see(model, &context.device);
        let tune = &self.tune;
        let (prefix, limit) = (&tune.language.prefix, tune.config.tune.max_tokens);
        let (hidden, labels) = model.forward(&prompt, &drawn.rows, prefix, limit)?;
        let losses = token_losses(&model.llama, hidden, &labels);
        let (losses, of) = losses.ok_or(TrainError::Config {
            field: "tune.max_tokens",
            message: "leaves no room for a caption".to_owned(),
        })?;
        let weights: Vec<f32> = of
            .iter()
            .map(|row| drawn.advantages.get(*row).copied().unwrap_or(0.0))
            .collect();
        let weights = TensorData::new(weights, [of.len()]);
        let loss = (losses * Tensor::from_data(weights, &context.device)).mean();
        let shown = loss.clone().detach().neg().sub_scalar(drawn.mean);
        Ok((loss + shown).into())
    }

    fn split(&self, mut batch: CriticalBatch, parts: usize) -> Vec<Part<CriticalBatch>> {
        let all = batch.references.len();
        let mut start = 0;
        let lengths = shares(all, parts);
        lengths
            .into_iter()
            .map(|n| {
                let part = CriticalBatch {
                    names: batch.names.drain(..n).collect(),
                    pixels: rows(&batch.pixels, start, n),
                    references: batch.references.drain(..n).collect(),
                };
                start += n;
                Part {
                    share: n as f64 / all.max(1) as f64,
                    batch: part,
                }
            })
            .collect()
    }

    fn trains(&self, _: &str) -> bool {
        true
    }

    fn validate(&self, model: &AdemVl, device: &Device) -> Result<Option<Quality>, TrainError> {
        self.tune.validate(model, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caption_is_held_against_the_others_of_its_picture() {
        assert_eq!(
            advantages(&[1.0, 2.0, 6.0, 5.0, 5.0, 5.0], 3),
            [-3.0, -1.5, 4.5, 0.0, 0.0, 0.0]
        );
    }

    #[test]
    fn what_fits_other_pictures_counts_against_a_caption() {
        let words = |texts: &[&str]| texts.iter().map(|t| tokenize(t)).collect::<Vec<_>>();
        let references = [
            words(&["a dog runs on the beach", "a dog on the sand"]),
            words(&["a dog runs in the snow", "a dog in the snow"]),
            words(&["two men climb a rock"]),
        ];
        let cider = Cider::new(references.iter().map(Vec::as_slice));
        let captions = words(&["a dog runs", "beach", "a dog runs", "snow", "men", "a dog"]);
        let judged = |contrast| {
            let config = SelfCriticalConfig {
                samples: 2,
                contrast,
                ..SelfCriticalConfig::default()
            };
            judged(&cider, &config, &captions, &references)
        };
        let (scores, plain) = judged(0.0);
        assert_eq!(scores, plain);
        let (same, rewards) = judged(1.0);
        assert_eq!(scores, same);
        // Only the first picture has a beach, and the last one's men.
        assert_eq!([rewards[1], rewards[4]], [scores[1], scores[4]]);
        // "a dog runs" fits the second picture as it fits the first, and the third not at all.
        let judge = cider.judge(&references[1]);
        let expected = scores[0] - judge.score(&captions[0]) / 2.0;
        assert!((rewards[0] - expected).abs() < 1e-12, "{rewards:?}");
        assert!(rewards[0] < scores[0]);
    }
}
