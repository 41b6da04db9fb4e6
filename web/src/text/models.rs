//! Words about models: their way here, and those that are kept.

use super::{duration, megabytes};
use adem_protocol::{Loading, StoredModel};

pub const MODELS: &str = "Models on this device";
pub const MODELS_NONE: &str = "None yet.";
pub const MODEL_USE: &str = "Use";
pub const MODEL_DELETE: &str = "Delete";
pub const MODEL_USED: &str = "in use";
pub const MODEL_PARTIAL: &str = "not complete; its download goes on where it ended";
pub const MODEL_ADDRESS: &str = "Address of a package (the folder that holds adem.json)";
pub const MODEL_LOAD: &str = "Load";
pub const MODEL_FOLDER: &str = "Open a package from a folder";
pub const MODEL_HINT: &str = "A package from another site is checked like our own: every file against its SHA-256. That site must allow this page to read it (CORS).";
pub const LOADING_LABEL: &str = "Loading the model";
const NOT_AN_ADDRESS: &str = "is not the address of a folder; it begins with https://";

/// How far the model's way here is.
pub fn loading(loading: &Loading, elapsed_ms: f64) -> String {
    let Loading {
        cached,
        fetched,
        total,
        read,
    } = *loading;
    if total == 0 {
        return LOADING_LABEL.into();
    }
    if read > 0 {
        return format!(
            "Checking the model: {} of {}",
            megabytes(read),
            megabytes(total)
        );
    }
    let mut text = format!(
        "{LOADING_LABEL}: {} of {}",
        megabytes(cached + fetched),
        megabytes(total)
    );
    if cached > 0 {
        text.push_str(&format!(", {} of it kept from before", megabytes(cached)));
    }
    let left = total.saturating_sub(cached + fetched);
    // Nothing is foretold from the first moments.
    if left > 0 && fetched > 0 && elapsed_ms > 500.0 {
        let ms = elapsed_ms * left as f64 / fetched as f64;
        text.push_str(&format!(", {} left", duration(ms)));
    }
    text
}

/// A model on this device.
pub fn stored(model: &StoredModel) -> String {
    let state = if model.complete { "" } else { MODEL_PARTIAL };
    let parts = [&megabytes(model.bytes), &model.origin, state];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" · ")
}

/// The model will have to be fetched again.
pub fn unkept(why: &str) -> String {
    format!("The model is kept in memory only, and fetched again next time: {why}.")
}

/// Nothing can be kept here.
pub fn no_store(why: &str) -> String {
    format!("Models cannot be kept here: {why}.")
}

/// Not an address.
pub fn no_address(text: &str) -> String {
    format!("`{text}` {NOT_AN_ADDRESS}")
}
