//! What the browser knows of this page: its address, its clock, its small memory.

use leptos::prelude::set_timeout;
use std::time::Duration;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, UrlSearchParams};

/// The page's address.
pub fn address() -> Option<String> {
    web_sys::window()?.location().href().ok()
}

/// A parameter of the page's address.
pub fn parameter(name: &str) -> Option<String> {
    let search = web_sys::window()?.location().search().ok()?;
    UrlSearchParams::new_with_str(&search).ok()?.get(name)
}

/// Milliseconds since the navigation.
pub fn now() -> Option<f64> {
    Some(web_sys::window()?.performance()?.now())
}

/// What was remembered under `key`; nothing in a private window.
pub fn recall(key: &str) -> Option<String> {
    let storage = web_sys::window()?.local_storage().ok()??;
    storage.get_item(key).ok()?
}

/// Remembers `value` for the next visit, or forgets what was remembered.
pub fn remember(key: &str, value: Option<&str>) {
    let storage = web_sys::window().and_then(|window| window.local_storage().ok()?);
    if let Some(storage) = storage {
        // A browser that keeps nothing is one that measures again.
        let _ = match value {
            Some(value) => storage.set_item(key, value),
            None => storage.remove_item(key),
        };
    }
}

/// Moves the focus to what the first of `selectors` finds, once the page has changed.
pub fn focus(selectors: &'static [&str]) {
    let focus = move || {
        let document = web_sys::window()?.document()?;
        let find = |selector: &&str| document.query_selector(selector).ok()?;
        let found = selectors.iter().find_map(find)?;
        found.dyn_into::<HtmlElement>().ok()?.focus().ok()
    };
    set_timeout(
        move || {
            // What is no longer there cannot be focused.
            let _ = focus();
        },
        Duration::ZERO,
    );
}
