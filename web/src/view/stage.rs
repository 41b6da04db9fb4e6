//! Where the picture goes.

use crate::{picture::Picture, samples::SAMPLES, state::State, text};
use leptos::prelude::*;
use web_sys::{Event, HtmlInputElement};

/// The frame that takes a picture and shows it, what is wrong with it, and the samples.
#[component]
pub fn Stage(state: State, dragging: RwSignal<bool>) -> impl IntoView {
    let chosen = move |event: Event| {
        let input: HtmlInputElement = event_target(&event);
        let file = input.files().and_then(|files| files.get(0));
        // Choosing the same file again is a change, too.
        input.set_value("");
        if let Some(file) = file {
            state.take(async move { Picture::read(&file).await });
        }
    };
    let hint = move || {
        if dragging.get() {
            text::DROP_NOW
        } else {
            text::DROP_TITLE
        }
    };
    view! {
        <section class="stage">
            <label class="frame" class:dragging=dragging class:filled=move || state.picture.with(Option::is_some)>
                <input
                    id="file"
                    class="unseen"
                    type="file"
                    accept="image/*"
                    aria-label=text::CHOOSE
                    on:change=chosen
                />
                <Show
                    when=move || state.picture.with(Option::is_some)
                    fallback=move || view! {
                        <span class="hint">
                            <strong>{hint}</strong>
                            <span>{text::DROP_HINT}</span>
                        </span>
                    }
                >
                    <Preview state />
                    <span class="another" aria-hidden="true">{text::CHOOSE_ANOTHER}</span>
                </Show>
            </label>
            <p class="problem" id="problem" role="alert">
                {move || state.problem.get()}
            </p>
            <Samples state />
        </section>
    }
}

#[component]
fn Preview(state: State) -> impl IntoView {
    let alt = move |name: &str| {
        let name = name.to_owned();
        move || {
            state
                .caption
                .with(|caption| text::preview(&name, &caption.text))
        }
    };
    move || {
        state.picture.get().map(|picture| {
            let broken = RwSignal::new(false);
            view! {
                <img
                    id="preview"
                    class:broken=broken
                    src=picture.url.clone()
                    alt=alt(&picture.name)
                    on:error=move |_| broken.set(true)
                />
                <Show when=move || broken.get()>
                    <span class="hint"><span>{text::NO_PREVIEW}</span></span>
                </Show>
            }
        })
    }
}

#[component]
fn Samples(state: State) -> impl IntoView {
    let buttons = SAMPLES.map(|sample| {
        let take = move |_| state.take(Picture::fetch(sample.file));
        view! {
            <li>
                <button type="button" class="sample" on:click=take>
                    <img src=sample.file alt=sample.alt width="256" height="256" loading="lazy" />
                </button>
            </li>
        }
    });
    view! {
        <h2 class="small">{text::SAMPLES}</h2>
        <ul class="samples" id="samples">{buttons}</ul>
    }
}
