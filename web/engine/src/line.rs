//! The worker's end of the line to the page.

use crate::inbox::{Inbox, Parcel};
use adem_protocol::{Ask, Tell, decode, encode};
use js_sys::{Array, ArrayBuffer, Float32Array, Uint8Array};
use std::{panic, rc::Rc};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{DedicatedWorkerGlobalScope, File, MessageEvent, PromiseRejectionEvent};

/// Puts what the page asks into `inbox`, and tells it should the engine fail. `false` outside a
/// worker.
pub(crate) fn open(inbox: Rc<Inbox>) -> bool {
    let Some(scope) = scope() else {
        return false;
    };
    panic::set_hook(Box::new(|panic| lost(&panic.to_string())));
    let hear = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
        match read(&event.data()) {
            Ok((ask, parcel)) => inbox.put(ask, parcel),
            Err(message) => lost(&message),
        }
    });
    scope.set_onmessage(Some(hear.as_ref().unchecked_ref()));
    // Where WebAssembly itself gives up, as it does out of memory, no panic is seen.
    let fail = Closure::<dyn FnMut(PromiseRejectionEvent)>::new(|event: PromiseRejectionEvent| {
        event.prevent_default();
        lost(&words(&event.reason()));
    });
    let listened =
        scope.add_event_listener_with_callback("unhandledrejection", fail.as_ref().unchecked_ref());
    // For as long as the worker lives.
    hear.forget();
    fail.forget();
    listened.is_ok()
}

/// Tells the page.
pub(crate) fn tell(tell: &Tell) {
    send(tell, None);
}

/// Tells the page, and gives it `scores`.
pub(crate) fn tell_with(tell: &Tell, scores: &[f32]) {
    send(tell, Some(Float32Array::from(scores).buffer()));
}

fn send(tell: &Tell, buffer: Option<ArrayBuffer>) {
    // Either fails only for values that cannot be sent, and these can.
    if let (Some(scope), Ok(text)) = (scope(), encode(tell)) {
        let message = Array::of1(&JsValue::from_str(&text));
        let transfer = Array::new();
        if let Some(buffer) = buffer {
            message.push(&buffer);
            transfer.push(&buffer);
        }
        let _ = scope.post_message_with_transfer(&message, &transfer);
    }
}

fn lost(message: &str) {
    tell(&Tell::Unusable {
        message: message.to_owned(),
    });
}

fn scope() -> Option<DedicatedWorkerGlobalScope> {
    js_sys::global().dyn_into().ok()
}

/// The message and what is with it.
fn read(data: &JsValue) -> Result<(Ask, Parcel), String> {
    let data: &Array = data.unchecked_ref();
    let text = data.get(0).as_string().unwrap_or_default();
    let ask = decode(&text).map_err(|malformed| malformed.to_string())?;
    let mut parcel = Parcel::default();
    for item in data.iter().skip(1) {
        match item.dyn_into::<ArrayBuffer>() {
            Ok(buffer) => parcel.picture = Some(Uint8Array::new(&buffer).to_vec()),
            Err(item) => parcel.files.extend(item.dyn_into::<File>().ok()),
        }
    }
    Ok((ask, parcel))
}

fn words(reason: &JsValue) -> String {
    reason
        .dyn_ref::<js_sys::Error>()
        .map_or_else(|| format!("{reason:?}"), |error| error.message().into())
}
