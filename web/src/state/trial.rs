//! Which engine is faster here: both describe the same sample, once per device.

use super::{State, engine::foreign, jobs::Flight, next};
use crate::{
    client::Engine,
    output::{Model, Output, Progress},
    page,
    picture::Picture,
    shipped::Shipped,
};
use adem_protocol::{
    Adapter, Ask, Choice, EngineKind, Measured, Origin, Reason, Task, Tell, Timings,
};
use leptos::{prelude::*, task::spawn_local};

/// Key under which the page remembers what it measured.
const MEASURED: &str = "adem.measured";
/// Captions that the WebGPU engine writes; the last one counts, shaders are compiled by then.
const RUNS: u64 = 3;

/// How far the comparison is.
pub enum Trial {
    /// The CPU engine, the one in use, writes into this.
    Cpu(RwSignal<Output>),
    /// The WebGPU engine follows; with the milliseconds of the CPU.
    Gpu(Engine, u32),
    /// Done, or given up.
    Over,
}

impl State {
    /// Begins the comparison where it is wanted; the engine in use has nothing else to do.
    pub(super) fn continue_trial(self) {
        let wanted = self.choice.with_untracked(|choice| {
            let reason = choice.as_ref().map(|choice| &choice.reason);
            reason == Some(&Reason::Trial)
        });
        // Only a model that both engines can fetch is a fair comparison.
        let both = self.origin.with_value(|origin| match origin {
            Origin::Folder(_) => false,
            other => foreign(other).is_none(),
        });
        if !wanted || !both || self.trial.with_value(Option::is_some) {
            return;
        }
        let output = RwSignal::new(Output::waiting(Task::Caption));
        output.update(|output| output.progress = Progress::Looking);
        self.trial.set_value(Some(Trial::Cpu(output)));
        let job = next(self.jobs);
        self.flight.set_value(Some(Flight::hidden(job, output)));
        spawn_local(async move {
            match sample(self.shipped.get_untracked(), 0).await {
                Ok(bytes) => self.send(&describe(job), Some(&bytes), &[]),
                Err(message) => self.hear_of_job(Tell::Failed { job, message }, None),
            }
        });
    }

    /// A job has ended; if it was the CPU's part of the comparison, WebGPU's begins.
    pub(super) fn trial_landed(self) {
        let output = self.trial.with_value(|trial| match trial {
            Some(Trial::Cpu(output)) => Some(*output),
            _ => None,
        });
        let Some(output) = output else {
            return;
        };
        let done = output.with_untracked(|output| output.done);
        let Some(cpu_ms) = done.map(total) else {
            if output.with_untracked(|output| !output.progress.is_active()) {
                self.trial.set_value(Some(Trial::Over));
            }
            return;
        };
        let hear = move |tell, scores| {
            match self
                .trial
                .with_value(|trial| matches!(trial, Some(Trial::Gpu(..))))
            {
                true => self.hear_of_trial(tell),
                // It has won and is the engine now.
                false => self.hear(tell, scores),
            }
        };
        let trial = match Engine::start(EngineKind::Gpu, None, hear) {
            Ok(engine) => Trial::Gpu(engine, cpu_ms),
            Err(message) => {
                self.trial_lost(message);
                return;
            }
        };
        self.trial.set_value(Some(trial));
    }

    fn hear_of_trial(self, tell: Tell) {
        match tell {
            Tell::Ready => {
                let origin = self.origin.get_value();
                self.send_trial(&Ask::Load { origin }, None);
            }
            Tell::Loaded { .. } => self.describe_in_trial(1),
            Tell::Done { job, .. } if job < RUNS => self.describe_in_trial(job + 1),
            Tell::Done { timings, .. } => self.decide(total(timings)),
            Tell::NotLoaded { message, .. }
            | Tell::Unusable { message }
            | Tell::Failed { message, .. } => self.trial_lost(message),
            _ => {}
        }
    }

    fn describe_in_trial(self, job: u64) {
        spawn_local(async move {
            match sample(self.shipped.get_untracked(), RUNS - job).await {
                Ok(bytes) => self.send_trial(&describe(job), Some(&bytes)),
                Err(message) => self.trial_lost(message),
            }
        });
    }

    fn send_trial(self, ask: &Ask, buffer: Option<&js_sys::ArrayBuffer>) {
        let sent = self.trial.with_value(|trial| match trial {
            Some(Trial::Gpu(engine, _)) => engine.ask(ask, buffer, &[]),
            _ => Ok(()),
        });
        if let Err(message) = sent {
            self.trial_lost(message);
        }
    }

    /// Both have been timed: the faster one goes on.
    fn decide(self, gpu_ms: u32) {
        // Not at once: this is a call from the engine that may be dropped.
        spawn_local(async move {
            let over = Some(Trial::Over);
            let trial = self
                .trial
                .try_update_value(|trial| std::mem::replace(trial, over));
            let (Some(Some(Trial::Gpu(engine, cpu_ms))), Some(choice)) =
                (trial, self.choice.get_untracked())
            else {
                return;
            };
            let measured = Measured { cpu_ms, gpu_ms };
            remember(&choice.adapter, measured);
            let kind = measured.faster();
            let replaced = choice.kind != kind
                && self
                    .model
                    .with_untracked(|model| matches!(model, Model::Ready { .. }));
            self.choice.set(Some(Choice {
                kind: if replaced { kind } else { choice.kind },
                reason: Reason::Measured(measured),
                ..choice
            }));
            if replaced {
                self.requeue();
                self.engine.set_value(Some(engine));
                self.pump();
            }
        });
    }

    /// WebGPU does not work here; the CPU goes on, and says why.
    fn trial_lost(self, message: String) {
        spawn_local(async move {
            self.trial.set_value(Some(Trial::Over));
            self.choice.update(|choice| {
                if let Some(choice) = choice {
                    choice.reason = Reason::GpuFailed(message);
                }
            });
        });
    }
}

fn describe(job: u64) -> Ask {
    Ask::Describe {
        job,
        task: Task::Caption,
        fusion: None,
        trace: false,
    }
}

/// The picture of a run. The last of WebGPU's is that of the CPU's, which it has not seen before.
async fn sample(shipped: &Shipped, number: u64) -> Result<js_sys::ArrayBuffer, String> {
    let sample = &shipped.samples[number as usize % shipped.samples.len()];
    Picture::fetch(sample.file).await?.bytes().await
}

/// Milliseconds of a whole caption.
fn total(timings: Timings) -> u32 {
    let seen = timings.picture_ms + timings.vision_ms;
    (seen + timings.prefill_ms + timings.decode_ms).ceil() as u32
}

/// What was measured on this adapter at an earlier visit.
pub fn remembered(adapter: &Option<Option<Adapter>>) -> Option<Measured> {
    let name = &adapter.as_ref()?.as_ref()?.name;
    let text = page::recall(MEASURED)?;
    let (cpu_ms, rest) = text.split_once(' ')?;
    let (gpu_ms, of) = rest.split_once(' ')?;
    (of == name).then_some(Measured {
        cpu_ms: cpu_ms.parse().ok()?,
        gpu_ms: gpu_ms.parse().ok()?,
    })
}

fn remember(adapter: &Option<Adapter>, measured: Measured) {
    let name = adapter.as_ref().map_or("", |adapter| adapter.name.as_str());
    let text = format!("{} {} {name}", measured.cpu_ms, measured.gpu_ms);
    page::remember(MEASURED, Some(&text));
}
