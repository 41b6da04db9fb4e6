//! Range requests through a blocking client.

use std::io::Read;
use std::ops::Range;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::answer::{Answer, Failure, body_limit, range_header};

/// Longest wait for a connection, and for its next bytes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps connections open between requests.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
}

/// Whether `base` is an address this build can read, and if not, why.
pub(super) fn supports(base: &str) -> Result<(), &'static str> {
    let scheme = |prefix: &str| {
        base.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    match scheme("http://") || scheme("https://") {
        true => Ok(()),
        false => Err("an address begins with http:// or https://"),
    }
}

/// Blocks: native reading does.
pub(super) async fn sleep(wait: Duration) {
    std::thread::sleep(wait);
}

impl Client {
    pub(super) fn new() -> Self {
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
            agent: config.into(),
        }
    }

    pub(super) async fn get(&self, url: &str, range: &Range<u64>) -> Result<Answer, Failure> {
        let response = self
            .agent
            .get(url)
            .header("Range", range_header(range))
            .header("Accept-Encoding", "identity")
            .call()
            .map_err(failure)?;
        let status = response.status().as_u16();
        let content_range = response
            .headers()
            .get("Content-Range")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let limit = body_limit(status, range);
        let mut body = Vec::new();
        if limit > 0 {
            response
                .into_body()
                .into_reader()
                .take(limit + 1)
                .read_to_end(&mut body)
                .map_err(|e| Failure::Transient(e.to_string()))?;
        }
        Ok(Answer {
            status,
            content_range,
            body,
        })
    }
}

/// A connection that fails now may succeed a moment later; a request that cannot be made, a chain
/// of redirects, or a server that is not to be trusted stays as it is.
fn failure(error: ureq::Error) -> Failure {
    use ureq::Error;
    let reason = error.to_string();
    match error {
        // What the TLS library finds wrong with a server: its certificate, or no TLS.
        Error::Io(e) if e.kind() == std::io::ErrorKind::InvalidData => {
            Failure::Permanent(format!("no secure connection: {reason}"))
        }
        Error::Io(_) | Error::Timeout(_) | Error::ConnectionFailed | Error::Protocol(_) => {
            Failure::Transient(reason)
        }
        _ => Failure::Permanent(reason),
    }
}
