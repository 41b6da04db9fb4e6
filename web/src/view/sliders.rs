//! The fusion's numbers, to be turned.

use crate::{state::State, text};
use adem_protocol::Fusion;
use leptos::prelude::*;
use web_sys::{Event, HtmlInputElement};

/// Largest gamma that can be set: something has to be left.
const MOST_DROPPED: f64 = 0.95;

/// Alpha, beta and gamma; the caption is written anew as they turn.
#[component]
pub fn Sliders(state: State) -> impl IntoView {
    let trained = Memo::new(move |_| {
        state
            .model
            .with(|model| model.info().map(|info| info.fusion))
    });
    let sliders = move || {
        trained.get().map(|trained| {
            let now = move || state.fusion.get().unwrap_or(trained);
            let set = move |fusion: Fusion| state.tune((fusion != trained).then_some(fusion));
            view! {
                <Slider
                    id="alpha"
                    label=text::ALPHA
                    most=4.0 * trained.alpha
                    value=Signal::derive(move || now().alpha)
                    set=move |alpha| set(Fusion { alpha, ..now() })
                />
                <Slider
                    id="beta"
                    label=text::BETA
                    most=4.0 * trained.beta
                    value=Signal::derive(move || now().beta)
                    set=move |beta| set(Fusion { beta, ..now() })
                />
                <Slider
                    id="gamma"
                    label=text::GAMMA
                    most=MOST_DROPPED
                    value=Signal::derive(move || now().gamma)
                    set=move |gamma| set(Fusion { gamma, ..now() })
                />
                <button
                    type="button"
                    class="plain"
                    id="reset"
                    aria-disabled=move || state.fusion.get().is_none().to_string()
                    on:click=move |_| state.tune(None)
                >
                    {text::RESET}
                </button>
            }
        })
    };
    view! { <div class="sliders">{sliders}</div> }
}

#[component]
fn Slider(
    id: &'static str,
    label: &'static str,
    most: f64,
    value: Signal<f64>,
    set: impl Fn(f64) + 'static,
) -> impl IntoView {
    // A hundred steps, the trained number among them.
    let steps = 100.0;
    let turned = move |event: Event| {
        let input: HtmlInputElement = event_target(&event);
        set(input.value_as_number() / steps * most);
    };
    let shown = move || format!("{:.3}", value.get());
    view! {
        <label class="slider">
            <span>{label}</span>
            <input
                id=id
                type="range"
                min="0"
                max="100"
                step="1"
                prop:value=move || (value.get() / most * steps).to_string()
                aria-valuetext=shown
                on:input=turned
            />
            <output>{shown}</output>
        </label>
    }
}
