//! Models: those on this device, and others to be had.

use crate::{output::Model, picture::listed, state::State, text};
use adem_protocol::{Origin, StoredModel};
use leptos::{ev::SubmitEvent, prelude::*};
use web_sys::{Event, File, HtmlInputElement, Url};

/// The panel.
#[component]
pub fn Models(state: State) -> impl IntoView {
    let address = RwSignal::new(String::new());
    let fetch = move |event: SubmitEvent| {
        event.prevent_default();
        let text = address.get_untracked();
        match folder(&text) {
            Some(url) => state.load(Origin::Address(url), Vec::new()),
            None => state.model_problem.set(Some(text::no_address(&text))),
        }
    };
    let opened = move |event: Event| {
        let input: HtmlInputElement = event_target(&event);
        let files = listed(input.files());
        input.set_value("");
        if let Some(first) = files.first() {
            state.load(Origin::Folder(folder_of(first)), files.clone());
        }
    };
    let used = Memo::new(move |_| {
        state
            .model
            .with(|model| model.info().map(|info| info.id.clone()))
    });
    let busy = Memo::new(move |_| {
        state
            .model
            .with(|model| matches!(model, Model::Starting | Model::Loading(..)))
    });
    view! {
        <details class="panel" id="models" on:toggle=move |_| state.list_models()>
            <summary>{text::MODELS}</summary>
            <p class="note">
                {move || state.models.with(|(models, problem)| match problem {
                    Some(why) => text::no_store(why),
                    None if models.is_empty() => text::MODELS_NONE.into(),
                    None => String::new(),
                })}
            </p>
            <ul class="models">
                <For
                    each=move || state.models.with(|(models, _)| models.clone())
                    key=|model| (model.id.clone(), model.bytes, model.complete)
                    let:model
                >
                    <Row state model used busy />
                </For>
            </ul>
            <form class="line" id="fetch" on:submit=fetch>
                <input
                    id="address"
                    type="url"
                    placeholder="https://"
                    aria-label=text::MODEL_ADDRESS
                    bind:value=address
                />
                <button type="submit" disabled=busy>{text::MODEL_LOAD}</button>
            </form>
            <p class="note">{text::MODEL_ADDRESS} ". " {text::MODEL_HINT}</p>
            <label class="file">
                <span>{text::MODEL_FOLDER}</span>
                <input id="folder" type="file" prop:webkitdirectory=true multiple on:change=opened />
            </label>
            <p class="problem" id="model-problem">{move || state.model_problem.get()}</p>
        </details>
    }
}

#[component]
fn Row(
    state: State,
    model: StoredModel,
    used: Memo<Option<String>>,
    busy: Memo<bool>,
) -> impl IntoView {
    let id = StoredValue::new(model.id.clone());
    let is_used = move || used.with(|used| id.with_value(|id| used.as_ref() == Some(id)));
    let complete = model.complete;
    let named = |action: &str| format!("{action} {}", model.name);
    let [use_it, delete] = [text::MODEL_USE, text::MODEL_DELETE].map(named);
    let choose = move |_| state.load(Origin::Stored(id.get_value()), Vec::new());
    view! {
        <li>
            <div>
                <strong>{model.name.clone()}</strong> " " <code>{model.id.clone()}</code>
                <p class="note">{text::stored(&model)}</p>
            </div>
            <div class="row">
                <Show
                    when=is_used
                    fallback=move || view! {
                        <button type="button" class="plain" aria-label=use_it.clone() disabled=move || busy.get() || !complete on:click=choose>
                            {text::MODEL_USE}
                        </button>
                    }
                >
                    <span class="note">{text::MODEL_USED}</span>
                </Show>
                <button
                    type="button"
                    class="plain delete"
                    aria-label=delete
                    on:click=move |_| state.forget_model(id.get_value())
                >
                    {text::MODEL_DELETE}
                </button>
            </div>
        </li>
    }
}

/// The name of the folder that a file was chosen with.
fn folder_of(file: &File) -> String {
    let path = js_sys::Reflect::get(file, &"webkitRelativePath".into());
    let path = path
        .ok()
        .and_then(|path| path.as_string())
        .unwrap_or_default();
    let folder = path.split('/').next().filter(|folder| !folder.is_empty());
    folder.map_or_else(|| file.name(), str::to_owned)
}

/// The folder that a reader has named: with or without its manifest, or the slash at its end.
fn folder(text: &str) -> Option<String> {
    let url = Url::new(text.trim()).ok()?;
    if !matches!(url.protocol().as_str(), "https:" | "http:") {
        return None;
    }
    url.set_search("");
    url.set_hash("");
    let address = url.href();
    let folder = address.strip_suffix("adem.json").unwrap_or(&address);
    Some(format!("{}/", folder.trim_end_matches('/')))
}
