//! What the model writes.

use crate::{
    output::{Model, Output, Progress},
    state::State,
    text,
};
use leptos::{ev::SubmitEvent, prelude::*};

/// Caption, question, answer, and where the time went.
#[component]
pub fn Words(state: State) -> impl IntoView {
    let active = move || {
        state.caption.with(|output| output.progress.is_active())
            || state.answer.with(|output| output.progress.is_active())
    };
    let question = RwSignal::new(String::new());
    let ask = move |event: SubmitEvent| {
        event.prevent_default();
        state.ask(question.get_untracked());
    };
    view! {
        <section class="words">
            <div class="head">
                <h2 class="small">{text::CAPTION}</h2>
                <button type="button" id="stop" disabled=move || !active() on:click=move |_| state.stop()>
                    {text::STOP}
                </button>
            </div>
            <Written id="caption" output=state.caption empty=text::CAPTION_EMPTY />
            <form id="ask" on:submit=ask>
                <label class="small" for="question">{text::ASK}</label>
                <div class="line">
                    <input
                        id="question"
                        type="text"
                        autocomplete="off"
                        enterkeyhint="send"
                        placeholder=text::ASK_EXAMPLE
                        bind:value=question
                    />
                    <button type="submit">{text::ASK_BUTTON}</button>
                </div>
            </form>
            <p class="problem" id="question-problem" role="alert">
                {move || state.question_problem.get()}
            </p>
            <Written id="answer" output=state.answer empty="" />
            <Times state />
        </section>
    }
}

/// A text as it is written.
#[component]
fn Written(id: &'static str, output: RwSignal<Output>, empty: &'static str) -> impl IntoView {
    let progress = Memo::new(move |_| output.with(|output| output.progress));
    let text = move || {
        output.with(|output| match output.progress {
            Progress::Idle => empty.to_owned(),
            _ => output.text.clone(),
        })
    };
    let note = move || match progress.get() {
        Progress::Waiting => text::WAITING,
        Progress::Looking => text::LOOKING,
        Progress::Stopped => text::STOPPED,
        _ => "",
    };
    view! {
        // Busy while it grows, so that it is read out once, whole.
        <p
            id=id
            class="written"
            aria-live="polite"
            aria-busy=move || progress.get().is_active().to_string()
            data-state=move || progress.get().word()
        >
            {text}
        </p>
        <p class="note" role="status">{note}</p>
    }
}

/// Where the time went.
#[component]
fn Times(state: State) -> impl IntoView {
    let rows = move || {
        let load_ms = state.model.with(|model| match model {
            Model::Ready { load_ms, .. } => Some(*load_ms),
            _ => None,
        });
        // Of whichever was written last.
        let done = state
            .answer
            .with(|answer| answer.done)
            .or_else(|| state.caption.with(|caption| caption.done));
        text::timings(load_ms, done)
            .into_iter()
            .map(|(label, value)| view! { <div><dt>{label}</dt><dd>{value}</dd></div> })
            .collect_view()
    };
    let first = move || state.first_caption_ms.get().map(|ms| format!("{ms:.0}"));
    view! { <dl id="timings" class="timings" data-first-caption-ms=first>{rows}</dl> }
}
