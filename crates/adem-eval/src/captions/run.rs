//! Captioning a data set.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use adem_data::datasets::{BadRows, DataSource, Sample};
use adem_data::image::RgbImage;
use adem_data::tasks::caption::written_caption;
use adem_pipeline::{Ask, Beams, Captioner, Task};

use super::pictures::Pictures;
use super::report::{CaptionReport, Judged};
use super::score::{Captioned, score};
use super::shown::Shown;
use crate::error::EvalError;

/// How to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct CaptionEval {
    /// Captions written at once.
    pub batch: usize,
    /// Most pictures, the first ones of the data set; none for all.
    pub limit: Option<u64>,
    /// Search for each caption with so many beams instead of greedily.
    pub beams: Option<Beams>,
    /// Whether to keep a small copy of each picture and what of it was looked at, for a page.
    pub pictures: bool,
    /// Judge what stands after "picture of " in each text, as the authors do: their COCO checkpoints
    /// were trained to say the prompt again.
    pub compat: bool,
}

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaptionProgress {
    /// Pictures that are captioned.
    pub done: u64,
    /// Pictures in all, where the data set knows.
    pub count: Option<u64>,
    /// Seconds since the start.
    pub seconds: f64,
}

impl CaptionProgress {
    /// Seconds that are left at this speed; `None` where that cannot be known.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = self.count?.saturating_sub(self.done) as f64;
        (self.done > 0).then(|| self.seconds * left / self.done as f64)
    }
}

impl CaptionEval {
    /// Captions the pictures of `data`, which gives each with all of its captions, and judges them.
    /// Rows that cannot be used go to `bad`; questions are passed over. `progress` is called between
    /// batches and may stop the evaluation; the report then speaks of what was done until then.
    ///
    /// # Errors
    /// [`EvalError`].
    pub async fn run(
        &self,
        captioner: &Captioner,
        data: &dyn DataSource,
        bad: &Arc<BadRows>,
        mut progress: impl FnMut(CaptionProgress) -> ControlFlow<()>,
    ) -> Result<CaptionReport, EvalError> {
        if self.batch == 0 {
            return Err(EvalError::Zero { argument: "batch" });
        }
        if self.limit == Some(0) {
            return Err(EvalError::Zero { argument: "limit" });
        }
        let mut pictures = Pictures::new(data, bad, self.limit)?;
        let count = match (data.samples()?, self.limit) {
            (Some(all), Some(limit)) => Some(all.min(limit)),
            (all, limit) => all.or(limit),
        };
        let started = Instant::now();
        let mut judged: Vec<Judged> = Vec::new();
        let mut stopped = false;
        loop {
            let now = CaptionProgress {
                done: judged.len() as u64,
                count,
                seconds: started.elapsed().as_secs_f64(),
            };
            stopped |= progress(now).is_break();
            let batch = match stopped {
                true => break,
                false => pictures.batch(self.batch)?,
            };
            if batch.is_empty() {
                break;
            }
            judged.extend(self.caption(captioner, batch).await?);
        }
        if judged.is_empty() && !stopped {
            return Err(EvalError::NoCaptions {
                data: data.name().to_owned(),
            });
        }
        let items: Vec<Captioned> = judged
            .iter()
            .map(|j| Captioned::new(&j.caption, &j.references))
            .collect();
        let scored = score(&items);
        for (judged, metrics) in judged.iter_mut().zip(scored.each) {
            judged.metrics = metrics;
        }
        let distinct: BTreeSet<&[String]> = items.iter().map(|i| i.candidate.as_slice()).collect();
        Ok(CaptionReport {
            model: captioner.manifest().name.clone(),
            data: data.name().to_owned(),
            pictures: judged.len(),
            stopped,
            seconds: started.elapsed().as_secs_f64(),
            metrics: scored.corpus,
            distinct: distinct.len() as f64 / judged.len().max(1) as f64,
            captions: judged,
        })
    }

    /// The caption in what the model wrote.
    fn caption_in(&self, text: String) -> String {
        match self.compat {
            true => written_caption(&text).to_owned(),
            false => text,
        }
    }

    async fn caption(
        &self,
        captioner: &Captioner,
        batch: Vec<(Sample, RgbImage)>,
    ) -> Result<Vec<Judged>, EvalError> {
        let (samples, pictures): (Vec<Sample>, Vec<RgbImage>) = batch.into_iter().unzip();
        let features = captioner.encode(&pictures)?;
        let asks: Vec<Ask> = (0..samples.len())
            .map(|picture| Ask {
                picture,
                task: Task::Caption,
            })
            .collect();
        let ids = match self.beams {
            None => captioner.answer_ids(&features, &asks).await?,
            Some(beams) => captioner.search_ids(&features, &asks, beams).await?,
        };
        let texts = captioner.texts(&ids)?;
        let mut shown: Vec<Option<Shown>> = vec![None; texts.len()];
        if self.pictures {
            let scales = &captioner.fusion().down_sample;
            let sights = captioner.sights(&features, &asks, ids).await?;
            let each = pictures.iter().zip(&sights);
            shown = each
                .map(|(picture, of)| Shown::new(picture, of, scales))
                .collect();
        }
        let rows = samples.into_iter().zip(texts).zip(shown);
        Ok(rows
            .map(|((sample, text), shown)| Judged {
                id: sample.id,
                caption: self.caption_in(text),
                references: sample.targets,
                metrics: Default::default(),
                shown,
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_said_again_is_no_part_of_the_caption_where_that_is_asked_for() {
        let read = |compat| {
            let eval = CaptionEval {
                batch: 1,
                limit: None,
                beams: None,
                pictures: false,
                compat,
            };
            ["a picture of a dog", "a cat"].map(|text| eval.caption_in(text.to_owned()))
        };
        assert_eq!(read(true), ["a dog", "a cat"]);
        assert_eq!(read(false), ["a picture of a dog", "a cat"]);
    }
}
