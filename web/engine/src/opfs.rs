//! The browser's private file system, as far as a store of models needs it.
//!
//! Bound by hand: what a worker needs of it is small, and part of it is still marked unstable in
//! the generated bindings. Sync access handles are what every browser has; they exist in workers
//! alone and lock their file.

use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::{JsCast, JsValue, prelude::wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use web_sys::File;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["navigator", "storage"], js_name = getDirectory)]
    fn get_root() -> Result<Promise, JsValue>;

    #[wasm_bindgen(js_name = FileSystemDirectoryHandle)]
    #[derive(Clone)]
    type DirectoryHandle;
    #[wasm_bindgen(method, catch, js_name = getDirectoryHandle)]
    fn get_directory(
        this: &DirectoryHandle,
        name: &str,
        options: &Object,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getFileHandle)]
    fn get_file(this: &DirectoryHandle, name: &str, options: &Object) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = removeEntry)]
    fn remove_entry(
        this: &DirectoryHandle,
        name: &str,
        options: &Object,
    ) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method)]
    fn keys(this: &DirectoryHandle) -> Keys;

    type Keys;
    #[wasm_bindgen(method, catch)]
    fn next(this: &Keys) -> Result<Promise, JsValue>;

    type FileHandle;
    #[wasm_bindgen(method, catch, js_name = getFile)]
    fn content(this: &FileHandle) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createSyncAccessHandle)]
    fn open_to_write(this: &FileHandle) -> Result<Promise, JsValue>;

    type AccessHandle;
    #[wasm_bindgen(method, catch)]
    fn write(this: &AccessHandle, bytes: &[u8], options: &Object) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn truncate(this: &AccessHandle, length: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn flush(this: &AccessHandle) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &AccessHandle);
}

/// What `called` promises. A function that this browser lacks is an error, too: it throws at once,
/// which an `async` binding would not catch.
async fn kept(called: Result<Promise, JsValue>) -> Result<JsValue, Refusal> {
    Ok(JsFuture::from(called?).await?)
}

/// Why the browser refuses: a `DOMException`'s name and text.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub name: String,
    pub message: String,
}

impl From<JsValue> for Refusal {
    fn from(error: JsValue) -> Self {
        let text = |field: &str| {
            let value = Reflect::get(&error, &field.into()).ok();
            value.and_then(|value| value.as_string())
        };
        Refusal {
            name: text("name").unwrap_or_default(),
            message: text("message").unwrap_or_else(|| format!("{error:?}")),
        }
    }
}

impl Refusal {
    /// Whether it is only that there is no such file or folder.
    pub fn is_absence(&self) -> bool {
        self.name == "NotFoundError"
    }
}

/// A folder.
pub(crate) struct Directory(DirectoryHandle);

/// Whether what is opened may be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Find,
    Make,
}

impl Directory {
    /// The folder of this origin.
    pub async fn root() -> Result<Self, Refusal> {
        Ok(Directory(kept(get_root()).await?.unchecked_into()))
    }

    pub async fn directory(&self, name: &str, mode: Mode) -> Result<Self, Refusal> {
        let found = kept(self.0.get_directory(name, &making(mode))).await?;
        Ok(Directory(found.unchecked_into()))
    }

    /// Names of what is in it.
    pub async fn names(&self) -> Result<Vec<String>, Refusal> {
        let keys = self.0.keys();
        let mut names = Vec::new();
        loop {
            let step = kept(keys.next()).await?;
            let field = |name: &str| Reflect::get(&step, &name.into());
            if field("done")?.is_truthy() {
                return Ok(names);
            }
            names.extend(field("value")?.as_string());
        }
    }

    /// Deletes a file, or a folder with all in it.
    pub async fn remove(&self, name: &str) -> Result<(), Refusal> {
        let options = options("recursive", &JsValue::TRUE);
        match kept(self.0.remove_entry(name, &options)).await {
            Ok(_) => Ok(()),
            Err(refusal) => Some(refusal)
                .filter(|refusal| !refusal.is_absence())
                .map_or(Ok(()), Err),
        }
    }

    /// A file as it is now, to be read by slices; `None` where there is none.
    pub async fn file(&self, name: &str) -> Result<Option<File>, Refusal> {
        let found = kept(self.0.get_file(name, &making(Mode::Find))).await;
        let handle: FileHandle = match found {
            Ok(handle) => handle.unchecked_into(),
            Err(refusal) if refusal.is_absence() => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        Ok(Some(kept(handle.content()).await?.unchecked_into()))
    }

    /// A file to be written, which nobody else can open meanwhile.
    pub async fn write(&self, name: &str) -> Result<Writer, Refusal> {
        let handle = kept(self.0.get_file(name, &making(Mode::Make))).await?;
        let handle: FileHandle = handle.unchecked_into();
        Ok(Writer(kept(handle.open_to_write()).await?.unchecked_into()))
    }

    /// Writes a small file whole.
    pub async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), Refusal> {
        let writer = self.write(name).await?;
        writer.truncate(0)?;
        writer.append(0, bytes)
    }
}

/// A file that is being written; closed when dropped.
pub(crate) struct Writer(AccessHandle);

impl Writer {
    pub fn truncate(&self, length: u64) -> Result<(), Refusal> {
        Ok(self.0.truncate(length as f64)?)
    }

    /// Writes `bytes` at `place` and sees them to the disk.
    pub fn append(&self, place: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let at = options("at", &JsValue::from_f64(place as f64));
        let written = self.0.write(bytes, &at)?;
        if written as usize != bytes.len() {
            // Some browsers write what fits instead of throwing.
            return Err(Refusal {
                name: "QuotaExceededError".into(),
                message: "the disk or the share of it for this page is full".into(),
            });
        }
        Ok(self.0.flush()?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The bytes of a slice of a file.
pub(crate) async fn read(file: &File, start: u64, end: u64) -> Result<Vec<u8>, Refusal> {
    let slice = file.slice_with_f64_and_f64(start as f64, end as f64)?;
    let buffer = JsFuture::from(slice.array_buffer()).await?;
    Ok(js_sys::Uint8Array::new(&buffer).to_vec())
}

fn making(mode: Mode) -> Object {
    options("create", &JsValue::from_bool(mode == Mode::Make))
}

fn options(name: &str, value: &JsValue) -> Object {
    let options = Object::new();
    // Setting a field of a plain object does not fail.
    let _ = Reflect::set(&options, &name.into(), value);
    options
}
