//! Where the picture goes.

use super::camera::{CameraView, OpenCamera};
use crate::{
    gallery::Item,
    output::Progress,
    picture::{Picture, listed},
    state::State,
    text,
};
use leptos::prelude::*;
use web_sys::{Event, HtmlInputElement};

/// The frame that takes pictures and shows one, what is wrong with it, and the samples.
#[component]
pub fn Stage(state: State, dragging: RwSignal<bool>) -> impl IntoView {
    let chosen = move |event: Event| {
        let input: HtmlInputElement = event_target(&event);
        let files = listed(input.files());
        // Choosing the same file again is a change, too.
        input.set_value("");
        state.take(files);
    };
    let hint = move || {
        if dragging.get() {
            text::DROP_NOW
        } else {
            text::DROP_TITLE
        }
    };
    let filled = Memo::new(move |_| state.gallery.selected.get().is_some());
    let seeing = Memo::new(move |_| state.camera.stream.with(Option::is_some));
    let problem = move || {
        state.problem.get().or_else(|| {
            let item = state.gallery.current()?;
            let (failed, problem) = item.caption.with(|caption| {
                (
                    caption.progress == Progress::Failed,
                    caption.problem.clone(),
                )
            });
            let message = problem.filter(|_| failed)?;
            Some(text::problem(&item.name(), &message))
        })
    };
    view! {
        <section class="stage">
            <Show when=move || seeing.get()>
                <CameraView state />
            </Show>
            <label class="frame" class:dragging=dragging class:filled=filled class:aside=seeing>
                <input
                    id="file"
                    class="unseen"
                    type="file"
                    multiple
                    accept="image/png,image/jpeg,image/webp,image/gif"
                    aria-label=text::CHOOSE
                    on:change=chosen
                />
                <Show
                    when=move || filled.get()
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
                {problem}
            </p>
            <p class="problem" role="alert">{move || state.camera.problem.get()}</p>
            <Samples state />
        </section>
    }
}

#[component]
fn Preview(state: State) -> impl IntoView {
    let alt = move |item: Item| {
        move || {
            let name = item.name();
            item.caption
                .with(|caption| text::preview(&name, &caption.text))
        }
    };
    move || {
        state.gallery.current().map(|item| {
            let broken = RwSignal::new(false);
            let url = move || {
                broken.set(false);
                item.picture.with(|picture| picture.url.clone())
            };
            view! {
                <img
                    id="preview"
                    class:broken=broken
                    src=url
                    alt=alt(item)
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
    let buttons = move || {
        let samples = state.shipped.get().samples.iter();
        let buttons = samples.map(|sample| {
            let take = move |_| state.take_one(Picture::fetch(sample.file));
            view! {
                <li>
                    <button type="button" class="sample" on:click=take>
                        <img src=sample.file alt=sample.alt width="256" height="256" loading="lazy" />
                    </button>
                </li>
            }
        });
        buttons.collect_view()
    };
    view! {
        <div class="tries">
            <div class="head">
                <h2 class="small">{text::SAMPLES}</h2>
                <OpenCamera state />
            </div>
            <ul class="samples" id="samples">{buttons}</ul>
        </div>
    }
}
