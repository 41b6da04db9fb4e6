//! What the engine is asked, one thing at a time.

use super::{State, next};
use crate::{
    gallery::Item,
    output::{By, Model, Output, Progress, Scores, Token},
    page, text,
};
use adem_protocol::{Ask, Task, Tell};
use leptos::{prelude::*, task::spawn_local};

/// What the engine is at.
#[derive(Clone, Copy)]
pub struct Flight {
    job: u64,
    output: RwSignal<Output>,
    /// Whether anything of it has reached the engine.
    sent: bool,
    /// Whether nobody has asked for it: it makes room for everything else.
    unseen: bool,
}

impl Flight {
    /// A job that is in nobody's view.
    pub fn hidden(job: u64, output: RwSignal<Output>) -> Self {
        Flight {
            job,
            output,
            sent: true,
            unseen: false,
        }
    }
}

impl State {
    /// Hands the engine the next thing that waits, if both are ready.
    ///
    /// One at a time: what the reader asks next comes before what has waited longer, and a picture
    /// is read when its turn comes.
    pub(super) fn pump(self) {
        let ready = self
            .model
            .with_untracked(|model| matches!(model, Model::Ready { .. }));
        if !ready || self.is_busy() {
            return;
        }
        let waiting = self.gallery.next_waiting();
        let Some((item, output)) = waiting.or_else(|| self.to_compare()) else {
            self.continue_trial();
            return;
        };
        let unseen = output == item.unseen;
        let job = next(self.jobs);
        self.flight.set_value(Some(Flight {
            job,
            output,
            sent: false,
            unseen,
        }));
        let fusion = self.fusion.get_untracked().filter(|_| !unseen);
        let by = self.model.with_untracked(|model| {
            model.info().map(|info| By {
                id: info.id.clone(),
                name: info.name.clone(),
            })
        });
        output.update(|output| {
            output.by = by;
            output.progress = Progress::Looking;
            output.fusion = fusion;
        });
        let task = output.with_untracked(|output| output.task.clone());
        let task = task.unwrap_or(Task::Caption);
        let trace = self.tracing.get_untracked() && !unseen;
        let picture = item.picture.get_untracked();
        spawn_local(async move {
            let bytes = picture.bytes().await;
            // Stopped, or the engine was lost meanwhile.
            if !self.is_flying(job) {
                return;
            }
            match bytes {
                Ok(bytes) => {
                    let ask = Ask::Describe {
                        job,
                        task,
                        fusion,
                        trace,
                    };
                    self.flight.update_value(|flight| {
                        if let Some(flight) = flight {
                            flight.sent = true;
                        }
                    });
                    self.send(&ask, Some(&bytes), &[]);
                }
                Err(message) => self.land(job, |output| fail(output, message)),
            }
        });
    }

    /// Whether the engine is at something; what nobody has asked for ends where somebody waits.
    fn is_busy(self) -> bool {
        let Some(flight) = self.flight.get_value() else {
            return false;
        };
        if flight.unseen && self.gallery.next_waiting().is_some() {
            self.end(flight.output);
            flight.output.try_update(Output::again);
        }
        self.flight.get_value().is_some()
    }

    /// The caption of the picture in view with the fusion as trained, where one with other numbers
    /// is to be compared with it and it was never written.
    fn to_compare(self) -> Option<(Item, RwSignal<Output>)> {
        let item = self.gallery.current_untracked()?;
        let is = |output: RwSignal<Output>, progress| {
            output.with_untracked(|output| output.progress == progress)
        };
        let due = self.fusion.with_untracked(Option::is_some)
            && item.trained.with_untracked(Option::is_none)
            && is(item.caption, Progress::Done)
            && is(item.unseen, Progress::Waiting)
            && !self.camera.live.get_untracked();
        due.then_some((item, item.unseen))
    }

    fn is_flying(self, job: u64) -> bool {
        let flight = self.flight.get_value();
        flight.is_some_and(|flight| flight.job == job)
    }

    /// What the engine tells of a job.
    pub(super) fn hear_of_job(self, tell: Tell, scores: Option<Scores>) {
        match tell {
            Tell::Started { job } => self.change(job, |output| {
                output.progress = Progress::Writing;
                output.text.clear();
                output.tokens.clear();
            }),
            Tell::Token { job, text } => self.change(job, |output| {
                output.text.push_str(&text);
                output.tokens.push(Token { text, scores });
            }),
            Tell::Done {
                job,
                text,
                timings,
                stopped,
                ..
            } => {
                self.losses.set_value(0);
                self.land(job, |output| {
                    output.progress = match stopped {
                        true => Progress::Stopped,
                        false => Progress::Done,
                    };
                    output.text = text;
                    output.done = (!stopped).then_some(timings);
                });
            }
            Tell::Failed { job, message } => self.land(job, |output| fail(output, message)),
            _ => {}
        }
    }

    /// Changes what a job writes, unless it was stopped or given up.
    fn change(self, job: u64, change: impl FnOnce(&mut Output)) {
        if let Some(flight) = self.flight.get_value().filter(|flight| flight.job == job) {
            flight.output.try_update(|output| {
                if matches!(output.progress, Progress::Looking | Progress::Writing) {
                    change(output);
                }
            });
        }
    }

    /// The end of a job; the next one begins.
    fn land(self, job: u64, change: impl FnOnce(&mut Output)) {
        let Some(flight) = self.flight.get_value().filter(|flight| flight.job == job) else {
            return;
        };
        self.change(job, change);
        self.flight.set_value(None);
        self.trial_landed();
        self.note_trained(flight.output);
        let ended = self.gallery.current_untracked().is_some_and(|item| {
            item.caption
                .with_untracked(|caption| caption.progress == Progress::Done)
        });
        if ended && self.first_caption_ms.with_untracked(Option::is_none) {
            self.first_caption_ms.set(page::now());
        }
        self.pump();
    }

    /// Keeps a caption with the fusion as trained, to compare others with.
    fn note_trained(self, landed: RwSignal<Output>) {
        let items = self.gallery.items.get_untracked();
        let of = |item: &&Item| [item.caption, item.unseen].contains(&landed);
        let Some(item) = items.iter().find(of) else {
            return;
        };
        let text = landed.with_untracked(|output| {
            let trained = output.progress == Progress::Done
                && output.fusion.is_none()
                && !self.is_of_another(output);
            trained.then(|| output.text.clone())
        });
        if text.is_some() {
            item.trained.set(text);
        }
    }

    /// Stops what is being written into `output`, or waits to be.
    pub(super) fn end(self, output: RwSignal<Output>) {
        let active = output.try_with_untracked(|output| output.progress.is_active());
        if active != Some(true) {
            return;
        }
        let flight = self.flight.get_value();
        if let Some(flight) = flight.filter(|flight| flight.output == output) {
            match flight.sent {
                // The engine says when it has; the next job waits for that.
                true => self.send(&Ask::Stop { job: flight.job }, None, &[]),
                false => self.flight.set_value(None),
            }
        }
        // Said at once; the engine follows after the token it is at.
        output.try_update(|output| output.progress = Progress::Stopped);
    }

    /// The engine is gone: what it was at waits again.
    pub(super) fn requeue(self) {
        if let Some(flight) = self.flight.get_value() {
            self.flight.set_value(None);
            flight.output.try_update(|output| {
                if output.progress.is_active() {
                    output.again();
                }
            });
        }
    }

    /// Nothing can be asked any more: what waits has failed.
    pub(super) fn give_up(self) {
        self.requeue();
        for output in self.gallery.outputs() {
            if output.with_untracked(|output| output.progress.is_active()) {
                output.update(|output| fail(output, text::NO_MODEL.into()));
            }
        }
    }
}

fn fail(output: &mut Output, message: String) {
    output.progress = Progress::Failed;
    output.text.clear();
    output.tokens.clear();
    output.problem = Some(message);
}
