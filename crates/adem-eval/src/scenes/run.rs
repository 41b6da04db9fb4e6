//! Running the evaluation.

use std::ops::ControlFlow;
use std::time::Instant;

use adem_data::image::RgbImage;
use adem_data::scenes::{Qa, Scene};
use adem_pipeline::{Ask, Captioner, Features, Task};

use super::held_out::held_out_seed;
use super::report::{Failure, ScenesReport, SettingReport};
use super::setting::Setting;
use crate::error::EvalError;

/// Side at which scenes are rendered, pixels; the model's own size follows by the same bicubic
/// resize as a photograph's.
pub(crate) const RENDER_SIDE: u32 = 128;

/// What to evaluate.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenesEval {
    /// Number of scenes.
    pub count: usize,
    /// Which set of held-out scenes; see [`held_out_seed`].
    pub seed: u64,
    /// Rows generated at once.
    pub batch: usize,
    /// The rows of the report.
    pub settings: Vec<Setting>,
    /// Most failures of the first setting to report.
    pub failures: usize,
}

/// How far an evaluation is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScenesProgress {
    /// Share of the work that is done, 0 to 1.
    pub share: f64,
    /// Scenes that were judged in every setting.
    pub scenes: usize,
    /// All scenes.
    pub count: usize,
    /// Seconds since the start.
    pub seconds: f64,
}

impl ScenesProgress {
    /// Seconds that are left at this speed; `None` before anything was done.
    pub fn seconds_left(&self) -> Option<f64> {
        (self.share > 0.0).then(|| self.seconds * (1.0 - self.share) / self.share)
    }
}

/// Scenes that are judged together.
struct Chunk {
    scenes: Vec<Scene>,
    features: Features,
    /// Scene and question, those of about one length side by side.
    questions: Vec<(usize, Qa)>,
}

impl ScenesEval {
    /// Judges `captioner`. `progress` is called between batches and may stop the evaluation; the
    /// report then speaks of the scenes judged in every setting until then.
    ///
    /// # Errors
    /// [`EvalError`].
    pub async fn run(
        &self,
        captioner: &Captioner,
        mut progress: impl FnMut(ScenesProgress) -> ControlFlow<()>,
    ) -> Result<ScenesReport, EvalError> {
        for (argument, value) in [("count", self.count), ("batch", self.batch)] {
            if value == 0 {
                return Err(EvalError::Zero { argument });
            }
        }
        let changed = self
            .settings
            .iter()
            .map(|setting| captioner.with_fusion(&setting.change));
        let captioners = changed.collect::<Result<Vec<_>, _>>()?;
        let reports = self
            .settings
            .iter()
            .map(|setting| SettingReport::new(&setting.name));
        let mut report = ScenesReport {
            model: captioner.manifest().name.clone(),
            seed: self.seed,
            count: self.count,
            scenes: 0,
            seconds: 0.0,
            settings: reports.collect(),
            failures: Vec::new(),
        };
        let started = Instant::now();
        'chunks: while report.scenes < self.count {
            let end = self.count.min(report.scenes + self.batch);
            let chunk = self.chunk(captioner, report.scenes..end)?;
            // A chunk counts in every row or in none, or the rows could not be compared.
            let mut judged = report.settings.clone();
            let mut failures = Vec::new();
            for (at, (captioner, row)) in captioners.iter().zip(&mut judged).enumerate() {
                let rows = at as f64 / captioners.len() as f64 * (end - report.scenes) as f64;
                let now = ScenesProgress {
                    share: (report.scenes as f64 + rows) / self.count as f64,
                    scenes: report.scenes,
                    count: self.count,
                    seconds: started.elapsed().as_secs_f64(),
                };
                if progress(now).is_break() {
                    break 'chunks;
                }
                let found = self.judge(captioner, &chunk, row).await?;
                if at == 0 {
                    failures = found;
                }
            }
            report.settings = judged;
            report.failures.extend(failures);
            report.failures.truncate(self.failures);
            report.scenes = end;
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }

    fn chunk(
        &self,
        captioner: &Captioner,
        range: std::ops::Range<usize>,
    ) -> Result<Chunk, EvalError> {
        let seeds = range.map(|index| held_out_seed(self.seed, index as u64));
        let scenes: Vec<Scene> = seeds.map(Scene::sample).collect();
        let pictures: Vec<RgbImage> = scenes.iter().map(|s| s.render(RENDER_SIDE)).collect();
        let asked = scenes.iter().enumerate();
        let mut questions: Vec<(usize, Qa)> = asked
            .flat_map(|(at, s)| s.questions().into_iter().map(move |qa| (at, qa)))
            .collect();
        // Rows of one batch are padded to the longest: rows alike waste the least.
        questions.sort_by_key(|(_, qa)| qa.question.len());
        Ok(Chunk {
            features: captioner.encode(&pictures)?,
            scenes,
            questions,
        })
    }

    /// Judges one setting's captions and answers; returns what is wrong.
    async fn judge(
        &self,
        captioner: &Captioner,
        chunk: &Chunk,
        report: &mut SettingReport,
    ) -> Result<Vec<Failure>, EvalError> {
        let mut failures = Vec::new();
        let captions: Vec<Ask> = (0..chunk.scenes.len())
            .map(|picture| Ask {
                picture,
                task: Task::Caption,
            })
            .collect();
        let texts = captioner.answer(&chunk.features, &captions).await?;
        for (scene, text) in chunk.scenes.iter().zip(texts) {
            failures.extend(report.judge_caption(scene, &text));
        }
        for questions in chunk.questions.chunks(self.batch) {
            let asks: Vec<Ask> = questions
                .iter()
                .map(|(at, qa)| Ask {
                    picture: *at,
                    task: Task::Question(qa.question.clone()),
                })
                .collect();
            let texts = captioner.answer(&chunk.features, &asks).await?;
            for ((at, qa), text) in questions.iter().zip(texts) {
                failures.extend(report.judge_answer(&chunk.scenes[*at], qa, &text));
            }
        }
        Ok(failures)
    }
}
