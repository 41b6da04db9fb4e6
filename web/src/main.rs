//! The page: drop in a picture, read its caption.
//!
//! It holds no model. An engine in a worker does (see `adem-engine`); the page chooses it, hands
//! it pictures and shows what it tells.

mod adapter;
mod camera;
mod client;
mod draw;
mod gallery;
mod offline;
mod output;
mod page;
mod picture;
mod share;
mod shipped;
mod sight;
mod state;
mod text;
mod view;

use leptos::prelude::*;
use state::State;

fn main() {
    mount_to_body(|| {
        let state = State::new();
        state.start();
        view! { <view::Page state /> }
    });
}
