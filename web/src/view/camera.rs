//! What the camera sees, and what to do with it.

use crate::{camera::shoot, page, state::State, text};
use leptos::{html::Video, prelude::*, task::spawn_local};

/// The button that switches the camera on.
#[component]
pub fn OpenCamera(state: State) -> impl IntoView {
    let open = move |_| spawn_local(state.camera.open());
    view! {
        <button type="button" class="plain" id="camera" on:click=open>{text::CAMERA}</button>
    }
}

/// The camera's picture with its buttons.
#[component]
pub fn CameraView(state: State) -> impl IntoView {
    let camera = state.camera;
    let video = NodeRef::<Video>::new();
    Effect::new(move |_| {
        if let Some(video) = video.get() {
            video.set_src_object(camera.stream.get().as_ref());
        }
    });
    let take = move |_| {
        camera.problem.set(None);
        if let Some(video) = video.get_untracked() {
            state.take_one(async move {
                shoot(&video)
                    .await
                    .ok_or(text::no_camera(text::CAMERA_DARK))
            });
        }
    };
    let live = move |_| {
        camera.live.update(|live| *live = !*live);
        if !camera.live.get_untracked() {
            state.stop();
        }
    };
    // The newest frame, as soon as what came before is described: none is ever kept waiting.
    let number = RwSignal::new(None::<u64>);
    Effect::new(move |_| {
        if !camera.live.get() {
            number.set(None);
            return;
        }
        let item = number
            .get()
            .and_then(|_| state.gallery.current())
            .filter(|item| number.get_untracked() == Some(item.id));
        let busy =
            item.is_some_and(|item| item.caption.with(|caption| caption.progress.is_active()));
        let Some(video) = video.get().filter(|_| !busy) else {
            return;
        };
        spawn_local(async move {
            // The next painted frame: a camera shows no more of them than the screen.
            next_frame().await;
            let Some(picture) = shoot(&video).await else {
                return;
            };
            if !camera.live.get_untracked() {
                return;
            }
            match item {
                Some(item) => state.replace(item, picture),
                None => number.set(state.add_live(picture)),
            }
        });
    });
    on_cleanup(move || camera.close());
    let label = move || match camera.live.get() {
        true => text::CAMERA_LIVE_END,
        false => text::CAMERA_LIVE,
    };
    view! {
        <div class="camera">
            <video node_ref=video autoplay muted playsinline aria-label=text::CAMERA_VIEW></video>
            <div class="row">
                <button type="button" id="shoot" on:click=take>{text::CAMERA_SHOOT}</button>
                <button type="button" id="live" aria-pressed=move || camera.live.get().to_string() on:click=live>
                    {label}
                </button>
                <button type="button" id="camera-close" on:click=move |_| {
                    camera.close();
                    page::focus(&["#camera"]);
                }>
                    {text::CAMERA_CLOSE}
                </button>
            </div>
        </div>
    }
}

async fn next_frame() {
    let frame = js_sys::Promise::new(&mut |resolve, _| {
        if let Some(window) = web_sys::window() {
            let _ = window.request_animation_frame(&resolve);
        }
    });
    let _ = wasm_bindgen_futures::JsFuture::from(frame).await;
}
