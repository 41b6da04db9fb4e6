//! The page's end of the line to an engine.

use crate::{offline, output::Scores, page, text};
use adem_protocol::{Ask, EngineKind, Tell, decode, encode};
use js_sys::{Array, ArrayBuffer, Float32Array, Reflect};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{
    Blob, BlobPropertyBag, Event, File, MessageEvent, Url, Worker, WorkerOptions, WorkerType,
};

/// A running engine. Dropping it ends the worker and whatever it was doing.
pub struct Engine {
    worker: Worker,
    _script: Script,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(Event)>,
}

impl Engine {
    /// Starts the worker; all it tells goes to `hear`, with the scores that came along, a failure to
    /// start or a crash included. `foreign` is an origin beside the page's own that it may fetch
    /// from, where the reader has asked for that.
    ///
    /// # Errors
    /// What the browser says where it cannot start a worker at all.
    pub fn start(
        kind: EngineKind,
        foreign: Option<&str>,
        hear: impl Fn(Tell, Option<Scores>) + 'static,
    ) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let script = Script::of(kind, foreign).map_err(|error| words(&error))?;
        let worker = Worker::new_with_options(script.address(), &options);
        let worker = worker.map_err(|error| words(&error))?;
        let hear = Rc::new(hear);
        let message = {
            let hear = Rc::clone(&hear);
            Closure::new(move |event: MessageEvent| {
                let data: Array = event.data().unchecked_into();
                let text = data.get(0).as_string().unwrap_or_default();
                let tell = decode(&text).unwrap_or_else(|malformed| Tell::Unusable {
                    message: malformed.to_string(),
                });
                let buffer = data.get(1).dyn_into::<ArrayBuffer>().ok();
                let scores = buffer.map(|buffer| Float32Array::new(&buffer).to_vec());
                hear(tell, scores.map(|scores| Scores(scores.into())));
            })
        };
        let error = Closure::new(move |event: Event| {
            // Handled here, so it is no concern of the console.
            event.prevent_default();
            // A script that is not there makes an event without a message.
            let message = Reflect::get(&event, &JsValue::from_str("message"));
            let message = message.ok().and_then(|message| message.as_string());
            let tell = Tell::Unusable {
                message: message.unwrap_or_else(|| text::NO_ENGINE.into()),
            };
            hear(tell, None);
        });
        worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(error.as_ref().unchecked_ref()));
        Ok(Engine {
            worker,
            _script: script,
            _message: message,
            _error: error,
        })
    }

    /// Sends `ask`, and with it what else there is to send: a picture, which is given away, or the
    /// files of a package.
    ///
    /// # Errors
    /// What the browser says where the message cannot be sent.
    pub fn ask(
        &self,
        ask: &Ask,
        picture: Option<&ArrayBuffer>,
        files: &[File],
    ) -> Result<(), String> {
        let text = encode(ask).map_err(|malformed| malformed.to_string())?;
        let message = Array::of1(&JsValue::from_str(&text));
        let transfer = Array::new();
        if let Some(picture) = picture {
            message.push(picture);
            transfer.push(picture);
        }
        for file in files {
            message.push(file);
        }
        self.worker
            .post_message_with_transfer(&message, &transfer)
            .map_err(|error| words(&error))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.worker.set_onmessage(None);
        self.worker.set_onerror(None);
        self.worker.terminate();
    }
}

/// Where a worker's script lies; to be kept while the worker lives.
///
/// A worker's content policy comes with the answer that brings its script. The page's own copy
/// sends one ([`offline`]); a plain host sends none, as at the first visit. A script that the page
/// makes itself has the page's policy, so there one line of such a script brings the real one. Only
/// the page's own copy can allow another origin.
enum Script {
    Served(String),
    Made(String),
}

impl Script {
    fn of(kind: EngineKind, foreign: Option<&str>) -> Result<Self, JsValue> {
        let script = kind.script();
        if let Some(origin) = foreign {
            let origin = String::from(js_sys::encode_uri_component(origin));
            return Ok(Script::Served(format!("{script}&allow={origin}")));
        }
        if offline::is_controlled() {
            return Ok(Script::Served(script.to_owned()));
        }
        let page = page::address().unwrap_or_default();
        let script = Url::new_with_base(script, &page)?.href();
        let line = Array::of1(&format!("import {script:?};").into());
        let options = BlobPropertyBag::new();
        options.set_type("text/javascript");
        let blob = Blob::new_with_str_sequence_and_options(&line, &options)?;
        Url::create_object_url_with_blob(&blob).map(Script::Made)
    }

    fn address(&self) -> &str {
        let (Script::Served(address) | Script::Made(address)) = self;
        address
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Script::Made(address) = self {
            // An address that was made can be taken back.
            let _ = Url::revoke_object_url(address);
        }
    }
}

/// What a thrown value says.
pub fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |error| error.message().into())
}
