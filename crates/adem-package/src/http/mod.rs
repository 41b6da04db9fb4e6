//! A package behind an HTTP address, read by range requests.

mod answer;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[cfg(target_arch = "wasm32")]
mod web;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use answer::{Asked, Failure, Got};
#[cfg(not(target_arch = "wasm32"))]
use native as transport;
#[cfg(target_arch = "wasm32")]
use web as transport;

use crate::error::SourceError;
use crate::source::{Reading, WeightSource, plain, slice};

/// How often a request is tried before its failure is reported.
const ATTEMPTS: u32 = 4;
/// Wait before the second attempt; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_millis(150);

/// Reads a package from a folder of an HTTP server.
///
/// Asks for byte ranges; a server that ignores them and sends the whole file is put up with: the
/// file is kept until its last byte was read or another file is asked for. Interrupted answers
/// and statuses that invite it (408, 425, 429, 5xx) are tried again a few times.
///
/// Natively the address is `http://` or `https://`, and reading blocks. In the browser it is any address
/// `fetch` takes, from a page or a worker; a relative one is relative to the page, or to the
/// worker's script.
#[derive(Debug)]
pub struct Http {
    base: String,
    client: transport::Client,
    seen: Mutex<Seen>,
}

/// What earlier answers told.
#[derive(Debug, Default)]
struct Seen {
    lengths: HashMap<String, u64>,
    /// The file a server without range requests sent last.
    whole: Option<(String, Vec<u8>)>,
}

impl Http {
    /// A source for the files in the folder `base`. Nothing is read yet.
    ///
    /// # Errors
    /// [`SourceError::Address`] for an address with a query or fragment, or one this build
    /// cannot read: natively anything but `http://` and `https://`.
    pub fn new(base: &str) -> Result<Self, SourceError> {
        let address = |reason| SourceError::Address {
            url: base.to_owned(),
            reason,
        };
        if base.contains(['?', '#']) {
            return Err(address(
                "the address of a folder has no query and no fragment",
            ));
        }
        transport::supports(base).map_err(address)?;
        Ok(Self {
            base: format!("{}/", base.trim_end_matches('/')),
            client: transport::Client::new(),
            seen: Mutex::default(),
        })
    }

    async fn length(&self, file: &str) -> Result<u64, SourceError> {
        plain(file)?;
        if let Some(length) = self.seen().lengths.get(file) {
            return Ok(*length);
        }
        match self.request(file, &(0..1)).await? {
            Got::Part(_, Some(total)) | Got::Beyond(total) => self.note(file, total),
            Got::Part(_, None) => Err(SourceError::ContentRange {
                url: format!("{}{file}", self.base),
                wanted: "0-0".to_owned(),
                found: "without a length".to_owned(),
            }),
            Got::Whole(body) => {
                let total = self.note(file, body.len() as u64)?;
                self.seen().whole = Some((file.to_owned(), body));
                Ok(total)
            }
        }
    }

    async fn bytes(&self, file: &str, range: &Range<u64>) -> Result<Vec<u8>, SourceError> {
        plain(file)?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let kept = self.kept(file, range);
        if let Some(bytes) = kept {
            return bytes;
        }
        match self.request(file, range).await? {
            Got::Part(bytes, total) => {
                if let Some(total) = total {
                    self.note(file, total)?;
                }
                Ok(bytes)
            }
            Got::Whole(body) => {
                self.note(file, body.len() as u64)?;
                let bytes = slice(file, &body, range)?.to_vec();
                if range.end < body.len() as u64 {
                    self.seen().whole = Some((file.to_owned(), body));
                }
                Ok(bytes)
            }
            Got::Beyond(found) => Err(SourceError::Short {
                file: file.to_owned(),
                wanted: range.end,
                found: self.note(file, found)?,
            }),
        }
    }

    /// The range from a file that was sent whole, which is let go with its last byte.
    fn kept(&self, file: &str, range: &Range<u64>) -> Option<Result<Vec<u8>, SourceError>> {
        let mut seen = self.seen();
        let (_, body) = seen.whole.as_ref().filter(|(name, _)| name == file)?;
        let bytes = slice(file, body, range).map(<[u8]>::to_vec);
        if range.end >= body.len() as u64 {
            seen.whole = None;
        }
        Some(bytes)
    }

    async fn request(&self, file: &str, range: &Range<u64>) -> Result<Got, SourceError> {
        // One file at a time: the one kept is not needed again.
        self.seen().whole = None;
        let base = &self.base;
        let asked = Asked { base, file, range };
        let url = asked.url();
        let mut wait = FIRST_WAIT;
        let mut attempts = 1;
        loop {
            let reason = match self.client.get(&url, range).await {
                Ok(answer) if !answer.is_transient() => return asked.sort(answer),
                Ok(answer) => format!("HTTP status {}", answer.status),
                Err(Failure::Transient(reason)) => reason,
                Err(Failure::Permanent(reason)) => {
                    return Err(SourceError::Transport {
                        url,
                        attempts,
                        reason,
                    });
                }
            };
            if attempts == ATTEMPTS {
                return Err(SourceError::Transport {
                    url,
                    attempts,
                    reason,
                });
            }
            transport::sleep(wait).await;
            wait *= 2;
            attempts += 1;
        }
    }

    /// Remembers a file's length; a second one that differs is an error.
    fn note(&self, file: &str, total: u64) -> Result<u64, SourceError> {
        let mut seen = self.seen();
        let before = *seen.lengths.entry(file.to_owned()).or_insert(total);
        if before == total {
            return Ok(total);
        }
        // Forgotten, so that loading again can succeed.
        seen.lengths.remove(file);
        Err(SourceError::Changed {
            file: file.to_owned(),
            before,
            after: total,
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing is left half-changed under this lock.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WeightSource for Http {
    fn len<'a>(&'a self, file: &'a str) -> Reading<'a, u64> {
        Box::pin(self.length(file))
    }

    fn read<'a>(&'a self, file: &'a str, range: Range<u64>) -> Reading<'a, Vec<u8>> {
        Box::pin(async move { self.bytes(file, &range).await })
    }
}
