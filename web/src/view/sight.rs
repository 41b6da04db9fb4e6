//! What each word looked at: the paper's Figure 3, live.

use super::sliders::Sliders;
use crate::{
    draw,
    output::Progress,
    share,
    sight::{Patch, Word, changed, patches, words},
    state::State,
    text,
};
use leptos::{ev::KeyboardEvent, html, prelude::*, task::spawn_local};
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Event, HtmlDetailsElement, HtmlElement, HtmlImageElement, HtmlInputElement};

/// Widest a map is drawn, pixels.
const WIDTH: f64 = 640.0;

/// The panel: words, maps, layers, and the fusion's numbers.
#[component]
pub fn Sight(state: State) -> impl IntoView {
    let toggled = move |event: Event| {
        let details: HtmlDetailsElement = event_target(&event);
        state.trace(details.open());
    };
    view! {
        <details class="panel" id="sight" on:toggle=toggled>
            <summary>{text::SIGHT}</summary>
            <Show when=move || state.tracing.get()>
                <Inside state />
            </Show>
        </details>
    }
}

#[component]
fn Inside(state: State) -> impl IntoView {
    let all = Memo::new(move |_| state.caption.with(|caption| words(&caption.tokens)));
    let place = RwSignal::new(0_usize);
    let layer = RwSignal::new(0_usize);
    let word = Memo::new(move |_| {
        all.with(|all| {
            all.get(place.get().min(all.len().saturating_sub(1)))
                .cloned()
        })
    });
    let shape = Memo::new(move |_| {
        state.model.with(|model| {
            let info = model.info()?;
            Some((info.layers, info.scales.clone()))
        })
    });
    let maps = Memo::new(move |_| {
        let (Some(word), Some((layers, scales))) = (word.get(), shape.get()) else {
            return Vec::new();
        };
        patches(&word, layers, &scales, layer.get().checked_sub(1))
    });
    let image = loaded(state);
    let export = move |_| {
        let Some(image) = image.get_untracked() else {
            return;
        };
        let fusion = state.fusion.get_untracked().or_else(|| trained(state));
        let layers = shape.get_untracked().map_or(0, |(layers, _)| layers);
        let shown = text::layer(layer.get_untracked(), layers);
        let note = fusion.map_or_else(String::new, |fusion| {
            text::sheet_note(&shown, fusion.alpha, fusion.beta, fusion.gamma)
        });
        let texts: Vec<String> =
            all.with_untracked(|all| all.iter().map(|word| word.text.clone()).collect());
        let sheet = maps
            .with_untracked(|maps| draw::sheet(&image, maps, &texts, place.get_untracked(), &note));
        spawn_local(async move {
            if let Some(sheet) = sheet
                && let Some(blob) = crate::camera::blob(&sheet).await
            {
                share::save("sight.png", &blob);
            }
        });
    };
    // A caption on its way has no words for a moment: nothing jumps for that.
    let awaited = move || state.caption.with(|caption| caption.progress.is_active());
    let empty = move || all.with(Vec::is_empty) && !awaited();
    view! {
        <p class="note">{text::SIGHT_HINT}</p>
        <p hidden=move || !empty()>{text::SIGHT_EMPTY}</p>
        <div class="seen" hidden=empty>
            <WordList all place />
            <Compare state />
            <div class="maps">
                {move || {
                    let scales = shape.get().map_or_else(Vec::new, |(_, scales)| scales);
                    scales.into_iter().enumerate().map(|(index, tokens)| {
                        let map = Signal::derive(move || {
                            maps.with(|maps| maps.get(index).cloned().unwrap_or_default())
                        });
                        view! { <Map tokens map image word /> }
                    }).collect_view()
                }}
            </div>
            <p class="legend">
                <span class="swatch kept" aria-hidden="true"></span>{text::LEGEND_KEPT}
                <span class="swatch gone" aria-hidden="true"></span>{text::LEGEND_DROPPED}
            </p>
            <Layers layer shape />
            <button type="button" class="plain" id="export" on:click=export>{text::EXPORT}</button>
        </div>
        <Sliders state />
    }
}

fn trained(state: State) -> Option<adem_protocol::Fusion> {
    state
        .model
        .with_untracked(|model| model.info().map(|info| info.fusion))
}

/// The picture in view, once it can be drawn.
fn loaded(state: State) -> RwSignal<Option<HtmlImageElement>, LocalStorage> {
    let image = RwSignal::new_local(None);
    let address = Memo::new(move |_| {
        let item = state.gallery.current()?;
        Some(item.picture.with(|picture| picture.url.clone()))
    });
    Effect::new(move |_| {
        let Some(url) = address.get() else {
            image.set(None);
            return;
        };
        spawn_local(async move {
            let Ok(element) = HtmlImageElement::new() else {
                return;
            };
            element.set_src(&url);
            let drawable = JsFuture::from(element.decode()).await.is_ok();
            if address.try_get_untracked().flatten().as_deref() == Some(&url) {
                image.set(drawable.then_some(element));
            }
        });
    });
    image
}

/// The words as a row of buttons, one tab stop, gone through with the arrow keys.
#[component]
fn WordList(all: Memo<Vec<Word>>, place: RwSignal<usize>) -> impl IntoView {
    let list = NodeRef::<html::Div>::new();
    let keys = move |event: KeyboardEvent| {
        let last = all.with_untracked(Vec::len).saturating_sub(1);
        let now = place.get_untracked().min(last);
        let next = match event.key().as_str() {
            "ArrowRight" => (now + 1).min(last),
            "ArrowLeft" => now.saturating_sub(1),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        place.set(next);
        let element = list
            .get_untracked()
            .and_then(|list| list.children().item(next as u32));
        if let Some(element) = element {
            let _ = element.unchecked_into::<HtmlElement>().focus();
        }
    };
    let buttons = move || {
        let texts: Vec<String> = all.with(|all| all.iter().map(|word| word.text.clone()).collect());
        let last = texts.len().saturating_sub(1);
        texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                let chosen = move || place.get().min(last) == index;
                view! {
                    <button
                        type="button"
                        class="word"
                        aria-pressed=move || chosen().to_string()
                        tabindex=move || if chosen() { "0" } else { "-1" }
                        on:mouseenter=move |_| place.set(index)
                        on:focus=move |_| place.set(index)
                        on:click=move |_| place.set(index)
                    >
                        {text}
                    </button>
                }
            })
            .collect_view()
    };
    view! {
        <div class="wordlist" id="words" role="toolbar" aria-label=text::SIGHT_WORDS node_ref=list on:keydown=keys>
            {buttons}
        </div>
    }
}

/// What the numbers have changed.
#[component]
fn Compare(state: State) -> impl IntoView {
    let difference = Memo::new(move |_| {
        state.fusion.get()?;
        let before = state.gallery.current()?.trained.get()?;
        let now = state.caption.with(|caption| {
            (caption.progress == Progress::Done && caption.fusion.is_some())
                .then(|| caption.text.clone())
        })?;
        Some((before, now))
    });
    move || {
        difference.get().map(|(before, now)| {
            let same = before == now;
            let marked: Vec<_> = changed(&before, &now)
                .into_iter()
                .map(|(word, new)| match new {
                    true => view! { <ins>{format!("{word} ")}</ins> }.into_any(),
                    false => format!("{word} ").into_any(),
                })
                .collect();
            view! {
                <div class="compare" id="compare">
                    <p class="note">{text::BEFORE} " " {before}</p>
                    <p>{if same { text::SAME.into_any() } else { marked.into_any() }}</p>
                </div>
            }
        })
    }
}

/// One scale's map.
#[component]
fn Map(
    tokens: usize,
    map: Signal<Vec<Patch>>,
    image: RwSignal<Option<HtmlImageElement>, LocalStorage>,
    word: Memo<Option<Word>>,
) -> impl IntoView {
    let canvas = NodeRef::<html::Canvas>::new();
    Effect::new(move |_| {
        let (Some(canvas), Some(image)) = (canvas.get(), image.get()) else {
            return;
        };
        let (width, height) = (image.natural_width(), image.natural_height());
        let scale = (WIDTH / f64::from(width.max(height).max(1))).max(0.1);
        canvas.set_width((f64::from(width) * scale) as u32);
        canvas.set_height((f64::from(height) * scale) as u32);
        map.with(|patches| draw::map(&canvas, &image, patches));
    });
    let said = move || {
        let dropped = map.with(|map| map.iter().filter(|patch| patch.dropped >= 0.5).count());
        let word = word.with(|word| {
            word.as_ref()
                .map_or_else(String::new, |word| word.text.clone())
        });
        text::map(&word, tokens, dropped)
    };
    let gone = move || map.with(|map| map.iter().filter(|patch| patch.dropped == 1.0).count());
    view! {
        <figure class="map" data-tokens=tokens.to_string() data-dropped=move || gone().to_string()>
            <canvas node_ref=canvas role="img" aria-label=said></canvas>
            <figcaption class="note">{text::scale(tokens)}</figcaption>
        </figure>
    }
}

#[component]
fn Layers(layer: RwSignal<usize>, shape: Memo<Option<(usize, Vec<usize>)>>) -> impl IntoView {
    let layers = move || shape.get().map_or(0, |(layers, _)| layers);
    let turned = move |event: Event| {
        let input: HtmlInputElement = event_target(&event);
        layer.set(input.value_as_number() as usize);
    };
    let shown = move || text::layer(layer.get(), layers());
    view! {
        <label class="slider">
            <span>{text::LAYER}</span>
            <input
                id="layer"
                type="range"
                min="0"
                step="1"
                max=move || layers().to_string()
                prop:value=move || layer.get().to_string()
                aria-valuetext=shown
                on:input=turned
            />
            <output>{shown}</output>
        </label>
    }
}
