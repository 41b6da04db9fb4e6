//! Asking the browser for its graphics adapter.
//!
//! By name, through JavaScript's own reflection: the bindings to WebGPU are still marked unstable.

use adem_protocol::Adapter;
use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Limits that decide what a model may ask of an adapter.
const LIMITS: [&str; 7] = [
    "maxBufferSize",
    "maxStorageBufferBindingSize",
    "maxStorageBuffersPerShaderStage",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
    "maxComputeWorkgroupSizeX",
    "maxComputeWorkgroupsPerDimension",
];

/// A graphics adapter, and what it can do.
#[derive(Clone, Debug, PartialEq)]
pub struct Capabilities {
    pub adapter: Adapter,
    /// Name and value of each limit.
    pub limits: Vec<(&'static str, f64)>,
    /// Optional features it has.
    pub features: Vec<String>,
}

/// The adapter: `None` where the browser has no WebGPU, `Some(None)` where it has no adapter.
pub async fn capabilities() -> Option<Option<Capabilities>> {
    let navigator = web_sys::window()?.navigator();
    let gpu = property(&navigator, "gpu")?;
    Some(request(&gpu).await)
}

async fn request(gpu: &JsValue) -> Option<Capabilities> {
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
    let limits = property(&adapter, "limits").unwrap_or(JsValue::UNDEFINED);
    let limit = |name| Some((name, property(&limits, name)?.as_f64()?));
    let features = property(&adapter, "features").unwrap_or(JsValue::UNDEFINED);
    let features = match js_sys::try_iter(&features) {
        Ok(Some(_)) => Array::from(&features),
        _ => Array::new(),
    };
    Some(Capabilities {
        adapter: Adapter {
            name: text("description").unwrap_or_else(|| maker.join(" ")),
            fallback,
        },
        limits: LIMITS.into_iter().filter_map(limit).collect(),
        features: features.iter().filter_map(|it| it.as_string()).collect(),
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
