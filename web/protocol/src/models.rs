//! Where models come from and which of them are kept.

use serde::{Deserialize, Serialize};

/// Where a package is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The absolute address of the folder that holds `adem.json`.
    Address(String),
    /// The files that travel with the message, of the folder of this name.
    Folder(String),
    /// On this device: a [`StoredModel::id`].
    Stored(String),
}

/// How far the loading of a package is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loading {
    /// Bytes that were on this device before.
    pub cached: u64,
    /// Bytes that have arrived since.
    pub fetched: u64,
    /// Bytes in all; 0 before the manifest is there.
    pub total: u64,
    /// Bytes that were read, checked and handed to the model.
    pub read: u64,
}

/// A model on this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredModel {
    /// The first digits of its manifest's SHA-256.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it came from.
    pub origin: String,
    /// Bytes it takes here.
    pub bytes: u64,
    /// Whether all of it is here and was checked.
    pub complete: bool,
}
