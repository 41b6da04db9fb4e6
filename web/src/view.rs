//! What the page looks like.

mod badge;
mod stage;
mod words;

use crate::{picture::Picture, state::State, text};
use leptos::{ev, prelude::*};
use web_sys::DragEvent;

/// The whole page.
#[component]
pub fn Page(state: State) -> impl IntoView {
    let dragging = RwSignal::new(false);
    // On the window, so that a picture dropped beside the frame does not replace the page.
    window_event_listener(ev::dragover, move |event: DragEvent| {
        event.prevent_default();
        dragging.set(true);
    });
    window_event_listener(ev::dragleave, move |event: DragEvent| {
        if event.related_target().is_none() {
            dragging.set(false);
        }
    });
    window_event_listener(ev::drop, move |event: DragEvent| {
        event.prevent_default();
        dragging.set(false);
        take_first(state, event.data_transfer());
    });
    window_event_listener(ev::paste, move |event: web_sys::ClipboardEvent| {
        take_first(state, event.clipboard_data());
    });

    view! {
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
            <stage::Stage state dragging />
            <words::Words state />
        </main>
        <footer>
            <p>{text::PRIVATE}</p>
        </footer>
    }
}

/// Takes the first file of what was dropped or pasted; text and the like are not ours.
fn take_first(state: State, transfer: Option<web_sys::DataTransfer>) {
    if let Some(file) = crate::picture::first_file(transfer) {
        state.take(async move { Picture::read(&file).await });
    }
}
