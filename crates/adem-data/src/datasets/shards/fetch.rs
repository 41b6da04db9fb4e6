//! The bytes of a shard, from a file or a server, from any place on.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::datasets::error::DataError;

/// Longest wait for a connection, and for its next bytes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Attempts in a row without a byte before a shard is given up, and the wait before the second.
const ATTEMPTS: u32 = 6;
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// Where a shard is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    File(PathBuf),
    Http(String),
}

impl Location {
    /// A path, looked for at once, or an address.
    pub(super) fn new(name: &str, base: &Path) -> Result<Self, DataError> {
        let begins = |scheme: &str| {
            name.get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        if begins("http://") || begins("https://") {
            return Ok(Self::Http(name.to_owned()));
        }
        if let Some((scheme, _)) = name.split_once("://") {
            return Err(DataError::Config {
                field: "source.shards",
                message: format!(
                    "{name}: `{scheme}` cannot be read; give a path or an address of http:// or https://"
                ),
            });
        }
        let path = base.join(name);
        match path.metadata() {
            Ok(found) if found.is_file() => Ok(Self::File(path)),
            Ok(_) => Err(DataError::file(path, "is a folder; name the shards in it")),
            Err(error) => Err(DataError::file(path, error)),
        }
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::File(_))
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.to_string_lossy().into_owned(),
            Self::Http(url) => url.clone(),
        }
    }

    /// The bytes from `from` on.
    pub(super) fn open(&self, from: u64) -> Result<Box<dyn Read + Send>, DataError> {
        match self {
            Self::File(path) => {
                let mut file = File::open(path).map_err(|e| DataError::file(path, e))?;
                file.seek(SeekFrom::Start(from))
                    .map_err(|e| DataError::file(path, e))?;
                Ok(Box::new(BufReader::with_capacity(1 << 16, file)))
            }
            Self::Http(url) => Ok(Box::new(HttpReader::new(url, from))),
        }
    }

    /// Reading failed, as opposed to what was read being wrong.
    pub(super) fn failed(&self, message: String) -> DataError {
        match self {
            Self::File(path) => DataError::file(path, message),
            Self::Http(url) => DataError::Http {
                url: url.clone(),
                message,
            },
        }
    }
}

/// A body that goes on where it stopped when the connection breaks.
struct HttpReader {
    url: String,
    agent: Agent,
    at: u64,
    body: Option<Box<dyn Read + Send>>,
    /// Attempts since the last byte.
    attempts: u32,
}

/// Why a request gave no body.
enum Refused {
    /// Another attempt may succeed.
    ForNow(String),
    /// It will not.
    ForGood(String),
}

impl HttpReader {
    fn new(url: &str, from: u64) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(
                TlsConfig::builder()
                    .root_certs(RootCerts::PlatformVerifier)
                    .build(),
            )
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(READ_TIMEOUT))
            .timeout_per_read(Some(READ_TIMEOUT))
            .build();
        Self {
            url: url.to_owned(),
            agent: config.into(),
            at: from,
            body: None,
            attempts: 0,
        }
    }

    /// Asks for everything from `at` on. `None`: the shard ends there.
    fn request(&self) -> Result<Option<Box<dyn Read + Send>>, Refused> {
        let mut request = self
            .agent
            .get(&self.url)
            .header("Accept-Encoding", "identity");
        if self.at > 0 {
            request = request.header("Range", format!("bytes={}-", self.at));
        }
        let response = request.call().map_err(|error| {
            use ureq::Error;
            let reason = error.to_string();
            match error {
                // What the TLS library finds wrong with a server: its certificate, or no TLS.
                Error::Io(e) if e.kind() == io::ErrorKind::InvalidData => {
                    Refused::ForGood(format!("no secure connection: {reason}"))
                }
                Error::Io(_) | Error::Timeout(_) | Error::ConnectionFailed | Error::Protocol(_) => {
                    Refused::ForNow(reason)
                }
                _ => Refused::ForGood(reason),
            }
        })?;
        let status = response.status().as_u16();
        let starts_at = response
            .headers()
            .get("Content-Range")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("bytes ")?.split_once('-'))
            .and_then(|(start, _)| start.trim().parse::<u64>().ok());
        let mut body: Box<dyn Read + Send> = Box::new(response.into_body().into_reader());
        match status {
            206 if starts_at == Some(self.at) => Ok(Some(body)),
            206 => Err(Refused::ForGood(
                "the server sent another part than was asked for".to_owned(),
            )),
            200 => {
                // A server without ranges: what was read before is read past.
                let passed = io::copy(&mut body.by_ref().take(self.at), &mut io::sink())
                    .map_err(|e| Refused::ForNow(e.to_string()))?;
                Ok((passed == self.at).then_some(body))
            }
            416 => Ok(None),
            408 | 425 | 429 | 500..=599 => {
                Err(Refused::ForNow(format!("the server answered {status}")))
            }
            _ => Err(Refused::ForGood(format!("the server answered {status}"))),
        }
    }

    /// Waits before the next attempt, or gives up.
    fn wait(&mut self, reason: String) -> io::Result<()> {
        self.body = None;
        self.attempts += 1;
        if self.attempts >= ATTEMPTS {
            let message = format!("{reason} (at byte {}, {ATTEMPTS} attempts)", self.at);
            return Err(io::Error::other(message));
        }
        std::thread::sleep(FIRST_WAIT * (1 << (self.attempts - 1)));
        Ok(())
    }
}

impl Read for HttpReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.body.is_none() {
                match self.request() {
                    Ok(None) => return Ok(0),
                    Ok(body) => self.body = body,
                    Err(Refused::ForNow(reason)) => {
                        self.wait(reason)?;
                        continue;
                    }
                    Err(Refused::ForGood(reason)) => return Err(io::Error::other(reason)),
                }
            }
            let Some(body) = &mut self.body else {
                continue;
            };
            match body.read(buffer) {
                Ok(count) => {
                    self.at += count as u64;
                    if count > 0 {
                        self.attempts = 0;
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.wait(error.to_string())?,
            }
        }
    }
}
