//! The engine: started, listened to, replaced where it is lost.

use super::State;
use crate::{
    client::Engine,
    output::{Model, Scores},
    page,
    shipped::{SHIPPED, Shipped},
    text,
};
use adem_protocol::{Ask, Choice, EngineKind, Origin, Reason, Tell};
use leptos::{prelude::*, task::spawn_local};
use web_sys::{File, Url};

/// Key under which the page remembers the model chosen last.
const CHOSEN: &str = "adem.model";

impl State {
    /// Starts the engine of `choice`; the one before ends here.
    pub(super) fn start_engine(self, choice: Choice) {
        let kind = choice.kind;
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
                self.remember_choice(&model.id, unkept.is_none());
                if let Some(shipped) = SHIPPED.iter().find(|it| it.name == model.name) {
                    self.shipped.set(shipped);
                }
                self.model.set(Model::Ready {
                    info: model,
                    load_ms,
                    unkept,
                });
                self.list_models();
                crate::offline::prepare(self.update);
                self.pump();
            }
            Tell::NotLoaded { message, .. } => self.not_loaded(message),
            Tell::Models { models, problem } => self.models.set((models, problem)),
            Tell::Unusable { message } => self.lost(message),
            of_job => self.hear_of_job(of_job, scores),
        }
    }

    /// The package is refused: the usual one comes back, unless it was that.
    fn not_loaded(self, message: String) {
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

    /// Comes back to a model that was chosen from this device or put there, and to no other.
    fn remember_choice(self, id: &str, kept: bool) {
        let usual = usual();
        let chosen = self.origin.with_value(|origin| *origin != usual) && kept;
        page::remember(CHOSEN, chosen.then_some(id));
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
        (Some(shipped), _) => Origin::Address(shipped.address()),
        (None, Some(id)) => Origin::Stored(id),
        (None, None) => usual(),
    }
}

fn usual() -> Origin {
    Origin::Address(SHIPPED[0].address())
}

/// The origin of an address that is not the page's own.
fn foreign(origin: &Origin) -> Option<String> {
    let Origin::Address(address) = origin else {
        return None;
    };
    let theirs = Url::new(address).ok()?.origin();
    let ours = Url::new(&page::address()?).ok()?.origin();
    (theirs != ours).then_some(theirs)
}
