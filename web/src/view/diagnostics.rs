//! What a report of a problem should say.

use crate::{output::Model, page, share, state::State, text};
use leptos::{prelude::*, task::spawn_local};

/// The panel: every fact about browser, device, engine and model.
#[component]
pub fn Diagnostics(state: State) -> impl IntoView {
    let open = RwSignal::new(false);
    let copied = RwSignal::new("");
    let copy = move |_| {
        let lines: Vec<String> = untrack(|| rows(state))
            .into_iter()
            .map(|(label, value)| format!("{label}: {value}"))
            .collect();
        spawn_local(async move {
            copied.set(match share::copy(&lines.join("\n")).await {
                true => text::COPIED,
                false => text::NOT_COPIED,
            });
        });
    };
    let table = move || {
        rows(state)
            .into_iter()
            .map(|(label, value)| view! { <div><dt>{label}</dt><dd>{value}</dd></div> })
            .collect_view()
    };
    let toggled = move |event: web_sys::Event| {
        let details: web_sys::HtmlDetailsElement = event_target(&event);
        open.set(details.open());
    };
    view! {
        <details class="panel" id="diagnostics" on:toggle=toggled>
            <summary>{text::DIAGNOSTICS}</summary>
            <Show when=move || open.get()>
                <dl class="facts">{table}</dl>
                <div class="row">
                    <button type="button" class="plain" id="copy-facts" on:click=copy>
                        {text::DIAGNOSTICS_COPY}
                    </button>
                    <span class="note" role="status">{copied}</span>
                </div>
            </Show>
        </details>
    }
}

/// Label and value of every fact that is known.
fn rows(state: State) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |label: &str, value: String| rows.push((label.to_owned(), value));
    let agent = web_sys::window().and_then(|window| window.navigator().user_agent().ok());
    row(text::ROW_BROWSER, agent.unwrap_or_default());
    let offline = match crate::offline::is_controlled() {
        true => text::OFFLINE_READY,
        false => text::OFFLINE_NOT,
    };
    row(
        text::ROW_PAGE,
        format!("{} · {offline}", env!("CARGO_PKG_VERSION")),
    );
    if let Some(choice) = state.choice.get() {
        row(text::ROW_ENGINE, text::engine(&choice));
        row(text::ROW_REASON, text::reason(&choice));
    }
    match state.capabilities.get() {
        None => row(text::ROW_ADAPTER, text::NONE.into()),
        Some(found) => {
            row(text::ROW_ADAPTER, found.adapter.name);
            for (name, value) in found.limits {
                row(&format!("{} {name}", text::ROW_LIMIT), value.to_string());
            }
            row(text::ROW_FEATURES, found.features.join(", "));
        }
    }
    match state.model.get() {
        Model::Ready {
            info,
            load_ms,
            unkept,
        } => {
            row(
                text::ROW_MODEL,
                format!("{} ({})", text::model(&info), info.id),
            );
            row(text::ROW_KEPT, unkept.unwrap_or_else(|| text::YES.into()));
            if info.kernels.checked > 0 {
                row(text::ROW_KERNELS, text::kernels(&info.kernels));
            }
            for (name, value) in &info.provenance {
                row(&format!("{} {name}", text::ROW_PACKAGE), value.clone());
            }
            let done = state.caption.with(|caption| caption.done);
            for (label, value) in text::timings(Some(load_ms), done) {
                row(label, value);
            }
            if let Some(done) = done {
                row(text::TIME_DECODE, text::duration(done.decode_ms));
            }
        }
        Model::Unusable(message) => row(text::ROW_PROBLEM, message),
        Model::Starting | Model::Loading(..) => {}
    }
    if let Some(notice) = state.notice.get() {
        row(text::ROW_NOTICE, notice);
    }
    if let Some(ms) = state.first_caption_ms.get() {
        row(text::TIME_FIRST, text::duration(ms));
    }
    row(text::ROW_ADDRESS, page::address().unwrap_or_default());
    rows
}
