//! The page's end of the line to an engine.

use crate::text;
use adem_protocol::{Ask, EngineKind, Tell, decode, encode};
use js_sys::{Array, ArrayBuffer, Reflect};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Event, MessageEvent, Worker, WorkerOptions, WorkerType};

/// A running engine. Dropping it ends the worker and whatever it was doing.
pub struct Engine {
    worker: Worker,
    _message: Closure<dyn FnMut(MessageEvent)>,
    _error: Closure<dyn FnMut(Event)>,
}

impl Engine {
    /// Starts the worker; all it tells goes to `hear`, a failure to start or a crash included.
    ///
    /// # Errors
    /// What the browser says where it cannot start a worker at all.
    pub fn start(kind: EngineKind, hear: impl Fn(Tell) + 'static) -> Result<Self, String> {
        let options = WorkerOptions::new();
        options.set_type(WorkerType::Module);
        let worker =
            Worker::new_with_options(kind.script(), &options).map_err(|error| words(&error))?;
        let hear = Rc::new(hear);
        let message = {
            let hear = Rc::clone(&hear);
            Closure::new(move |event: MessageEvent| {
                let text = event.data().as_string().unwrap_or_default();
                hear(decode(&text).unwrap_or_else(|malformed| Tell::Unusable {
                    message: malformed.to_string(),
                }));
            })
        };
        let error = Closure::new(move |event: Event| {
            // Handled here, so it is no concern of the console.
            event.prevent_default();
            // A script that is not there makes an event without a message.
            let message = Reflect::get(&event, &JsValue::from_str("message"));
            let message = message.ok().and_then(|message| message.as_string());
            hear(Tell::Unusable {
                message: message.unwrap_or_else(|| text::NO_ENGINE.into()),
            });
        });
        worker.set_onmessage(Some(message.as_ref().unchecked_ref()));
        worker.set_onerror(Some(error.as_ref().unchecked_ref()));
        Ok(Engine {
            worker,
            _message: message,
            _error: error,
        })
    }

    /// Sends `ask`, and with it a picture, which is given away.
    ///
    /// # Errors
    /// What the browser says where the message cannot be sent.
    pub fn ask(&self, ask: &Ask, picture: Option<&ArrayBuffer>) -> Result<(), String> {
        let text = encode(ask).map_err(|malformed| malformed.to_string())?;
        let message = Array::of1(&JsValue::from_str(&text));
        let transfer = Array::new();
        if let Some(picture) = picture {
            message.push(picture);
            transfer.push(picture);
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

/// What a thrown value says.
pub fn words(error: &JsValue) -> String {
    error
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{error:?}"), |error| error.message().into())
}
