//! Letting the worker's event loop turn.

use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, MessagePort};

/// A way to wait for one turn of the event loop, so that messages from the page come in.
///
/// A message to oneself takes microseconds; a timer takes at least four milliseconds, as long as
/// a token.
pub(crate) struct Pause {
    ends: Option<(MessagePort, MessagePort)>,
}

impl Pause {
    pub(crate) fn new() -> Self {
        let ends = MessageChannel::new().ok();
        Pause {
            ends: ends.map(|channel| (channel.port1(), channel.port2())),
        }
    }

    /// Waits for one turn.
    pub(crate) async fn once(&self) {
        let Some((near, far)) = &self.ends else {
            return;
        };
        let turn = Promise::new(&mut |resolve: Function, _| {
            near.set_onmessage(Some(resolve.unchecked_ref()));
            // Sending nothing through an open channel cannot fail.
            let _ = far.post_message(&JsValue::NULL);
        });
        // This promise is never rejected.
        let _ = JsFuture::from(turn).await;
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if let Some((near, far)) = &self.ends {
            near.close();
            far.close();
        }
    }
}
