//! What the page knows, and what it does about what it hears.

use crate::{
    adapter::adapter,
    client::Engine,
    output::{Model, Output, Progress},
    picture::Picture,
    text,
};
use adem_protocol::{Ask, Choice, EngineKind, Reason, Task, Tell, choose};
use leptos::{prelude::*, reactive::owner::LocalStorage, task::spawn_local};
use std::{future::Future, rc::Rc};
use web_sys::{Url, UrlSearchParams};

/// All that the page shows.
#[derive(Clone, Copy)]
pub struct State {
    /// The engine that runs, and why.
    pub choice: RwSignal<Option<Choice>>,
    /// The model.
    pub model: RwSignal<Model>,
    /// The picture in view.
    pub picture: RwSignal<Option<Rc<Picture>>, LocalStorage>,
    /// Its caption.
    pub caption: RwSignal<Output>,
    /// The answer to the last question about it.
    pub answer: RwSignal<Output>,
    /// What is wrong with the last picture.
    pub problem: RwSignal<Option<String>>,
    /// What is wrong with the last question.
    pub question_problem: RwSignal<Option<String>>,
    /// Milliseconds from the navigation to the end of the first caption.
    pub first_caption_ms: RwSignal<Option<f64>>,
    engine: StoredValue<Option<Engine>, LocalStorage>,
    jobs: StoredValue<u64>,
    pictures: StoredValue<u64>,
}

impl State {
    /// Nothing yet.
    pub fn new() -> Self {
        State {
            choice: RwSignal::new(None),
            model: RwSignal::new(Model::Starting),
            picture: RwSignal::new_local(None),
            caption: RwSignal::default(),
            answer: RwSignal::default(),
            problem: RwSignal::new(None),
            question_problem: RwSignal::new(None),
            first_caption_ms: RwSignal::new(None),
            engine: StoredValue::new_local(None),
            jobs: StoredValue::new(0),
            pictures: StoredValue::new(0),
        }
    }

    /// Chooses an engine and starts it.
    pub fn start(self) {
        spawn_local(async move {
            let forced = parameter("engine").and_then(|word| EngineKind::from_word(&word));
            self.start_engine(choose(forced, adapter().await));
        });
    }

    fn start_engine(self, choice: Choice) {
        let kind = choice.kind;
        self.model.set(Model::Starting);
        self.choice.set(Some(choice));
        // The one before ends here; what it was asked and has not done, this one is asked again.
        match Engine::start(kind, move |tell| self.hear(tell)) {
            Ok(engine) => self.engine.set_value(Some(engine)),
            Err(message) => self.lost(message),
        }
        for output in self.outputs() {
            if output.with_untracked(|output| output.progress.is_active()) {
                output.update(|output| {
                    output.progress = Progress::Waiting;
                    output.text.clear();
                });
            }
        }
    }

    /// Reads a picture and has it described; a later one takes its place, read or not.
    pub fn take(self, reading: impl Future<Output = Result<Picture, String>> + 'static) {
        let turn = next(self.pictures);
        self.problem.set(None);
        self.question_problem.set(None);
        spawn_local(async move {
            let picture = reading.await;
            if self.pictures.get_value() != turn {
                return;
            }
            match picture {
                Ok(picture) => {
                    self.stop();
                    self.picture.set(Some(Rc::new(picture)));
                    self.answer.set(Output::default());
                    self.run(self.caption, Task::Caption);
                }
                Err(message) => self.problem.set(Some(message)),
            }
        });
    }

    /// Asks about the picture in view.
    pub fn ask(self, question: String) {
        if self.picture.with_untracked(Option::is_none) {
            let first = text::ASK_PICTURE_FIRST.into();
            self.question_problem.set(Some(first));
            return;
        }
        self.question_problem.set(None);
        self.end(self.answer);
        self.run(self.answer, Task::Question(question));
    }

    /// Ends whatever is being written.
    pub fn stop(self) {
        for output in self.outputs() {
            self.end(output);
        }
    }

    /// Starts over after the engine was lost, with what it left undone.
    pub fn retry(self) {
        self.problem.set(None);
        self.question_problem.set(None);
        for output in self.outputs() {
            if output.with_untracked(|output| output.progress == Progress::Failed) {
                output.update(|output| output.progress = Progress::Waiting);
            }
        }
        self.start();
    }

    fn outputs(self) -> [RwSignal<Output>; 2] {
        [self.caption, self.answer]
    }

    fn run(self, output: RwSignal<Output>, task: Task) {
        output.set(Output {
            task: Some(task),
            progress: Progress::Waiting,
            ..Output::default()
        });
        self.send_waiting();
    }

    /// Hands the engine what waits for it, if it is ready.
    fn send_waiting(self) {
        if !self
            .model
            .with_untracked(|model| matches!(model, Model::Ready { .. }))
        {
            return;
        }
        let Some(picture) = self.picture.get_untracked() else {
            return;
        };
        for output in self.outputs() {
            let Some(task) = output.with_untracked(|output| {
                let waits = output.progress == Progress::Waiting;
                output.task.clone().filter(|_| waits)
            }) else {
                continue;
            };
            let job = next(self.jobs);
            output.update(|output| {
                output.job = job;
                output.progress = Progress::Looking;
            });
            self.send(&Ask::Describe { job, task }, Some(&picture));
        }
    }

    fn send(self, ask: &Ask, picture: Option<&Picture>) {
        let sent = self.engine.with_value(|engine| match engine {
            Some(engine) => engine.ask(ask, picture.map(Picture::copy).as_ref()),
            None => Ok(()),
        });
        if let Err(message) = sent {
            self.lost(message);
        }
    }

    fn end(self, output: RwSignal<Output>) {
        let (job, progress) = output.with_untracked(|output| (output.job, output.progress));
        if !progress.is_active() {
            return;
        }
        if progress != Progress::Waiting {
            self.send(&Ask::Stop { job }, None);
        }
        // Said at once; the engine follows after the token it is at.
        output.update(|output| output.progress = Progress::Stopped);
    }

    fn hear(self, tell: Tell) {
        match tell {
            Tell::Ready => {
                if let Some(package) = package_address() {
                    self.send(&Ask::Load { package }, None);
                }
            }
            Tell::Loading { loaded, total } => self.model.set(Model::Loading(loaded, total)),
            Tell::Loaded { model, load_ms } => {
                self.model.set(Model::Ready {
                    info: model,
                    load_ms,
                });
                self.send_waiting();
            }
            Tell::Unusable { message } => self.lost(message),
            Tell::Started { job } => {
                self.change(job, |output| output.progress = Progress::Writing);
            }
            Tell::Token { job, text } => {
                self.change(job, |output| output.text.push_str(&text));
            }
            Tell::Done {
                job,
                text,
                timings,
                stopped,
                ..
            } => {
                self.change(job, |output| {
                    output.progress = if stopped {
                        Progress::Stopped
                    } else {
                        Progress::Done
                    };
                    output.text = text;
                    output.done = Some(timings);
                });
                if self.first_caption_ms.with_untracked(Option::is_none) {
                    self.first_caption_ms.set(now());
                }
            }
            Tell::Failed { job, message } => self.failed(job, message),
        }
    }

    fn failed(self, job: u64, message: String) {
        let asked = self.answer.with_untracked(|answer| answer.job == job);
        if !self.change(job, |output| output.progress = Progress::Failed) {
            return;
        }
        if asked {
            self.question_problem.set(Some(message));
        } else {
            let name = self
                .picture
                .with_untracked(|picture| picture.as_ref().map(|picture| picture.name.clone()));
            let message = text::problem(&name.unwrap_or_default(), &message);
            self.problem.set(Some(message));
        }
    }

    /// Changes the output of a job; `false` where another has taken its place or it was stopped.
    fn change(self, job: u64, change: impl FnOnce(&mut Output)) -> bool {
        let found = self.outputs().into_iter().find(|output| {
            output.with_untracked(|output| output.job == job && output.progress.is_active())
        });
        if let Some(output) = found {
            output.update(change);
        }
        found.is_some()
    }

    /// The engine does not run: the CPU's takes the place of WebGPU's, and nothing that of the CPU's.
    fn lost(self, message: String) {
        // Not at once: we may be inside a call from the very engine that is to be dropped.
        spawn_local(async move {
            let Some(choice) = self.choice.get_untracked() else {
                return;
            };
            if choice.kind == EngineKind::Gpu {
                self.start_engine(Choice {
                    kind: EngineKind::Cpu,
                    reason: Reason::GpuFailed(message),
                    ..choice
                });
                return;
            }
            self.engine.set_value(None);
            for output in self.outputs() {
                if output.with_untracked(|output| output.progress.is_active()) {
                    output.update(|output| output.progress = Progress::Failed);
                }
            }
            self.model.set(Model::Unusable(message));
        });
    }
}

fn next(counter: StoredValue<u64>) -> u64 {
    counter.update_value(|count| *count += 1);
    counter.get_value()
}

/// A parameter of the page's address.
fn parameter(name: &str) -> Option<String> {
    let search = web_sys::window()?.location().search().ok()?;
    UrlSearchParams::new_with_str(&search).ok()?.get(name)
}

/// The default model lies beside the page.
fn package_address() -> Option<String> {
    let page = web_sys::window()?.location().href().ok()?;
    Some(Url::new_with_base("package/", &page).ok()?.href())
}

/// Milliseconds since the navigation.
fn now() -> Option<f64> {
    Some(web_sys::window()?.performance()?.now())
}
