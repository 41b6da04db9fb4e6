//! How often one model says what another one says: a quantised one beside the float one it is of.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use adem_data::image::RgbImage;
use adem_data::scenes::Scene;
use adem_pipeline::{Ask, Captioner, Task};
use serde::{Deserialize, Serialize};

use super::held_out::held_out_seed;
use super::run::{RENDER_SIDE, ScenesProgress};
use crate::error::EvalError;
use crate::tally::Tally;

/// What to compare on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// Number of scenes.
    pub count: usize,
    /// Which set of held-out scenes; see [`held_out_seed`].
    pub seed: u64,
    /// Scenes, and rows, taken at once.
    pub batch: usize,
}

/// How far two models agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgreementReport {
    /// The model.
    pub model: String,
    /// The one it is compared with.
    pub against: String,
    /// Number of the set of scenes.
    pub seed: u64,
    /// Scenes compared.
    pub scenes: usize,
    /// Seconds it took.
    pub seconds: f64,
    /// Captions that are the same to the letter.
    pub captions: Tally,
    /// Answers that are the same to the letter.
    pub answers: Tally,
    /// Places in the other model's captions and answers where both find the same token most
    /// likely.
    pub positions: Tally,
}

impl Agreement {
    /// Compares `model` with `against`, which have one vocabulary. `progress` may stop it; the
    /// report then speaks of the scenes until then.
    ///
    /// # Errors
    /// [`EvalError`].
    pub async fn run(
        &self,
        model: &Captioner,
        against: &Captioner,
        mut progress: impl FnMut(ScenesProgress) -> ControlFlow<()>,
    ) -> Result<AgreementReport, EvalError> {
        for (argument, value) in [("count", self.count), ("batch", self.batch)] {
            if value == 0 {
                return Err(EvalError::Zero { argument });
            }
        }
        let mut report = AgreementReport {
            model: model.manifest().name.clone(),
            against: against.manifest().name.clone(),
            seed: self.seed,
            scenes: 0,
            seconds: 0.0,
            captions: Tally::default(),
            answers: Tally::default(),
            positions: Tally::default(),
        };
        let started = Instant::now();
        while report.scenes < self.count {
            let now = ScenesProgress {
                share: report.scenes as f64 / self.count as f64,
                scenes: report.scenes,
                count: self.count,
                seconds: started.elapsed().as_secs_f64(),
            };
            if progress(now).is_break() {
                break;
            }
            let end = self.count.min(report.scenes + self.batch);
            let scenes: Vec<Scene> = (report.scenes..end)
                .map(|index| Scene::sample(held_out_seed(self.seed, index as u64)))
                .collect();
            self.compare(model, against, &scenes, &mut report).await?;
            report.scenes = end;
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    async fn compare(
        &self,
        model: &Captioner,
        against: &Captioner,
        scenes: &[Scene],
        report: &mut AgreementReport,
    ) -> Result<(), EvalError> {
        let pictures: Vec<RgbImage> = scenes.iter().map(|s| s.render(RENDER_SIDE)).collect();
        let (own, other) = (model.encode(&pictures)?, against.encode(&pictures)?);
        let captions = (0..scenes.len()).map(|picture| Ask {
            picture,
            task: Task::Caption,
        });
        let questions = scenes.iter().enumerate().flat_map(|(picture, scene)| {
            scene.questions().into_iter().map(move |qa| Ask {
                picture,
                task: Task::Question(qa.question),
            })
        });
        let mut questions: Vec<Ask> = questions.collect();
        // Rows of one batch are padded to the longest: rows alike waste the least.
        questions.sort_by_key(|ask| match &ask.task {
            Task::Question(question) => question.len(),
            Task::Caption => 0,
        });
        let captions: Vec<Ask> = captions.collect();
        let batches = [captions.as_slice()]
            .into_iter()
            .chain(questions.chunks(self.batch));
        for asks in batches {
            let said = against.answer_ids(&other, asks).await?;
            let own_words = model.answer_ids(&own, asks).await?;
            for (ask, (a, b)) in asks.iter().zip(said.iter().zip(&own_words)) {
                match ask.task {
                    Task::Caption => report.captions.add(a == b),
                    Task::Question(_) => report.answers.add(a == b),
                }
            }
            let ours = model.predict(&own, asks, &said).await?;
            let theirs = against.predict(&other, asks, &said).await?;
            for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
                report.positions.add(a == b);
            }
        }
        Ok(())
    }
}

impl fmt::Display for AgreementReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} beside {}: {} unseen scenes, seed {}, {:.0} s\n",
            self.model, self.against, self.scenes, self.seed, self.seconds
        )?;
        let line = |what, tally: Tally| format!("{what} {:.2} % of {}", share(tally), tally.of);
        writeln!(f, "{}", line("same token at a position:", self.positions))?;
        writeln!(f, "{}", line("same caption:", self.captions))?;
        writeln!(f, "{}", line("same answer:", self.answers))
    }
}

fn share(tally: Tally) -> f64 {
    tally.percent().unwrap_or(0.0)
}
