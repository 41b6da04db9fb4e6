//! How often one model says what another one says: a quantised one beside the float one it is of.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use adem_data::datasets::{BadRows, DataSource};
use adem_data::image::RgbImage;
use adem_data::scenes::Scene;
use adem_pipeline::{Ask, Captioner, Task};
use serde::{Deserialize, Serialize};

use crate::captions::CaptionProgress;
use crate::captions::pictures::Pictures;
use crate::error::EvalError;
use crate::scenes::{RENDER_SIDE, held_out_seed};
use crate::tally::Tally;

/// What to compare on.
pub struct Agreement<'a> {
    /// Its name, for the report.
    name: String,
    /// Pictures in all, where that is known.
    count: Option<u64>,
    /// The next pictures, at most so many; none at the end.
    next: Box<dyn FnMut(usize) -> Result<Vec<Asked>, EvalError> + 'a>,
}

/// A picture, which is to be captioned, and questions about it.
struct Asked {
    picture: RgbImage,
    questions: Vec<String>,
}

/// How far two models agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgreementReport {
    /// The model.
    pub model: String,
    /// The one it is compared with.
    pub against: String,
    /// What they were compared on.
    pub data: String,
    /// Pictures compared.
    pub pictures: usize,
    /// Whether it was stopped before the end.
    pub stopped: bool,
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

impl<'a> Agreement<'a> {
    /// On `count` generated scenes of the held-out set `seed` (see [`held_out_seed`]) and the
    /// questions about each.
    pub fn on_scenes(count: usize, seed: u64) -> Self {
        let mut done = 0;
        Self {
            name: format!("unseen scenes, seed {seed}"),
            count: Some(count as u64),
            next: Box::new(move |size| {
                let end = count.min(done + size);
                let scenes = (done..end).map(|i| Scene::sample(held_out_seed(seed, i as u64)));
                done = end;
                let asked = scenes.map(|scene| Asked {
                    picture: scene.render(RENDER_SIDE),
                    questions: (scene.questions().into_iter().map(|qa| qa.question)).collect(),
                });
                Ok(asked.collect())
            }),
        }
    }

    /// On the first `limit` pictures of a data set, or all. Rows that cannot be used go to `bad`.
    ///
    /// # Errors
    /// [`EvalError`] when the data cannot be read.
    pub fn on_data(
        data: &dyn DataSource,
        bad: &'a Arc<BadRows>,
        limit: Option<u64>,
    ) -> Result<Self, EvalError> {
        let mut pictures = Pictures::new(data, bad, limit)?;
        Ok(Self {
            name: data.name().to_owned(),
            count: data
                .samples()?
                .or(limit)
                .map(|all| all.min(limit.unwrap_or(all))),
            next: Box::new(move |size| {
                let batch = pictures.batch(size)?.into_iter();
                let asked = batch.map(|(_, picture)| Asked {
                    picture,
                    questions: Vec::new(),
                });
                Ok(asked.collect())
            }),
        })
    }

    /// Compares `model` with `against`, which have one tokenizer, on `batch` pictures, and as many
    /// rows, at once. `progress` may stop it; the report then speaks of the pictures until then.
    ///
    /// # Errors
    /// [`EvalError`].
    pub async fn run(
        mut self,
        model: &Captioner,
        against: &Captioner,
        batch: usize,
        mut progress: impl FnMut(CaptionProgress) -> ControlFlow<()>,
    ) -> Result<AgreementReport, EvalError> {
        for (argument, value) in [("count", self.count), ("batch", Some(batch as u64))] {
            if value == Some(0) {
                return Err(EvalError::Zero { argument });
            }
        }
        let [tokens, other] = [model, against].map(|it| &it.manifest().tokenizer.sha256);
        if tokens != other {
            return Err(EvalError::Unlike {
                model: model.manifest().name.clone(),
                against: against.manifest().name.clone(),
            });
        }
        let mut report = AgreementReport {
            model: model.manifest().name.clone(),
            against: against.manifest().name.clone(),
            data: self.name.clone(),
            pictures: 0,
            stopped: false,
            seconds: 0.0,
            captions: Tally::default(),
            answers: Tally::default(),
            positions: Tally::default(),
        };
        let started = Instant::now();
        loop {
            let now = CaptionProgress {
                done: report.pictures as u64,
                count: self.count,
                seconds: started.elapsed().as_secs_f64(),
            };
            report.stopped = progress(now).is_break();
            if report.stopped {
                break;
            }
            let asked = (self.next)(batch)?;
            if asked.is_empty() {
                break;
            }
            report.pictures += asked.len();
            compare(model, against, asked, batch, &mut report).await?;
        }
        if report.pictures == 0 && !report.stopped {
            return Err(EvalError::NoCaptions { data: self.name });
        }
        report.seconds = started.elapsed().as_secs_f64();
        Ok(report)
    }
}

async fn compare(
    model: &Captioner,
    against: &Captioner,
    asked: Vec<Asked>,
    batch: usize,
    report: &mut AgreementReport,
) -> Result<(), EvalError> {
    let (mut pictures, mut captions, mut questions) = (Vec::new(), Vec::new(), Vec::new());
    for (picture, asked) in asked.into_iter().enumerate() {
        pictures.push(asked.picture);
        let ask = |task| Ask { picture, task };
        captions.push(ask(Task::Caption));
        questions.extend(asked.questions.into_iter().map(|q| ask(Task::Question(q))));
    }
    // Rows of one batch are padded to the longest: rows alike waste the least.
    questions.sort_by_key(|ask: &Ask| match &ask.task {
        Task::Question(question) => question.len(),
        Task::Caption => 0,
    });
    let (own, other) = (model.encode(&pictures)?, against.encode(&pictures)?);
    let batches = [captions.as_slice()]
        .into_iter()
        .chain(questions.chunks(batch));
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

impl fmt::Display for AgreementReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stopped = match self.stopped {
            true => " (stopped)",
            false => "",
        };
        writeln!(
            f,
            "{} beside {}: {} pictures of {}{stopped}, {:.0} s\n",
            self.model, self.against, self.pictures, self.data, self.seconds
        )?;
        let line = |what, tally: Tally| format!("{what} {:.2} % of {}", share(tally), tally.of);
        writeln!(f, "{}", line("same token at a position:", self.positions))?;
        writeln!(f, "{}", line("same caption:", self.captions))?;
        match self.answers.of {
            0 => Ok(()),
            _ => writeln!(f, "{}", line("same answer:", self.answers)),
        }
    }
}

fn share(tally: Tally) -> f64 {
    tally.percent().unwrap_or(0.0)
}
