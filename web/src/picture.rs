//! Pictures from the reader: dropped, pasted, chosen, photographed, or one of the samples.
//!
//! The page holds the file and nothing of what is in it: no name of a camera or place is read,
//! kept or handed out.

use crate::{client::words, text};
use js_sys::ArrayBuffer;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DataTransfer, File, FileList, Response, Url};

/// Largest file that is read; cameras stay far below it.
const LARGEST: f64 = 64.0 * 1024.0 * 1024.0;

/// A picture as the page holds it: a file that nobody has read yet.
pub struct Picture {
    /// The file's name.
    pub name: String,
    /// Address that an `img` can show.
    pub url: String,
    blob: Blob,
}

impl Picture {
    /// A picture in `blob`.
    ///
    /// # Errors
    /// What the browser says where it gives it no address.
    pub fn new(blob: Blob, name: String) -> Result<Self, String> {
        Ok(Picture {
            url: Url::create_object_url_with_blob(&blob).map_err(|error| words(&error))?,
            blob,
            name,
        })
    }

    /// A file that was dropped, pasted or chosen.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn of(file: File) -> Result<Self, String> {
        let name = file.name();
        Self::new(file.into(), name)
    }

    /// Fetches a sample from beside the page.
    ///
    /// # Errors
    /// In words, where it cannot be fetched.
    pub async fn fetch(sample: &str) -> Result<Self, String> {
        let window = web_sys::window().ok_or(text::NO_WINDOW)?;
        let fetched = JsFuture::from(window.fetch_with_str(sample)).await;
        let response: Response = fetched.map_err(|error| words(&error))?.unchecked_into();
        if !response.ok() {
            return Err(text::not_fetched(sample, response.status()));
        }
        let blob = response.blob().map_err(|error| words(&error))?;
        let blob = JsFuture::from(blob).await.map_err(|error| words(&error))?;
        let name = sample.rsplit('/').next().unwrap_or(sample);
        Self::new(blob.unchecked_into(), name.to_owned())
    }

    /// The bytes, to give away.
    ///
    /// # Errors
    /// In words, where the file is too large or the browser cannot read it.
    pub async fn bytes(&self) -> Result<ArrayBuffer, String> {
        if self.blob.size() > LARGEST {
            return Err(text::too_large(self.blob.size(), LARGEST));
        }
        let buffer = JsFuture::from(self.blob.array_buffer()).await;
        let buffer = buffer.map_err(|error| text::unreadable(&words(&error)))?;
        Ok(buffer.unchecked_into())
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // The address holds the bytes for as long as it exists.
        let _ = Url::revoke_object_url(&self.url);
    }
}

/// The files that were dropped or pasted.
pub fn dropped(transfer: Option<DataTransfer>) -> Vec<File> {
    transfer.map_or_else(Vec::new, |transfer| listed(transfer.files()))
}

/// The files of a list.
pub fn listed(list: Option<FileList>) -> Vec<File> {
    let Some(list) = list else {
        return Vec::new();
    };
    (0..list.length())
        .filter_map(|place| list.get(place))
        .collect()
}
