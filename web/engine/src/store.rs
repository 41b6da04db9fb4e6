//! Models kept on this device: one folder each in the browser's private file system.
//!
//! A folder is named by the digest of its manifest, so builds of a model lie side by side and
//! never mix. Files grow part by part and are resumed where they ended; `adem.json` is written
//! last, after every digest was checked, so a folder that has it is whole.

use crate::opfs::{Directory, Mode, Refusal, read};
use adem_package::{Digest, MANIFEST_FILE, Manifest};
use adem_protocol::StoredModel;

/// The folder of all models.
const FOLDER: &str = "models";
/// The manifest before it counts.
const INCOMING: &str = "incoming.json";
/// The file that says where the model came from.
const ORIGIN: &str = "origin.txt";
/// Longest manifest or origin that is believed, bytes.
const SMALL: u64 = adem_package::limits::MANIFEST_BYTES;

/// All models on this device.
pub(crate) struct Store {
    models: Directory,
}

/// One model's folder.
pub(crate) struct Model {
    pub id: String,
    pub folder: Directory,
}

/// The short name of the manifest in `bytes`.
pub(crate) fn id_of(bytes: &[u8]) -> String {
    let mut id = Digest::of(bytes).to_string();
    id.truncate(16);
    id
}

impl Store {
    /// Opens the store, or says why this browser has none.
    pub async fn open() -> Result<Self, Refusal> {
        let root = Directory::root().await?;
        let models = root.directory(FOLDER, Mode::Make).await?;
        Ok(Store { models })
    }

    /// The folder for the model with this manifest, made where there is none.
    pub async fn model(&self, manifest: &[u8], origin: &str) -> Result<Model, Refusal> {
        let id = id_of(manifest);
        let folder = self.models.directory(&id, Mode::Make).await?;
        if folder.file(MANIFEST_FILE).await?.is_none() {
            folder.put(INCOMING, manifest).await?;
            folder.put(ORIGIN, origin.as_bytes()).await?;
        }
        Ok(Model { id, folder })
    }

    /// The whole model of this name, and its manifest.
    pub async fn complete(&self, id: &str) -> Result<Option<(Model, Vec<u8>)>, Refusal> {
        let folder = match self.models.directory(id, Mode::Find).await {
            Ok(folder) => folder,
            Err(refusal) if refusal.is_absence() => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        let manifest = small(&folder, MANIFEST_FILE).await?;
        let id = id.to_owned();
        Ok(manifest.map(|manifest| (Model { id, folder }, manifest)))
    }

    /// The manifest of the whole model that came from `origin`.
    pub async fn of_origin(&self, origin: &str) -> Result<Option<Vec<u8>>, Refusal> {
        for stored in self.list().await? {
            if stored.complete && stored.origin == origin {
                let found = self.complete(&stored.id).await?;
                return Ok(found.map(|(_, manifest)| manifest));
            }
        }
        Ok(None)
    }

    /// Declares `model` whole, and deletes what else came from its origin: older builds.
    pub async fn publish(
        &self,
        model: &Model,
        manifest: &[u8],
        origin: &str,
    ) -> Result<(), Refusal> {
        if model.folder.file(MANIFEST_FILE).await?.is_none() {
            model.folder.put(MANIFEST_FILE, manifest).await?;
            model.folder.remove(INCOMING).await?;
        }
        for stored in self.list().await? {
            if stored.origin == origin && stored.id != model.id {
                self.forget(&stored.id).await?;
            }
        }
        Ok(())
    }

    /// Every model, whole or not.
    pub async fn list(&self) -> Result<Vec<StoredModel>, Refusal> {
        let mut all = Vec::new();
        for id in self.models.names().await? {
            let folder = self.models.directory(&id, Mode::Find).await?;
            let whole = small(&folder, MANIFEST_FILE).await?;
            let complete = whole.is_some();
            let manifest = match whole {
                Some(manifest) => Some(manifest),
                None => small(&folder, INCOMING).await?,
            };
            let manifest = manifest.and_then(|bytes| Manifest::parse(&bytes).ok());
            let origin = small(&folder, ORIGIN).await?.unwrap_or_default();
            let mut bytes = 0;
            for name in folder.names().await? {
                let file = folder.file(&name).await?;
                bytes += file.map_or(0, |file| file.size() as u64);
            }
            all.push(StoredModel {
                name: manifest.map_or_else(|| id.clone(), |manifest| manifest.name),
                origin: String::from_utf8_lossy(&origin).into_owned(),
                id,
                bytes,
                complete,
            });
        }
        Ok(all)
    }

    /// Deletes a model.
    pub async fn forget(&self, id: &str) -> Result<(), Refusal> {
        self.models.remove(id).await
    }
}

impl Model {
    /// How much of `file` is here, bytes.
    pub async fn length(&self, file: &str) -> Result<u64, Refusal> {
        let file = self.folder.file(file).await?;
        Ok(file.map_or(0, |file| file.size() as u64))
    }
}

async fn small(folder: &Directory, name: &str) -> Result<Option<Vec<u8>>, Refusal> {
    match folder.file(name).await? {
        Some(file) if file.size() as u64 <= SMALL => {
            Ok(Some(read(&file, 0, file.size() as u64).await?))
        }
        _ => Ok(None),
    }
}
