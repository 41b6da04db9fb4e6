//! The pictures of this visit, once there are several.

use crate::{gallery::Item, output::Progress, page, share, state::State, text};
use leptos::prelude::*;

/// Thumbnails with their captions, and the ways to take all of them along.
#[component]
pub fn Gallery(state: State) -> impl IntoView {
    let items = state.gallery.items;
    let several = Memo::new(move |_| items.with(|items| items.len() > 1));
    let records = move || share::records(&items.get_untracked());
    let copied = RwSignal::new("");
    let copy = move |_| {
        let text = share::plain(&records());
        leptos::task::spawn_local(async move {
            copied.set(match share::copy(&text).await {
                true => text::COPIED,
                false => text::NOT_COPIED,
            });
        });
    };
    let json = move |_| {
        share::download(
            "captions.json",
            "application/json",
            &share::json(&records()),
        );
    };
    let csv = move |_| share::download("captions.csv", "text/csv", &share::csv(&records()));
    view! {
        <section class="gallery" id="gallery" hidden=move || items.with(Vec::is_empty)>
            <div class="head">
                <h2 class="small">{text::GALLERY}</h2>
                <div class="row" role="group" aria-label=text::SAVE_LABEL>
                    <span class="note" role="status">{copied}</span>
                    <button type="button" class="plain" id="copy-all" on:click=copy>{text::COPY}</button>
                    <button type="button" class="plain" id="save-json" on:click=json>{text::SAVE_JSON}</button>
                    <button type="button" class="plain" id="save-csv" on:click=csv>{text::SAVE_CSV}</button>
                </div>
            </div>
            <ul class="cards" class:several=several>
                <For each=move || items.get() key=|item| item.id let:item>
                    <Card state item />
                </For>
            </ul>
        </section>
    }
}

#[component]
fn Card(state: State, item: Item) -> impl IntoView {
    let selected = move || state.gallery.selected.get() == Some(item.id);
    let caption = move || {
        item.caption.with(|caption| match caption.progress {
            Progress::Waiting => state.model.with(text::waiting).to_owned(),
            Progress::Looking if caption.text.is_empty() => text::LOOKING.to_owned(),
            Progress::Failed => text::FAILED.to_owned(),
            _ => caption.text.clone(),
        })
    };
    let word = move || item.caption.with(|caption| caption.progress.word());
    let url = move || item.picture.with(|picture| picture.url.clone());
    let remove = move || format!("{} {}", text::REMOVE, item.name());
    view! {
        <li class="card" class:selected=selected data-state=word>
            <button
                type="button"
                class="choose"
                aria-current=move || selected().then_some("true")
                on:click=move |_| state.select(item.id)
            >
                <img src=url alt="" width="96" height="96" loading="lazy" />
                <span class="name">{move || item.name()}</span>
                <span class="said">{caption}</span>
            </button>
            <button type="button" class="remove" aria-label=remove on:click=move |_| {
                state.remove(item);
                // Whoever uses the keyboard goes on from here.
                page::focus(&[".card.selected .choose", "#file"]);
            }>
                "×"
            </button>
        </li>
    }
}
