//! From an origin to a model that can be asked.

use crate::{
    files::{Chosen, Stored},
    fill::{Fault, fill},
    line::tell,
    opfs::Refusal,
    store::{Model, Store, id_of},
};
use adem_package::{
    Http, MANIFEST_FILE, Manifest, PackageError, SourceError, WeightSource, limits,
};
use adem_pipeline::{Captioner, PipelineError, Progress};
use adem_protocol::{Loading, Origin, Tell};
use burn::tensor::Device;
use js_sys::Reflect;
use web_sys::File;

/// A model, and how it came here.
pub(crate) struct Loaded {
    pub captioner: Captioner,
    /// Name of this build of the model.
    pub id: String,
    /// Why it is not kept for the next visit.
    pub unkept: Option<String>,
}

/// Finds the package at `origin`, keeps it on this device where that is possible, and builds the
/// model. `old` is let go before the new one takes its memory, and only once its files are here.
///
/// # Errors
/// In words, for the reader.
pub(crate) async fn load(
    origin: Origin,
    files: Vec<File>,
    device: &Device,
    old: &mut Option<Captioner>,
) -> Result<Loaded, String> {
    let loader = Loader { device, old };
    match origin {
        Origin::Address(address) => {
            let source = Http::new(&address).map_err(|error| error.to_string())?;
            let loaded = loader.bring(&source, &address).await;
            loaded.map_err(|error| explain(&error, &address))
        }
        Origin::Folder(name) => {
            let loaded = loader.bring(&Chosen(files), &name).await;
            loaded.map_err(|error| error.to_string())
        }
        Origin::Stored(id) => loader.take_out(&id).await,
    }
}

struct Loader<'a> {
    device: &'a Device,
    old: &'a mut Option<Captioner>,
}

impl Loader<'_> {
    async fn bring<S: WeightSource>(
        self,
        source: &S,
        origin: &str,
    ) -> Result<Loaded, PipelineError> {
        let store = match Store::open().await {
            Ok(store) => store,
            Err(refusal) => return self.unkept(source, words(&refusal)).await,
        };
        let bytes = match manifest(source, &store, origin).await {
            Ok(bytes) => bytes,
            Err(Fault::Package(error)) => return Err(error.into()),
            Err(Fault::Store(refusal)) => return self.unkept(source, words(&refusal)).await,
        };
        let manifest = Manifest::parse(&bytes)?;
        let mut again = true;
        loop {
            let kept = async {
                let model = store.model(&bytes, origin).await?;
                let progress = |loading| tell(&Tell::Loading(loading));
                let loading = fill(&model, &manifest, source, progress).await?;
                Ok((model, loading))
            };
            let (model, loading) = match kept.await {
                Ok(kept) => kept,
                Err(Fault::Package(error)) => return Err(error.into()),
                Err(Fault::Store(refusal)) => return self.unkept(source, words(&refusal)).await,
            };
            let stored = Stored {
                model: &model,
                manifest: &bytes,
            };
            drop(self.old.take());
            match build(stored, loading, self.device).await {
                Ok(captioner) => {
                    let published = store.publish(&model, &bytes, origin).await;
                    return Ok(Loaded {
                        captioner,
                        id: model.id,
                        unkept: published.err().as_ref().map(words),
                    });
                }
                Err(error) => {
                    let bad = discard(&model, &error).await;
                    // Once more: what lay here may have rotted, what came may have been cut.
                    if !(bad && again) {
                        return Err(error);
                    }
                    again = false;
                }
            }
        }
    }

    async fn take_out(self, id: &str) -> Result<Loaded, String> {
        let store = Store::open().await.map_err(|refusal| words(&refusal))?;
        let found = store.complete(id).await;
        let found = found.map_err(|refusal| words(&refusal))?;
        let (model, manifest) =
            found.ok_or("this model is no longer on this device; load it again from its origin")?;
        let stored = Stored {
            model: &model,
            manifest: &manifest,
        };
        drop(self.old.take());
        match build(stored, Loading::default(), self.device).await {
            Ok(captioner) => Ok(Loaded {
                captioner,
                id: model.id,
                unkept: None,
            }),
            Err(error) => {
                if discard(&model, &error).await {
                    // It is not whole any more; its origin completes it.
                    let _ = model.folder.remove(MANIFEST_FILE).await;
                }
                Err(error.to_string())
            }
        }
    }

    /// Builds the model straight from `source`.
    async fn unkept<S: WeightSource>(
        self,
        source: &S,
        why: String,
    ) -> Result<Loaded, PipelineError> {
        let length = source.len(MANIFEST_FILE).await;
        let length = length.map_err(PackageError::from)?;
        let bytes = read_manifest(source, length).await?;
        drop(self.old.take());
        Ok(Loaded {
            captioner: build(Borrowed(source), Loading::default(), self.device).await?,
            id: id_of(&bytes),
            unkept: Some(why),
        })
    }
}

/// The manifest at `source`, or the one kept from there where it cannot be reached.
async fn manifest<S: WeightSource>(
    source: &S,
    store: &Store,
    origin: &str,
) -> Result<Vec<u8>, Fault> {
    if is_offline()
        && let Some(kept) = store.of_origin(origin).await?
    {
        return Ok(kept);
    }
    let fetched = async {
        let length = source.len(MANIFEST_FILE).await?;
        read_manifest(source, length).await
    };
    match fetched.await {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let unreachable = matches!(
                error,
                PackageError::Source(SourceError::Transport { .. } | SourceError::Status { .. })
            );
            match store.of_origin(origin).await? {
                Some(kept) if unreachable => Ok(kept),
                _ => Err(Fault::Package(error)),
            }
        }
    }
}

/// Whether the browser knows that there is no network; asking would only fail.
fn is_offline() -> bool {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into());
    let online = navigator.and_then(|navigator| Reflect::get(&navigator, &"onLine".into()));
    online.is_ok_and(|online| online == false)
}

async fn read_manifest<S: WeightSource>(source: &S, length: u64) -> Result<Vec<u8>, PackageError> {
    if length > limits::MANIFEST_BYTES {
        return Err(PackageError::TooLarge {
            file: MANIFEST_FILE.to_owned(),
            bytes: length,
            limit: limits::MANIFEST_BYTES,
        });
    }
    Ok(source.read(MANIFEST_FILE, 0..length).await?)
}

/// Checks and builds a package; `loading` says what has happened before.
async fn build<S: WeightSource>(
    source: S,
    loading: Loading,
    device: &Device,
) -> Result<Captioner, PipelineError> {
    let progress = |progress: Progress| {
        tell(&Tell::Loading(Loading {
            read: progress.bytes,
            total: loading.total.max(progress.total_bytes),
            ..loading
        }));
    };
    Captioner::load(source, progress, device).await
}

/// Deletes the file that `error` finds damaged; `false` where it is about something else.
async fn discard(model: &Model, error: &PipelineError) -> bool {
    match error {
        PipelineError::Package(
            PackageError::Altered { file, .. } | PackageError::Length { file, .. },
        ) => model.folder.remove(file).await.is_ok(),
        _ => false,
    }
}

/// What the reader is told of a place that does not answer: browsers do not say why.
fn explain(error: &PipelineError, address: &str) -> String {
    let failed = matches!(
        error,
        PipelineError::Package(PackageError::Source(SourceError::Transport { .. }))
    );
    let own = Reflect::get(&js_sys::global(), &"origin".into());
    let own = own.ok().and_then(|origin| origin.as_string());
    let foreign = own.is_some_and(|own| !address.starts_with(&own));
    if failed && foreign {
        return format!(
            "{error}. Either the address cannot be reached, or its server does not allow other sites to read it: it would have to answer with the header Access-Control-Allow-Origin (CORS) and to allow the request header Range. Download the package's files and open their folder instead."
        );
    }
    error.to_string()
}

/// Why something is not kept, for the reader.
pub(crate) fn words(refusal: &Refusal) -> String {
    match refusal.name.as_str() {
        "QuotaExceededError" => "this device's storage for the page is full".into(),
        "NoModificationAllowedError" => "another tab is loading the same model".into(),
        "SecurityError" | "TypeError" => {
            "the browser lets this page store nothing, as in a private window".into()
        }
        _ => format!("the browser's storage failed ({})", refusal.message),
    }
}

/// A source that somebody else holds.
struct Borrowed<'s, S>(&'s S);

impl<S: WeightSource> WeightSource for Borrowed<'_, S> {
    fn len<'a>(&'a self, file: &'a str) -> adem_package::Reading<'a, u64> {
        self.0.len(file)
    }

    fn read<'a>(
        &'a self,
        file: &'a str,
        range: std::ops::Range<u64>,
    ) -> adem_package::Reading<'a, Vec<u8>> {
        self.0.read(file, range)
    }
}
