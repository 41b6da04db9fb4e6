//! What the page looks like.

mod badge;
mod camera;
mod diagnostics;
mod gallery;
mod models;
mod sight;
mod sliders;
mod stage;
mod words;

use crate::{offline, output::Model, picture::dropped, shipped::SHIPPED, state::State, text};
use leptos::{ev, prelude::*};
use wasm_bindgen::JsCast;
use web_sys::{DragEvent, HtmlInputElement};

/// The whole page.
#[component]
pub fn Page(state: State) -> impl IntoView {
    let dragging = RwSignal::new(false);
    // On the window, so that a picture dropped beside the frame does not replace the page.
    // Text goes where it was dropped.
    let is_text = |event: &DragEvent| {
        let types = event.data_transfer().map(|transfer| transfer.types());
        let files = types.is_some_and(|types| types.includes(&"Files".into(), 0));
        let field = event.target();
        !files && field.is_some_and(|field| field.is_instance_of::<HtmlInputElement>())
    };
    window_event_listener(ev::dragover, move |event: DragEvent| {
        if !is_text(&event) {
            event.prevent_default();
            dragging.set(true);
        }
    });
    window_event_listener(ev::dragleave, move |event: DragEvent| {
        if event.related_target().is_none() {
            dragging.set(false);
        }
    });
    window_event_listener(ev::drop, move |event: DragEvent| {
        dragging.set(false);
        if !is_text(&event) {
            event.prevent_default();
            state.take(dropped(event.data_transfer()));
        }
    });
    window_event_listener(ev::paste, move |event: web_sys::ClipboardEvent| {
        state.take(dropped(event.clipboard_data()));
    });
    // The network is back: what it kept us from is tried again.
    window_event_listener_untyped("online", move |_| {
        if state
            .model
            .with_untracked(|model| matches!(model, Model::Unusable(_)))
        {
            state.retry();
        }
    });

    view! {
        <Show when=move || state.update.get()>
            <p class="update" role="status">
                {text::UPDATE}
                <button type="button" on:click=|_| offline::take_over()>{text::UPDATE_NOW}</button>
            </p>
        </Show>
        <header class="top">
            <div class="brand">
                <img src="favicon.svg" alt="" width="40" height="40" />
                <div>
                    <h1>{text::NAME}</h1>
                    <p>{text::TAGLINE}</p>
                </div>
            </div>
            <badge::Badge state />
        </header>
        <main>
            <Choice state />
            <div class="pair">
                <stage::Stage state dragging />
                <words::Words state />
            </div>
            <gallery::Gallery state />
            <sight::Sight state />
            <models::Models state />
            <diagnostics::Diagnostics state />
        </main>
        <footer>
            <p>{text::PRIVATE}</p>
        </footer>
    }
}

/// The models beside the page.
#[component]
fn Choice(state: State) -> impl IntoView {
    let used = Memo::new(move |_| {
        state
            .model
            .with(|model| model.info().map(|info| info.name.clone()))
    });
    let buttons = SHIPPED.each_ref().map(|shipped| {
        let pressed = move || {
            // While one is on its way it is the one that was asked for.
            used.with(|used| match used {
                Some(name) => name == shipped.name,
                None => state.shipped.get().name == shipped.name,
            })
        };
        view! {
            <button
                type="button"
                class="plain"
                id=shipped.name
                aria-pressed=move || pressed().to_string()
                on:click=move |_| state.load_shipped(shipped)
            >
                {shipped.label}
            </button>
        }
    });
    view! {
        <div class="row choice">
            <div class="row" role="group" aria-label=text::DESCRIBES>{buttons}</div>
            <p class="note">{move || state.shipped.get().note}</p>
            <p class="problem" id="choice-problem" role="alert">{move || state.model_problem.get()}</p>
        </div>
    }
}
