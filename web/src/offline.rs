//! The page without a network: its service worker, and newer pages that wait their turn.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Event, ServiceWorker, ServiceWorkerContainer, ServiceWorkerRegistration, ServiceWorkerState,
};

/// The worker's script, beside the page.
const SCRIPT: &str = "sw.js";

thread_local! {
    static PREPARED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Has the page kept for visits without a network, once; `update` tells when a newer one is ready.
///
/// Asked for late, when the model is there: keeping the page must not delay showing it.
pub fn prepare(update: RwSignal<bool>) {
    let Some(container) = container().filter(|_| !PREPARED.replace(true)) else {
        return;
    };
    spawn_local(async move {
        let registered = JsFuture::from(container.register(SCRIPT)).await;
        // Where that is refused, as in a private window, the page needs its network; that is all.
        if let Some(registration) = registered.ok().and_then(|it| it.dyn_into().ok()) {
            watch(registration, update);
        }
    });
}

/// Lets the newer page take over, and shows it.
pub fn take_over() {
    spawn_local(async {
        let Some(container) = container() else {
            return;
        };
        let reload = Closure::<dyn FnMut()>::new(reload_page);
        container.set_oncontrollerchange(Some(reload.as_ref().unchecked_ref()));
        reload.forget();
        let registration = JsFuture::from(container.get_registration()).await;
        let waiting = registration
            .ok()
            .and_then(|it| it.dyn_into::<ServiceWorkerRegistration>().ok())
            .and_then(|registration| registration.waiting());
        match waiting {
            Some(worker) => drop(worker.post_message(&JsValue::from_str("take over"))),
            // Another tab was first: it runs already, and only this page is old.
            None => reload_page(),
        }
    });
}

fn reload_page() {
    if let Some(window) = web_sys::window() {
        let _ = window.location().reload();
    }
}

fn watch(registration: ServiceWorkerRegistration, update: RwSignal<bool>) {
    update.set(registration.waiting().is_some() && is_controlled());
    let of = registration.clone();
    let found = Closure::<dyn FnMut()>::new(move || {
        if let Some(worker) = of.installing() {
            watch_installing(&worker, update);
        }
    });
    registration.set_onupdatefound(Some(found.as_ref().unchecked_ref()));
    // For as long as the page lives.
    found.forget();
    if let Some(worker) = registration.installing() {
        watch_installing(&worker, update);
    }
}

fn watch_installing(worker: &ServiceWorker, update: RwSignal<bool>) {
    let changed = Closure::<dyn FnMut(Event)>::new(move |event: Event| {
        let worker: ServiceWorker = event_target(&event);
        // The very first one has nobody to replace.
        if worker.state() == ServiceWorkerState::Installed && is_controlled() {
            update.set(true);
        }
    });
    worker.set_onstatechange(Some(changed.as_ref().unchecked_ref()));
    changed.forget();
}

/// Whether the page works without a network.
pub fn is_controlled() -> bool {
    container().is_some_and(|container| container.controller().is_some())
}

/// `None` where the page has no service workers: over plain HTTP, or in some private windows.
fn container() -> Option<ServiceWorkerContainer> {
    let container = web_sys::window()?.navigator().service_worker();
    (!container.is_undefined()).then_some(container)
}
