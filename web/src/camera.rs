//! The camera: one picture, or one after another.

use crate::{client::words, picture::Picture, text};
use js_sys::{Array, Object, Promise, Reflect};
use leptos::{prelude::*, reactive::owner::LocalStorage};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, CanvasRenderingContext2d, HtmlCanvasElement, HtmlVideoElement, MediaStream,
    MediaStreamConstraints, MediaStreamTrack,
};

/// A camera that may be on.
#[derive(Clone, Copy)]
pub struct Camera {
    /// What it sees, while it is on.
    pub stream: RwSignal<Option<MediaStream>, LocalStorage>,
    /// Whether what it sees is described again and again.
    pub live: RwSignal<bool>,
    /// Why there is none.
    pub problem: RwSignal<Option<String>>,
    /// Whether the reader is being asked for it.
    asking: StoredValue<bool>,
}

impl Camera {
    /// One that is off.
    pub fn new() -> Self {
        Camera {
            stream: RwSignal::new_local(None),
            live: RwSignal::new(false),
            problem: RwSignal::new(None),
            asking: StoredValue::new(false),
        }
    }

    /// Asks the reader for the camera, unless it is on or being asked for.
    pub async fn open(self) {
        if self.asking.get_value() || self.stream.with_untracked(Option::is_some) {
            return;
        }
        self.problem.set(None);
        self.asking.set_value(true);
        let asked = stream().await;
        self.asking.set_value(false);
        match asked {
            Ok(stream) => {
                self.watch(&stream);
                self.stream.set(Some(stream));
            }
            Err(error) => self.problem.set(Some(text::no_camera(&words(&error)))),
        }
    }

    /// Switches off, and says so, when the camera is taken away.
    fn watch(self, stream: &MediaStream) {
        for track in stream.get_tracks().iter() {
            let gone = Closure::once_into_js(move || {
                self.close();
                self.problem.set(Some(text::no_camera(text::CAMERA_GONE)));
            });
            let track: MediaStreamTrack = track.unchecked_into();
            track.set_onended(Some(gone.unchecked_ref()));
        }
    }

    /// Switches it off: its light goes out.
    pub fn close(self) {
        self.live.set(false);
        if let Some(stream) = self.stream.get_untracked() {
            for track in stream.get_tracks().iter() {
                track.unchecked_into::<MediaStreamTrack>().stop();
            }
        }
        self.stream.set(None);
    }
}

async fn stream() -> Result<MediaStream, JsValue> {
    let window = web_sys::window().ok_or(JsValue::NULL)?;
    let devices = window.navigator().media_devices()?;
    if devices.is_undefined() {
        return Err(js_sys::Error::new(text::INSECURE).into());
    }
    // The one that looks away from the reader, where there are two.
    let video = Object::new();
    Reflect::set(&video, &"facingMode".into(), &"environment".into())?;
    let wanted = MediaStreamConstraints::new();
    wanted.set_video(&video);
    let stream = devices.get_user_media_with_constraints(&wanted)?;
    Ok(JsFuture::from(stream).await?.unchecked_into())
}

/// What `video` shows now, as a picture; `None` before it shows anything.
pub async fn shoot(video: &HtmlVideoElement) -> Option<Picture> {
    let (width, height) = (video.video_width(), video.video_height());
    if width == 0 || height == 0 {
        return None;
    }
    let canvas = canvas(width, height)?;
    context(&canvas)?
        .draw_image_with_html_video_element(video, 0.0, 0.0)
        .ok()?;
    let blob = blob(&canvas).await?;
    Picture::new(blob, text::CAMERA_PICTURE.into()).ok()
}

/// A canvas of this size that is on no page.
pub fn canvas(width: u32, height: u32) -> Option<HtmlCanvasElement> {
    let document = web_sys::window()?.document()?;
    let canvas: HtmlCanvasElement = document.create_element("canvas").ok()?.unchecked_into();
    canvas.set_width(width);
    canvas.set_height(height);
    Some(canvas)
}

/// How to draw on it.
pub fn context(canvas: &HtmlCanvasElement) -> Option<CanvasRenderingContext2d> {
    canvas.get_context("2d").ok()??.dyn_into().ok()
}

/// What is drawn on it, as a PNG file.
pub async fn blob(canvas: &HtmlCanvasElement) -> Option<Blob> {
    let made = Promise::new(&mut |resolve, _| {
        let callback = Closure::once_into_js(move |blob: JsValue| {
            let _ = resolve.apply(&JsValue::NULL, &Array::of1(&blob));
        });
        // A canvas of our own pixels can always be read.
        let _ = canvas.to_blob(callback.unchecked_ref());
    });
    JsFuture::from(made).await.ok()?.dyn_into().ok()
}
