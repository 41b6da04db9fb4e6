//! What a run tells while it works: a line on the terminal, `metrics.jsonl`, and the same for
//! TensorBoard.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::TrainError;
use crate::stage::Quality;
use crate::tensorboard::Events;

/// State of a stage, reported now and then.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Name of the stage.
    pub stage: &'static str,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss since the last report.
    pub loss: f32,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Batches left out so far because their loss was not finite.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: u64,
    /// Samples a second since the last report.
    pub samples_per_second: f64,
    /// Seconds to the end of the stage at this speed.
    pub seconds_left: f64,
}

/// A look at data that is not trained on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Look {
    /// Name of the stage.
    pub stage: &'static str,
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// What was found.
    pub validation: Quality,
}

/// What a run tells.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// How it learns.
    Report(&'a Report),
    /// How good it is.
    Look(&'a Look),
}

impl Told<'_> {
    /// The step and its numbers, by TensorBoard's tag, as `tune/loss`.
    fn scalars(&self) -> (u64, Vec<(String, f32)>) {
        let (stage, step, values) = match self {
            Self::Report(r) => {
                let mut values = vec![
                    ("loss", r.loss),
                    ("lr", r.lr as f32),
                    ("samples_per_second", r.samples_per_second as f32),
                ];
                if r.skipped > 0 {
                    values.push(("skipped", r.skipped as f32));
                }
                (r.stage, r.step, values)
            }
            Self::Look(l) => {
                let mut values = vec![("validation_loss", l.validation.loss as f32)];
                values.extend(l.validation.cider.map(|cider| ("cider", cider as f32)));
                (l.stage, l.step, values)
            }
        };
        let tagged = |(name, value)| (format!("{stage}/{name}"), value);
        (step, values.into_iter().map(tagged).collect())
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for a reference
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Where reports go.
pub struct Log {
    kept: Option<Kept>,
    show: Box<dyn FnMut(Told<'_>)>,
}

/// Where reports stay.
struct Kept {
    path: PathBuf,
    metrics: File,
    events: Events,
}

impl Drop for Kept {
    /// A run that was refused leaves no empty file.
    fn drop(&mut self) {
        if self.metrics.metadata().is_ok_and(|meta| meta.len() == 0) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Log {
    /// Appends to `metrics.jsonl` in `folder`, writes an event file of its own for TensorBoard there,
    /// and calls `show` with everything told. Until it is dropped no other run can have a log there.
    ///
    /// # Errors
    /// [`TrainError::File`] when the file cannot be opened, [`TrainError::Busy`] where a run has it.
    pub fn new(folder: &Path, show: impl FnMut(Told<'_>) + 'static) -> Result<Self, TrainError> {
        let path = folder.join("metrics.jsonl");
        let metrics = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|e| TrainError::file(&path, e))?;
        match metrics.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TrainError::Busy(folder.to_owned())),
            // Some network disks have no locks.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(TrainError::file(&path, e)),
        }
        let events = Events::new(folder);
        Ok(Self {
            kept: Some(Kept {
                path,
                metrics,
                events,
            }),
            show: Box::new(show),
        })
    }

    /// Tells nobody.
    pub fn silent() -> Self {
        Self {
            kept: None,
            show: Box::new(|_| ()),
        }
    }

    pub(crate) fn tell(&mut self, told: Told<'_>) {
        let line = match told {
            Told::Report(report) => serde_json::to_string(report),
            Told::Look(look) => serde_json::to_string(look),
        };
        if let (Some(kept), Ok(line)) = (&mut self.kept, line) {
            // Metrics are a convenience: a full disk is reported by the next checkpoint. A line is
            // written in one piece, so that a killed process leaves whole ones.
            let _ = kept.metrics.write_all(format!("{line}\n").as_bytes());
            let (step, scalars) = told.scalars();
            let _ = kept.events.add(step, &scalars);
        }
        (self.show)(told);
    }
}

/// Time between the reports of a recipe.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Gathers losses and time between reports.
pub(crate) struct Meter {
    since: Instant,
    every: Duration,
    loss: f64,
    count: u64,
    samples: u64,
}

impl Meter {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            since: Instant::now(),
            every,
            loss: 0.0,
            count: 0,
            samples: 0,
        }
    }

    /// Counts a step; reports when it is time or `last` is true.
    pub(crate) fn step(&mut self, log: &mut Log, mut report: Report, samples: usize, last: bool) {
        self.loss += f64::from(report.loss);
        self.count += 1;
        self.samples += samples as u64;
        let passed = self.since.elapsed();
        if passed < self.every && !last {
            return;
        }
        let seconds = passed.as_secs_f64().max(1e-9);
        report.loss = (self.loss / self.count as f64) as f32;
        report.samples_per_second = self.samples as f64 / seconds;
        report.seconds_left = (report.steps - report.step) as f64 * seconds / self.count as f64;
        log.tell(Told::Report(&report));
        *self = Self::new(self.every);
    }
}
