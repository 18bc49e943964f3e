//! Asks a deployment to prove itself: through a gateway, or its coordinator. Believes nothing that comes back.

use std::time::Duration;

use privatemode_client::{EnvelopeError, Nonce, attest_request, parse_attest_reply};
use reqwest::{Certificate, Client, Url};
use thiserror::Error;
use zeroize::Zeroizing;

/// From connecting to the last byte.
const LIMIT: Duration = Duration::from_secs(30);
/// Longest answer: a document in base64 twice, with room.
const MAX_ANSWER: usize = 12 << 20;
const MAX_MESSAGE: usize = 300;

/// Whom to ask, and how.
pub(super) struct Whom {
    pub(super) url: Url,
    pub(super) kind: Kind,
    /// The one certificate that is accepted, PEM: of a gateway that `up` runs.
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) key: Option<Zeroizing<String>>,
}

/// What listens at the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gateway,
    Coordinator,
}

/// Why there is no document: nothing was proved, so the deployment is refused.
#[derive(Debug, Error)]
pub(super) enum AskError {
    #[error("cannot set up a connection")]
    Client { source: reqwest::Error },
    #[error("{url} cannot be reached")]
    Unreachable { url: Url, source: reqwest::Error },
    #[error("{url} refused with status {status}: {message}")]
    Status { url: Url, status: u16, message: String },
    #[error("the answer of {url} has more than {MAX_ANSWER} bytes, which no attestation has")]
    TooLong { url: Url },
    #[error("the answer of {url} is no gateway's")]
    Envelope { url: Url, source: EnvelopeError },
}

impl AskError {
    /// What to do about it.
    pub(super) fn next(&self) -> &'static str {
        match self {
            Self::Status { status: 401 | 403, .. } => {
                "give an API key of this deployment with --key KEY or --key @FILE"
            }
            Self::Status { status: 404 | 405 | 415, .. } | Self::Envelope { .. } => {
                "check the URL: https:// is for a gateway, http:// for a coordinator"
            }
            Self::Status { status: 412, .. } => "its operator has not set a manifest yet; try again later",
            Self::Client { .. } | Self::Unreachable { .. } | Self::Status { .. } | Self::TooLong { .. } => {
                "check that it runs, the URL and the network in between; a bundle saved before still proves what was"
            }
        }
    }
}

/// The attestation document that answers to `nonce`, not verified.
pub(super) async fn document(whom: &Whom, nonce: [u8; 32]) -> Result<Vec<u8>, AskError> {
    let path = match whom.kind {
        Kind::Gateway => "/privatemode/v1/attest",
        Kind::Coordinator => "/attest",
    };
    let mut url = whom.url.clone();
    url.set_path(path);
    let unreachable =
        |source: reqwest::Error| AskError::Unreachable { url: url.clone(), source: source.without_url() };
    let mut request = client(whom)?
        .post(url.clone())
        .header("content-type", "application/json")
        .body(attest_request(Nonce(nonce)));
    if let Some(key) = &whom.key {
        request = request.bearer_auth(key.as_str());
    }
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(AskError::TooLong { url });
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        return Err(AskError::Status { url, status: status.as_u16(), message: message(&body) });
    }
    match whom.kind {
        Kind::Gateway => parse_attest_reply(&body).map_err(|source| AskError::Envelope { url, source }),
        Kind::Coordinator => Ok(body),
    }
}

fn client(whom: &Whom) -> Result<Client, AskError> {
    let failed = |source| AskError::Client { source };
    // a redirect would take the API key elsewhere
    let mut builder = Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &whom.certificate {
        builder = builder.tls_certs_only([Certificate::from_pem(pem).map_err(failed)?]);
    }
    let host = whom.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    if host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback()) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(failed)
}

/// What an error answer says, cut.
fn message(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let said = json.as_ref().and_then(|json| {
        json.pointer("/error/message").or_else(|| json.get("error")).and_then(serde_json::Value::as_str)
    });
    let text = said.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let text: String = text.chars().take(MAX_MESSAGE).collect();
    if text.trim().is_empty() { "no reason given".to_owned() } else { text }
}
