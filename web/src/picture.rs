//! Pictures from the reader: dropped, pasted, chosen, or one of the samples.

use crate::{client::words, text};
use js_sys::ArrayBuffer;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DataTransfer, File, Response, Url};

/// Largest file that is read; cameras stay far below it.
const LARGEST: f64 = 64.0 * 1024.0 * 1024.0;

/// A picture as the page holds it: bytes nobody has decoded yet.
pub struct Picture {
    /// The file's name.
    pub name: String,
    /// Address that an `img` can show.
    pub url: String,
    buffer: ArrayBuffer,
}

impl Picture {
    /// Reads a file.
    ///
    /// # Errors
    /// In words, where the file is too large or the browser cannot read it.
    pub async fn read(file: &File) -> Result<Self, String> {
        Self::from_blob(file, file.name()).await
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
        Self::from_blob(&blob.unchecked_into(), sample.to_owned()).await
    }

    async fn from_blob(blob: &Blob, name: String) -> Result<Self, String> {
        if blob.size() > LARGEST {
            return Err(text::too_large(&name, blob.size(), LARGEST));
        }
        let buffer = JsFuture::from(blob.array_buffer())
            .await
            .map_err(|error| text::unreadable(&name, &words(&error)))?;
        Ok(Picture {
            url: Url::create_object_url_with_blob(blob).map_err(|error| words(&error))?,
            buffer: buffer.unchecked_into(),
            name,
        })
    }

    /// The bytes, to give away.
    pub fn copy(&self) -> ArrayBuffer {
        self.buffer.slice(0)
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        // The address holds the bytes for as long as it exists.
        let _ = Url::revoke_object_url(&self.url);
    }
}

/// The first file that was dropped or pasted.
pub fn first_file(transfer: Option<DataTransfer>) -> Option<File> {
    transfer?.files()?.get(0)
}
