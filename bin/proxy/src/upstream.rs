//! Calls to the gateway and to the manifest's host. Holds the connection pools; knows no secrets, and judges nothing
//! that comes back. Outbound proxies come from the environment (`https_proxy`, `no_proxy`), by CONNECT.

use std::{error::Error, io, path::Path, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use privatemode_client::{Nonce, Transport, TransportError, attest_request, parse_attest_reply};
use privatemode_service::version;
use privatemode_wire::header;

use crate::{
    key::{ApiKey, KeyRing},
    roots::{RootsError, client_config},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Control calls (attestation, exchange, manifest) are small; the data path has no deadline of its own.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(30);
/// A dead connection is noticed within this time twice, however long a model thinks.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Longest HTTP/2 frame of an answer, in bytes: two segments of a sealed body.
const MAX_FRAME: u32 = 128 << 10;
/// Longest answer to a control call: a history of manifests and policies in base64 twice.
const MAX_CONTROL_ANSWER: usize = 24 << 20;
/// Longest error text of a gateway that is repeated.
const MAX_MESSAGE: usize = 300;

/// Why no HTTP client could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No TLS.
    #[error("cannot set up connections to the API endpoint")]
    Roots {
        /// Why.
        source: RootsError,
    },
    /// No client.
    #[error("cannot set up an HTTP client")]
    Client {
        /// Why.
        source: reqwest::Error,
    },
}

/// The gateway.
pub(crate) struct Upstream {
    client: reqwest::Client,
    /// `https://host:port`
    base: String,
    keys: Arc<KeyRing>,
}

/// An HTTP client with our TLS roots.
pub(crate) fn client(extra_roots: Option<&Path>, insecure: bool) -> Result<reqwest::Client, UpstreamError> {
    let tls = client_config(extra_roots, insecure).map_err(|source| UpstreamError::Roots { source })?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(false) // the manifest may come from this machine over plain HTTP; the API's URL is always https
        .redirect(reqwest::redirect::Policy::none()) // a redirect would take the API key elsewhere
        .retry(reqwest::retry::never()) // retries are ours to decide: a request may have been billed
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .tcp_keepalive(KEEP_ALIVE)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_timeout(KEEP_ALIVE)
        .http2_adaptive_window(true)
        .http2_max_frame_size(MAX_FRAME)
        .pool_idle_timeout(Duration::from_secs(60))
        .build()
        .map_err(|source| UpstreamError::Client { source })
}

impl Upstream {
    pub(crate) fn new(client: reqwest::Client, base: String, keys: Arc<KeyRing>) -> Self {
        Self { client, base, keys }
    }

    pub(crate) fn keys(&self) -> &Arc<KeyRing> {
        &self.keys
    }

    /// Sends a request of the data path; `path` has its query. No deadline: an answer may take as long as a model does.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> Result<reqwest::Response, reqwest::Error> {
        self.client.request(method, format!("{}{path}", self.base)).headers(headers).body(body).send().await
    }

    async fn control(&self, path: &str, body: String) -> Result<Vec<u8>, TransportError> {
        let key = self.keys.for_session().ok_or(TransportError::NoKey)?;
        let response = self
            .client
            .post(format!("{}{path}", self.base))
            .headers(identity(Some(&key)))
            .header(CONTENT_TYPE, "application/json")
            .timeout(CONTROL_TIMEOUT)
            .body(body)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let body = read(response, MAX_CONTROL_ANSWER).await?;
        match status.as_u16() {
            200..=299 => Ok(body),
            401 => {
                self.keys.refused(&key);
                Err(TransportError::Unauthorized { status: 401, body })
            }
            status => Err(TransportError::Status { status, message: message_of(&body) }),
        }
    }
}

impl Transport for Upstream {
    async fn attest(&self, nonce: Nonce) -> Result<Vec<u8>, TransportError> {
        let reply = self.control("/privatemode/v1/attest", attest_request(nonce)).await?;
        parse_attest_reply(&reply).map_err(|source| TransportError::Malformed { source: Box::new(source) })
    }

    async fn exchange(&self, request: String) -> Result<Vec<u8>, TransportError> {
        self.control("/privatemode/v1/secret", request).await
    }
}

/// The headers that say who calls (`protocol.md` §2).
pub(crate) fn identity(key: Option<&ApiKey>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(key) = key {
        headers.insert(http::header::AUTHORIZATION, key.authorization());
    }
    headers.insert(header::VERSION, HeaderValue::from_static(version()));
    headers.insert(header::OS, HeaderValue::from_static(OS));
    headers.insert(header::ARCHITECTURE, HeaderValue::from_static(ARCHITECTURE));
    headers.insert(header::CLIENT, HeaderValue::from_static("Proxy"));
    headers
}

/// Named as Go names them: the gateway's statistics know no other spelling.
const OS: &str = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
const ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    std::env::consts::ARCH
};

/// The whole body, if it has at most `max` bytes.
pub(crate) async fn read(mut response: reqwest::Response, max: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > max {
            let source = io::Error::other(format!("the answer has more than {max} bytes"));
            return Err(TransportError::Malformed { source: Box::new(source) });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

pub(crate) fn unreachable(error: reqwest::Error) -> TransportError {
    // The URL is known from the configuration; without it the message stays readable.
    TransportError::Unreachable { source: Box::new(error.without_url()) }
}

/// Whether the connection broke before the first byte of an answer (`protocol.md` §3).
pub(crate) fn is_reset(error: &reqwest::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            if matches!(io.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof) {
                return true;
            }
        }
        if error
            .downcast_ref::<hyper::Error>()
            .is_some_and(|error| error.is_incomplete_message() || error.is_closed())
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// What a gateway's error says, cut and without control characters: it goes into logs and pages.
fn message_of(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let text = json
        .as_ref()
        .and_then(|json| json.pointer("/error/message")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body.get(..MAX_MESSAGE).unwrap_or(body)).into_owned());
    let clean: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    if clean.trim().is_empty() { "no reason given".to_owned() } else { clean.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_message_is_cut_and_cleaned() {
        assert_eq!(message_of(br#"{"error":{"message":"no\nluck"}}"#), "no luck");
        assert_eq!(message_of(b"<html>\x1b[31m"), "<html> [31m");
        assert_eq!(message_of(b""), "no reason given");
        assert_eq!(message_of("x".repeat(5000).as_bytes()).len(), MAX_MESSAGE);
    }

    #[test]
    fn who_calls() {
        let headers = identity(None);
        assert_eq!(headers["privatemode-client"], "Proxy");
        assert!(headers["privatemode-version"].to_str().unwrap().starts_with('v'));
        assert!(["linux", "darwin", "windows"].iter().any(|os| headers["privatemode-os"] == *os));
        assert!(!headers.contains_key("authorization"));
    }
}
