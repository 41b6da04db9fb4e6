//! What the page knows, and what it does about what it hears.

mod engine;
mod jobs;
mod trial;

use crate::{
    adapter::{self, Capabilities},
    camera::Camera,
    client::Engine,
    gallery::{Gallery, Item},
    output::{Model, Output, Progress},
    page,
    picture::Picture,
    shipped::Shipped,
    text,
};
use adem_protocol::{Choice, EngineKind, Fusion, Origin, StoredModel, Task, choose};
use jobs::Flight;
use leptos::{prelude::*, reactive::owner::LocalStorage, task::spawn_local};
use std::{collections::VecDeque, future::Future, rc::Rc};
use web_sys::File;

/// All that the page shows.
#[derive(Clone, Copy)]
pub struct State {
    /// The engine that runs, and why.
    pub choice: RwSignal<Option<Choice>>,
    /// What the graphics adapter can do.
    pub capabilities: RwSignal<Option<Capabilities>>,
    /// The model.
    pub model: RwSignal<Model>,
    /// The pictures.
    pub gallery: Gallery,
    /// The caption in view.
    pub caption: Memo<Output>,
    /// The answer to the last question about the picture in view.
    pub answer: Memo<Output>,
    /// What is wrong with what was given, where it never became a picture.
    pub problem: RwSignal<Option<String>>,
    /// What is wrong with a question that was never asked.
    pub question_problem: RwSignal<Option<String>>,
    /// What happened to the engine, where the page has put it right by itself.
    pub notice: RwSignal<Option<String>>,
    /// The models on this device, once they were asked for, and why there can be none.
    pub models: RwSignal<(Vec<StoredModel>, Option<String>)>,
    /// The model beside the page that is in use, or was last.
    pub shipped: RwSignal<&'static Shipped>,
    /// What is wrong with the package that was asked for last.
    pub model_problem: RwSignal<Option<String>>,
    /// The fusion that captions are written with; `None` for the trained one.
    pub fusion: RwSignal<Option<Fusion>>,
    /// Whether somebody looks at what the words looked at.
    pub tracing: RwSignal<bool>,
    /// The camera, where it is on.
    pub camera: Camera,
    /// Whether a newer page waits to take over.
    pub update: RwSignal<bool>,
    /// Milliseconds from the navigation to the end of the first caption.
    pub first_caption_ms: RwSignal<Option<f64>>,
    engine: StoredValue<Option<Engine>, LocalStorage>,
    trial: StoredValue<Option<trial::Trial>, LocalStorage>,
    origin: StoredValue<Origin>,
    files: StoredValue<Vec<File>, LocalStorage>,
    asked: StoredValue<VecDeque<engine::Wanted>, LocalStorage>,
    standing: StoredValue<Option<(engine::Wanted, Model)>, LocalStorage>,
    last: StoredValue<Option<engine::Wanted>, LocalStorage>,
    flight: StoredValue<Option<Flight>>,
    jobs: StoredValue<u64>,
    losses: StoredValue<u32>,
}

impl State {
    /// Nothing yet.
    pub fn new() -> Self {
        let gallery = Gallery::new();
        let caption = Memo::new(move |_| {
            let item = gallery.current();
            item.map_or_else(Output::default, |item| item.caption.get())
        });
        let answer = Memo::new(move |_| {
            let last = gallery.current().and_then(|item| item.answers.get().pop());
            last.map_or_else(Output::default, |answer| answer.get())
        });
        State {
            choice: RwSignal::new(None),
            capabilities: RwSignal::new(None),
            model: RwSignal::new(Model::Starting),
            gallery,
            caption,
            answer,
            problem: RwSignal::new(None),
            question_problem: RwSignal::new(None),
            notice: RwSignal::new(None),
            models: RwSignal::default(),
            shipped: RwSignal::new(engine::usual_shipped()),
            model_problem: RwSignal::new(None),
            fusion: RwSignal::new(None),
            tracing: RwSignal::new(false),
            camera: Camera::new(),
            update: RwSignal::new(false),
            first_caption_ms: RwSignal::new(None),
            engine: StoredValue::new_local(None),
            trial: StoredValue::new_local(None),
            origin: StoredValue::new(engine::usual_origin()),
            files: StoredValue::new_local(Vec::new()),
            asked: StoredValue::new_local(VecDeque::new()),
            standing: StoredValue::new_local(None),
            last: StoredValue::new_local(None),
            flight: StoredValue::new(None),
            jobs: StoredValue::new(0),
            losses: StoredValue::new(0),
        }
    }

    /// Chooses an engine and starts it.
    pub fn start(self) {
        spawn_local(async move {
            let word = page::parameter("engine");
            let forced = word.as_deref().and_then(EngineKind::from_word);
            let capabilities = adapter::capabilities().await;
            let adapter = capabilities
                .as_ref()
                .map(|found| found.as_ref().map(|found| found.adapter.clone()));
            let measured = trial::remembered(&adapter);
            let measure = word.as_deref() == Some("measure");
            self.capabilities.set(capabilities.flatten());
            self.start_engine(choose(forced, adapter, measured, measure));
        });
    }

    /// Takes pictures in and has them described, one after another.
    pub fn take(self, files: Vec<File>) {
        if files.is_empty() {
            return;
        }
        self.camera.live.set(false);
        self.camera.problem.set(None);
        self.problem.set(None);
        let (mut pictures, mut problem) = (Vec::new(), None);
        for file in files {
            match Picture::of(file) {
                Ok(picture) => pictures.push(picture),
                Err(message) => problem = Some(message),
            }
        }
        self.problem.set(problem);
        self.show(pictures);
    }

    /// The same for a picture that has to be had first.
    pub fn take_one(self, reading: impl Future<Output = Result<Picture, String>> + 'static) {
        self.camera.live.set(false);
        self.problem.set(None);
        spawn_local(async move {
            match reading.await {
                Ok(picture) => self.show(vec![picture]),
                Err(message) => self.problem.set(Some(message)),
            }
        });
    }

    fn show(self, pictures: Vec<Picture>) {
        self.question_problem.set(None);
        self.gallery.add(pictures);
        self.pump();
    }

    /// Brings a picture into view.
    pub fn select(self, id: u64) {
        self.camera.live.set(false);
        self.question_problem.set(None);
        self.gallery.selected.set(Some(id));
        self.trace(self.tracing.get_untracked());
        self.pump();
    }

    /// Asks about the picture in view.
    pub fn ask(self, question: String) {
        let Some(item) = self.gallery.current_untracked() else {
            let first = text::ASK_PICTURE_FIRST.into();
            self.question_problem.set(Some(first));
            return;
        };
        self.question_problem.set(None);
        let answer = Output::waiting(Task::Question(question));
        item.answers.update(|answers| {
            // What could not be asked is not worth keeping.
            answers.retain(|answer| {
                answer.with_untracked(|answer| answer.progress != Progress::Failed)
            });
            answers.push(RwSignal::new(answer));
        });
        self.pump();
    }

    /// Describes a picture once more.
    pub fn again(self, item: Item) {
        self.end(item.caption);
        item.caption.update(Output::again);
        self.pump();
    }

    /// Turns the fusion's numbers; the caption in view is written anew at once.
    pub fn tune(self, fusion: Option<Fusion>) {
        self.fusion.set(fusion);
        if let Some(item) = self.gallery.current_untracked() {
            self.again(item);
        }
    }

    /// Shows, or no longer, what the words look at.
    pub fn trace(self, on: bool) {
        self.tracing.set(on);
        let item = self.gallery.current_untracked();
        let untraced = item.filter(|item| {
            item.caption.with_untracked(|caption| {
                let told = caption.is_traced() && !self.is_of_another(caption);
                caption.progress == Progress::Done && !told
            })
        });
        if let Some(item) = untraced.filter(|_| on) {
            self.again(item);
        }
    }

    /// Whether another model than the one in use wrote this.
    pub fn is_of_another(self, output: &Output) -> bool {
        self.model.with_untracked(|model| {
            let ids = model.info().zip(output.by.as_ref());
            ids.is_some_and(|(info, by)| info.id != by.id)
        })
    }

    /// Ends whatever is being written or waits for it, and the live camera.
    pub fn stop(self) {
        self.camera.live.set(false);
        for output in self.gallery.outputs() {
            self.end(output);
        }
    }

    /// Adds the first frame of a live camera; gives its number.
    pub fn add_live(self, picture: Picture) -> Option<u64> {
        self.show(vec![picture]);
        self.gallery.selected.get_untracked()
    }

    /// Puts the newest frame of a live camera in place of the one before.
    pub fn replace(self, item: Item, picture: Picture) {
        item.picture.set(Rc::new(picture));
        item.forget();
        self.again(item);
    }

    /// Takes a picture away.
    pub fn remove(self, item: Item) {
        for output in item.outputs() {
            self.end(output);
        }
        self.end(item.unseen);
        self.gallery.remove(item.id);
        // What it made room for goes on.
        self.pump();
    }

    /// Starts over after the engine was lost, with what it left undone.
    pub fn retry(self) {
        self.problem.set(None);
        self.notice.set(None);
        self.losses.set_value(0);
        for output in self.gallery.outputs() {
            if output.with_untracked(|output| output.progress == Progress::Failed) {
                output.update(Output::again);
            }
        }
        self.start();
    }
}

fn next(counter: StoredValue<u64>) -> u64 {
    counter.update_value(|count| *count += 1);
    counter.get_value()
}
