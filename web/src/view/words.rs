//! What the model writes.

use crate::{
    output::{Model, Output, Progress},
    page, share,
    state::State,
    text,
};
use adem_protocol::Task;
use leptos::{ev::SubmitEvent, prelude::*, task::spawn_local};

/// Caption, question, answer, and where the time went.
#[component]
pub fn Words(state: State) -> impl IntoView {
    let active = Memo::new(move |_| {
        let items = state.gallery.items.get();
        let is_active =
            |output: RwSignal<Output>| output.with(|output| output.progress.is_active());
        state.camera.live.get()
            || items.into_iter().any(|item| {
                is_active(item.caption) || item.answers.get().into_iter().any(is_active)
            })
    });
    let question = RwSignal::new(String::new());
    let ask = move |event: SubmitEvent| {
        event.prevent_default();
        state.ask(question.get_untracked());
    };
    let question_problem = move || {
        state.question_problem.get().or_else(|| {
            let failed = |answer: &Output| answer.progress == Progress::Failed;
            state
                .answer
                .with(|answer| answer.problem.clone().filter(|_| failed(answer)))
        })
    };
    // Until the model is there, it is taken for the one that was asked for.
    let asks = move || {
        let model = state.model.read();
        let asked = || state.shipped.get().questions;
        model.info().map_or_else(asked, |info| info.questions)
    };
    view! {
        <section class="words">
            <div class="head">
                <h2 class="small">{text::CAPTION}</h2>
                // Not disabled, which would take the focus from whoever has just pressed it.
                <button type="button" id="stop" aria-disabled=move || (!active.get()).to_string() on:click=move |_| state.stop()>
                    {text::STOP}
                </button>
            </div>
            <Written state id="caption" output=state.caption empty=text::CAPTION_EMPTY />
            <CaptionTools state />
            <p class="note" hidden=asks>{text::NO_QUESTIONS}</p>
            <form id="ask" hidden=move || !asks() on:submit=ask>
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
                {question_problem}
            </p>
            <Asked output=state.answer />
            <Written state id="answer" output=state.answer empty="" />
            <History state />
            <Times state />
        </section>
    }
}

/// A text as it is written.
#[component]
fn Written(
    state: State,
    id: &'static str,
    output: Memo<Output>,
    empty: &'static str,
) -> impl IntoView {
    let progress = Memo::new(move |_| output.with(|output| output.progress));
    let text = move || {
        output.with(|output| match output.progress {
            Progress::Idle => empty.to_owned(),
            _ => output.text.clone(),
        })
    };
    let waits = Memo::new(move |_| state.model.with(text::waiting));
    let by = Memo::new(move |_| {
        state.model.track();
        output.with(|output| match (state.is_of_another(output), &output.by) {
            (true, Some(by)) => text::by_another(&by.name),
            _ => String::new(),
        })
    });
    let note = move || match progress.get() {
        Progress::Waiting => waits.get().to_owned(),
        Progress::Looking => text::LOOKING.to_owned(),
        Progress::Stopped => text::STOPPED.to_owned(),
        Progress::Done => by.get(),
        _ => String::new(),
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

/// What to do with a caption that is there.
#[component]
fn CaptionTools(state: State) -> impl IntoView {
    let copied = RwSignal::new("");
    let ended = Memo::new(move |_| {
        state.caption.with(|caption| {
            matches!(
                caption.progress,
                Progress::Done | Progress::Stopped | Progress::Failed
            )
        })
    });
    let copy = move |_| {
        let text = state.caption.with_untracked(|caption| caption.text.clone());
        spawn_local(async move {
            copied.set(match share::copy(&text).await {
                true => text::COPIED,
                false => text::NOT_COPIED,
            });
        });
    };
    let has_text = Memo::new(move |_| state.caption.with(|caption| !caption.text.is_empty()));
    let again = move |_| {
        if let Some(item) = state.gallery.current_untracked() {
            state.again(item);
            // This button is gone until the text is there.
            page::focus(&["#stop"]);
        }
    };
    Effect::new(move |_| {
        state.caption.track();
        copied.set("");
    });
    view! {
        <div class="row" hidden=move || !ended.get()>
            <button type="button" class="plain" id="copy" hidden=move || !has_text.get() on:click=copy>{text::COPY}</button>
            <button type="button" class="plain" id="again" on:click=again>{text::DESCRIBE_AGAIN}</button>
            <span class="note" role="status">{copied}</span>
        </div>
    }
}

/// The question that is being answered.
#[component]
fn Asked(output: Memo<Output>) -> impl IntoView {
    let question = move || output.with(|output| question_of(output).unwrap_or_default());
    view! { <p class="asked" id="asked">{question}</p> }
}

/// The questions before it, the latest first.
#[component]
fn History(state: State) -> impl IntoView {
    let earlier = Memo::new(move |_| {
        let mut answers = state
            .gallery
            .current()
            .map_or_else(Vec::new, |item| item.answers.get());
        answers.pop();
        answers.reverse();
        let texts = answers.into_iter().map(|answer| {
            answer.with(|answer| (question_of(answer).unwrap_or_default(), answer.text.clone()))
        });
        texts.collect::<Vec<_>>()
    });
    view! {
        <Show when=move || earlier.with(|earlier| !earlier.is_empty())>
            <details class="history" id="history">
                <summary class="small">{text::HISTORY}</summary>
                <dl>
                    {move || earlier.get().into_iter().map(|(question, answer)| view! {
                        <dt>{question}</dt><dd>{answer}</dd>
                    }).collect_view()}
                </dl>
            </details>
        </Show>
    }
}

fn question_of(output: &Output) -> Option<String> {
    match &output.task {
        Some(Task::Question(question)) => Some(question.clone()),
        _ => None,
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
