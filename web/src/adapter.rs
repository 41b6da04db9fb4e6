//! Asking the browser for its graphics adapter.
//!
//! By name, through JavaScript's own reflection: the bindings to WebGPU are still marked unstable.

use adem_protocol::Adapter;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// The adapter: `None` where the browser has no WebGPU, `Some(None)` where it has no adapter.
pub async fn adapter() -> Option<Option<Adapter>> {
    let navigator = web_sys::window()?.navigator();
    let gpu = property(&navigator, "gpu")?;
    Some(request(&gpu).await)
}

async fn request(gpu: &JsValue) -> Option<Adapter> {
    let request: Function = property(gpu, "requestAdapter")?.dyn_into().ok()?;
    let promise: Promise = request.call0(gpu).ok()?.dyn_into().ok()?;
    let adapter = JsFuture::from(promise)
        .await
        .ok()
        .filter(JsValue::is_object)?;
    let info = property(&adapter, "info").unwrap_or(JsValue::UNDEFINED);
    let text = |name| {
        property(&info, name)
            .and_then(|value| value.as_string())
            .filter(|text| !text.is_empty())
    };
    let maker: Vec<String> = [text("vendor"), text("architecture")]
        .into_iter()
        .flatten()
        .collect();
    let fallback = [&info, &adapter]
        .into_iter()
        .any(|holder| property(holder, "isFallbackAdapter").is_some_and(|flag| flag.is_truthy()));
    Some(Adapter {
        name: text("description").unwrap_or_else(|| maker.join(" ")),
        fallback,
    })
}

/// A property that is there and neither null nor undefined.
fn property(holder: &JsValue, name: &str) -> Option<JsValue> {
    if !holder.is_object() {
        return None;
    }
    let value = Reflect::get(holder, &JsValue::from_str(name)).ok()?;
    (!value.is_null() && !value.is_undefined()).then_some(value)
}
