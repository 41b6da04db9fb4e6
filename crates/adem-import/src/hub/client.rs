//! What is asked of the hub: a revision's files, and their bytes.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use sha2::Digest as _;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::{HubError, HubName, HubOptions, is_plain};
use crate::limits;

/// Longest wait for a connection, and for its next bytes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Most files of a repository.
const FILES: usize = 100_000;

/// What a file must hash to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Digest {
    /// Of large files: SHA-256 of their bytes, in hexadecimal digits.
    Sha256(String),
    /// Of small ones: Git's name of them, SHA-1 of their length and bytes.
    Git(String),
}

/// A digest in the making.
pub(super) enum Hasher {
    Sha256(sha2::Sha256),
    Git(sha1::Sha1),
}

impl Digest {
    pub fn text(&self) -> &str {
        match self {
            Self::Sha256(text) | Self::Git(text) => text,
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::Git(_) => "SHA-1 (Git's)",
        }
    }

    /// A hasher for a file of `size` bytes.
    pub fn hasher(&self, size: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(sha2::Sha256::new()),
            Self::Git(_) => Hasher::Git(sha1::Sha1::new_with_prefix(format!("blob {size}\0"))),
        }
    }
}

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(it) => it.update(bytes),
            Self::Git(it) => it.update(bytes),
        }
    }

    pub fn finish(self) -> String {
        match self {
            Self::Sha256(it) => format!("{:x}", it.finalize()),
            Self::Git(it) => format!("{:x}", it.finalize()),
        }
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub path: String,
    pub size: u64,
    pub digest: Digest,
}

/// The files of a revision.
#[derive(Debug)]
pub(super) struct Listing {
    pub commit: String,
    pub files: Vec<Remote>,
}

/// The hub's answer about a revision.
#[derive(Deserialize)]
struct Revision {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: String,
    size: u64,
}

/// Attempts in a row without a byte before something is given up.
pub(super) const ATTEMPTS: u32 = 6;

/// Waits after attempt number `attempt`, the first being 1.
pub(super) fn wait(attempt: u32) {
    const FIRST: Duration = Duration::from_millis(250);
    std::thread::sleep(FIRST * (1 << (attempt - 1)));
}

/// Why a request gave nothing.
pub(super) enum Refused {
    /// Another attempt may succeed.
    ForNow(HubError),
    /// It will not.
    ForGood(HubError),
}

/// Asks the hub about one model.
pub(super) struct Client<'a> {
    agent: Agent,
    options: &'a HubOptions,
    pub name: &'a HubName,
}

impl<'a> Client<'a> {
    pub fn new(options: &'a HubOptions, name: &'a HubName) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("adem/", env!("CARGO_PKG_VERSION")))
            // The token is the hub's, not that of whoever keeps its files.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
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
            agent: config.into(),
            options,
            name,
        }
    }

    /// The files of the revision, with their digests.
    pub fn list(&self) -> Result<Listing, HubError> {
        let HubName {
            repository,
            revision,
            ..
        } = self.name;
        let url = format!(
            "{}/api/models/{repository}/revision/{}?blobs=true",
            self.options.endpoint,
            revision.replace('/', "%2F")
        );
        let fault = |reason: String| HubError::Answer {
            url: url.clone(),
            reason,
        };
        let mut attempt = 1;
        let bytes = loop {
            match self.whole(&url, "model, or revision of it") {
                Ok(bytes) => break bytes,
                Err(Refused::ForNow(_)) if attempt < ATTEMPTS => wait(attempt),
                Err(Refused::ForNow(error) | Refused::ForGood(error)) => return Err(error),
            }
            attempt += 1;
        };
        let answer: Revision = serde_json::from_slice(&bytes)
            .map_err(|e| fault(format!("the answer is no list of files: {e}")))?;
        if !is_hex(&answer.sha, 40) || answer.siblings.len() > FILES {
            return Err(fault(
                "the answer names no commit, or too many files".into(),
            ));
        }
        let files = answer.siblings.into_iter();
        // Names that lead astray, and files without a digest, are none of an import's.
        let files = files.filter(|it| it.rfilename.split('/').all(is_plain));
        Ok(Listing {
            commit: answer.sha,
            files: files.filter_map(remote).collect(),
        })
    }

    /// A whole short answer.
    fn whole(&self, url: &str, what: &str) -> Result<Vec<u8>, Refused> {
        let answer = self.get(url, 0, what)?;
        let mut bytes = Vec::new();
        let mut body = answer.into_body().into_reader().take(limits::JSON_BYTES);
        let read = body.read_to_end(&mut bytes);
        read.map_err(|e| {
            Refused::ForNow(HubError::Network {
                url: url.to_owned(),
                reason: e.to_string(),
            })
        })?;
        Ok(bytes)
    }

    /// The bytes of a file from `from` on.
    pub fn open(&self, commit: &str, path: &str, from: u64) -> Result<Response<Body>, Refused> {
        self.get(&self.url(commit, path), from, path)
    }

    pub fn url(&self, commit: &str, path: &str) -> String {
        let (endpoint, repository) = (&self.options.endpoint, &self.name.repository);
        format!("{endpoint}/{repository}/resolve/{commit}/{path}")
    }

    /// A status that is neither of these is an error: 200, 206, 416.
    fn get(&self, url: &str, from: u64, what: &str) -> Result<Response<Body>, Refused> {
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        if let Some(token) = &self.options.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        let network = |reason: String| HubError::Network {
            url: url.to_owned(),
            reason,
        };
        let response = request.call().map_err(|error| {
            use ureq::Error;
            let reason = error.to_string();
            match error {
                // What the TLS library finds wrong with a server.
                Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                    Refused::ForGood(network(format!("no secure connection: {reason}")))
                }
                Error::Io(_) | Error::Timeout(_) | Error::ConnectionFailed | Error::Protocol(_) => {
                    Refused::ForNow(network(reason))
                }
                _ => Refused::ForGood(network(reason)),
            }
        })?;
        let page = format!("{}/{}", self.options.endpoint, self.name.repository);
        let name = self.name.to_string();
        let status = response.status().as_u16();
        match status {
            200 | 206 | 416 => Ok(response),
            401 | 403 => Err(Refused::ForGood(HubError::Denied {
                name,
                status,
                page,
                token: self.options.token.is_some(),
            })),
            404 => Err(Refused::ForGood(HubError::NotFound {
                name,
                what: what.to_owned(),
                page,
            })),
            408 | 425 | 429 | 500..=599 => Err(Refused::ForNow(network(format!(
                "the server answered {status}"
            )))),
            _ => Err(Refused::ForGood(network(format!(
                "the server answered {status}"
            )))),
        }
    }
}

fn remote(file: Sibling) -> Option<Remote> {
    let (size, digest) = match (file.lfs, file.blob_id) {
        (Some(large), _) if is_hex(&large.sha256, 64) => (large.size, Digest::Sha256(large.sha256)),
        (None, Some(id)) if is_hex(&id, 40) => (file.size?, Digest::Git(id)),
        _ => return None,
    };
    Some(Remote {
        path: file.rfilename,
        size,
        digest,
    })
}

fn is_hex(text: &str, digits: usize) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
    text.len() == digits && text.bytes().all(hex)
}
