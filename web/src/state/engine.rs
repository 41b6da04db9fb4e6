//! The engine: started, listened to, replaced where it is lost.

use super::{State, trial::Trial};
use crate::{
    client::Engine,
    output::{Model, Scores},
    page,
    shipped::{SHIPPED, Shipped},
    text,
};
use adem_protocol::{Ask, Choice, EngineKind, Origin, Reason, Tell};
use leptos::{prelude::*, task::spawn_local};
use std::collections::VecDeque;
use web_sys::{File, Url};

/// Key under which the page remembers the model chosen last.
const CHOSEN: &str = "adem.model";

/// A package that was asked for: its place, and its files where that is a folder.
pub type Wanted = (Origin, Vec<File>);

impl State {
    /// Starts the engine of `choice`; the one before ends here.
    pub(super) fn start_engine(self, choice: Choice) {
        let kind = choice.kind;
        self.asked.update_value(VecDeque::clear);
        self.standing.set_value(None);
        self.model.set(Model::Starting);
        self.choice.set(Some(choice));
        self.requeue();
        let foreign = self.origin.with_value(foreign);
        let hear = move |tell, scores| self.hear(tell, scores);
        match Engine::start(kind, foreign.as_deref(), hear) {
            Ok(engine) => self.engine.set_value(Some(engine)),
            Err(message) => self.lost(message),
        }
    }

    /// Changes to the other engine, with whatever is being written.
    pub fn switch(self) {
        let Some(choice) = self.choice.get_untracked() else {
            return;
        };
        self.notice.set(None);
        self.losses.set_value(0);
        self.start_engine(Choice {
            kind: choice.kind.other(),
            reason: Reason::Chosen,
            ..choice
        });
    }

    /// Loads another model in place of this one.
    pub fn load(self, origin: Origin, files: Vec<File>) {
        self.model_problem.set(None);
        self.fusion.set(None);
        for item in self.gallery.items.get_untracked() {
            // What another model said is nothing to compare with.
            item.forget();
        }
        // What is compared is one model on two engines: it begins anew with this one.
        self.trial.update_value(|trial| {
            if !matches!(trial, Some(Trial::Over)) {
                *trial = None;
            }
        });
        let before = self.origin.with_value(foreign);
        let after = foreign(&origin);
        self.origin.set_value(origin);
        self.files.set_value(files);
        match self.choice.get_untracked() {
            // A worker reads from the origins that it was started with and from no other.
            Some(choice) if before != after => self.start_engine(choice),
            _ => self.ask_for_model(),
        }
    }

    fn ask_for_model(self) {
        let loading = Model::Loading(Default::default(), page::now().unwrap_or_default());
        self.model.set(loading);
        let origin = self.origin.get_value();
        let files = self.files.get_value();
        let wanted = (origin.clone(), files.clone());
        self.asked.update_value(|asked| asked.push_back(wanted));
        self.send(&Ask::Load { origin }, None, &files);
    }

    /// Loads a model that lies beside the page.
    pub fn load_shipped(self, shipped: &'static Shipped) {
        self.shipped.set(shipped);
        self.load(Origin::Address(shipped.address()), Vec::new());
    }

    /// Asks which models are on this device.
    pub fn list_models(self) {
        self.send(&Ask::Models, None, &[]);
    }

    /// Deletes a model from this device.
    pub fn forget_model(self, id: String) {
        if page::recall(CHOSEN).as_deref() == Some(&id) {
            page::remember(CHOSEN, None);
        }
        self.send(&Ask::Forget { id }, None, &[]);
    }

    pub(super) fn send(self, ask: &Ask, buffer: Option<&js_sys::ArrayBuffer>, files: &[File]) {
        let sent = self.engine.with_value(|engine| match engine {
            Some(engine) => engine.ask(ask, buffer, files),
            None => Ok(()),
        });
        if let Err(message) = sent {
            self.lost(message);
        }
    }

    pub(super) fn hear(self, tell: Tell, scores: Option<Scores>) {
        match tell {
            Tell::Ready => self.ask_for_model(),
            Tell::Loading(loading) => self.model.update(|model| match model {
                Model::Loading(now, _) => *now = loading,
                other => *other = Model::Loading(loading, page::now().unwrap_or_default()),
            }),
            Tell::Loaded {
                model,
                load_ms,
                unkept,
            } => {
                let (id, kept) = (model.id.clone(), unkept.is_none());
                let model = Model::Ready {
                    info: model,
                    load_ms,
                    unkept,
                };
                let wanted = self.answered();
                self.last.set_value(wanted.clone());
                self.standing
                    .set_value(wanted.map(|wanted| (wanted, model.clone())));
                if !self.is_asked() {
                    self.remember_choice(&id, kept);
                    self.settle(model);
                }
            }
            Tell::NotLoaded { message, usable } => {
                self.answered();
                if !usable {
                    self.standing.set_value(None);
                }
                if !self.is_asked() {
                    self.not_loaded(message);
                }
            }
            Tell::Models { models, problem } => self.models.set((models, problem)),
            Tell::Unusable { message } => self.lost(message),
            of_job => self.hear_of_job(of_job, scores),
        }
    }

    /// The package that the engine has just answered about: it loads one after another.
    fn answered(self) -> Option<Wanted> {
        self.asked.try_update_value(VecDeque::pop_front).flatten()
    }

    /// Whether a newer package is on its way: what became of an older one is of no concern then.
    fn is_asked(self) -> bool {
        self.asked.with_value(|asked| !asked.is_empty())
    }

    /// A model can be asked.
    fn settle(self, model: Model) {
        let name = model.info().map(|info| info.name.as_str());
        if let Some(shipped) = SHIPPED.iter().find(|it| Some(it.name) == name) {
            self.shipped.set(shipped);
        }
        self.model.set(model);
        self.list_models();
        crate::offline::prepare(self.update);
        // Whoever looks at what the words looked at sees those of this model.
        self.trace(self.tracing.get_untracked());
        self.pump();
    }

    /// The package is refused: the model before it goes on, or is loaded again where the engine
    /// lost it; else the usual one comes back, unless it was that.
    fn not_loaded(self, message: String) {
        if let Some(((origin, files), model)) = self.standing.get_value() {
            self.origin.set_value(origin);
            self.files.set_value(files);
            self.settle(model);
            self.model_problem.set(Some(message));
            return;
        }
        let last = self.last.try_update_value(Option::take).flatten();
        let refused = self.origin.get_value();
        if let Some((origin, files)) = last.filter(|(origin, _)| *origin != refused) {
            self.load(origin, files);
            self.model_problem.set(Some(message));
            return;
        }
        let usual = usual();
        if self.origin.with_value(|origin| *origin == usual) {
            self.give_up();
            self.model.set(Model::Unusable(message));
            crate::offline::prepare(self.update);
            return;
        }
        page::remember(CHOSEN, None);
        self.load(usual, Vec::new());
        self.model_problem.set(Some(message));
    }

    /// Comes back to a model that was chosen from beside the page, by its name, so that its newer
    /// builds are seen, or from this device.
    fn remember_choice(self, id: &str, kept: bool) {
        let shipped = self.origin.with_value(|origin| {
            let is = |it: &&Shipped| *origin == Origin::Address(it.address());
            SHIPPED.iter().position(|it| is(&it))
        });
        let word = match shipped {
            Some(0) => None,
            Some(place) => Some(SHIPPED[place].name),
            None => kept.then_some(id),
        };
        page::remember(CHOSEN, word);
    }

    /// The engine does not run: it is started once more; then the CPU's takes the place of
    /// WebGPU's, and nothing that of the CPU's.
    pub(super) fn lost(self, message: String) {
        // Not at once: we may be inside a call from the very engine that is to be dropped.
        spawn_local(async move {
            let Some(choice) = self.choice.get_untracked() else {
                return;
            };
            let ran = self
                .model
                .with_untracked(|model| !matches!(model, Model::Starting | Model::Unusable(_)));
            self.losses.update_value(|losses| *losses += 1);
            if ran && self.losses.get_value() == 1 {
                self.notice.set(Some(text::restarted(&message)));
                self.start_engine(choice);
                return;
            }
            if choice.kind == EngineKind::Gpu {
                self.losses.set_value(0);
                self.start_engine(Choice {
                    kind: EngineKind::Cpu,
                    reason: Reason::GpuFailed(message),
                    ..choice
                });
                return;
            }
            self.engine.set_value(None);
            self.give_up();
            self.model.set(Model::Unusable(message));
        });
    }
}

/// The model that the page's address asks for, that of the last visit where one was chosen, or the
/// first one beside the page.
pub(super) fn usual_origin() -> Origin {
    match (Shipped::asked(), page::recall(CHOSEN)) {
        (None, Some(id)) if Shipped::named(&id).is_none() => Origin::Stored(id),
        _ => Origin::Address(usual_shipped().address()),
    }
}

/// The model beside the page that its address asks for, that of the last visit, or the first.
pub(super) fn usual_shipped() -> &'static Shipped {
    let recalled = || Shipped::named(&page::recall(CHOSEN)?);
    Shipped::asked().or_else(recalled).unwrap_or(&SHIPPED[0])
}

fn usual() -> Origin {
    Origin::Address(SHIPPED[0].address())
}

/// The origin of an address that is not the page's own.
pub(super) fn foreign(origin: &Origin) -> Option<String> {
    let Origin::Address(address) = origin else {
        return None;
    };
    let theirs = Url::new(address).ok()?.origin();
    let ours = Url::new(&page::address()?).ok()?.origin();
    (theirs != ours).then_some(theirs)
}
