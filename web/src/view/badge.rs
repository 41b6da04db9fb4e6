//! Which engine runs, why, and how far its model is.

use crate::{output::Model, page, state::State, text};
use leptos::prelude::*;

/// The engine's badge, and the model's progress below it.
#[component]
pub fn Badge(state: State) -> impl IntoView {
    let kind = move || {
        state
            .choice
            .with(|choice| choice.as_ref().map(|choice| choice.kind.word()))
    };
    let name = move || {
        state.choice.with(|choice| match choice {
            Some(choice) => text::engine(choice),
            None => text::CHOOSING.into(),
        })
    };
    let reason = move || {
        state
            .choice
            .with(|choice| choice.as_ref().map(text::reason))
    };
    let word = move || {
        state.model.with(|model| match model {
            Model::Starting => "starting",
            Model::Loading(..) => "loading",
            Model::Ready { .. } => "ready",
            Model::Unusable(_) => "unusable",
        })
    };
    // Told to those who do not see the bar go.
    let ready = move || {
        let ready = state.model.with(|model| model.info().is_some());
        ready.then_some(text::READY)
    };
    view! {
        <section class="engine" id="engine" data-kind=kind data-model=word>
            <p class="badge"><span class="dot" aria-hidden="true"></span>{name}</p>
            <p class="reason" id="reason">{reason}</p>
            <Loading state />
            <p class="unseen" role="status">{ready}</p>
            <Switch state />
            <p class="notice" id="notice" role="status">{move || state.notice.get()}</p>
        </section>
    }
}

/// The other engine, where there is one to be had.
#[component]
fn Switch(state: State) -> impl IntoView {
    let other = Memo::new(move |_| {
        let settled = state
            .model
            .with(|model| matches!(model, Model::Ready { .. }));
        state.choice.with(|choice| {
            let choice = choice.as_ref().filter(|choice| choice.adapter.is_some())?;
            settled.then(|| choice.kind.other())
        })
    });
    move || {
        other.get().map(|kind| {
            view! {
                <button type="button" class="plain" id="switch" on:click=move |_| state.switch()>
                    {text::switch_to(kind)}
                </button>
            }
        })
    }
}

#[component]
fn Loading(state: State) -> impl IntoView {
    move || {
        state.model.with(|model| match model {
            Model::Starting => view! { <p class="model">{text::STARTING}</p> }.into_any(),
            Model::Loading(loading, since) => {
                // One bar: bytes that are here. Without a value it shows that something happens.
                let known = loading.total > 0;
                let here = loading.cached + loading.fetched;
                let value = known.then(|| here.max(loading.read).to_string());
                let max = known.then(|| loading.total.to_string());
                let elapsed = page::now().unwrap_or_default() - since;
                view! {
                    <progress aria-label=text::LOADING_LABEL value=value max=max></progress>
                    <p class="model">{text::loading(loading, elapsed)}</p>
                }
                .into_any()
            }
            Model::Ready { info, unkept, .. } => view! {
                <p class="model">{text::model(info)}</p>
                {unkept.as_ref().map(|why| view! { <p class="model" id="unkept">{text::unkept(why)}</p> })}
            }
            .into_any(),
            Model::Unusable(message) => view! {
                <p class="model" role="alert">{text::unusable(message)}</p>
                <button type="button" on:click=move |_| state.retry()>{text::AGAIN}</button>
            }
            .into_any(),
        })
    }
}
