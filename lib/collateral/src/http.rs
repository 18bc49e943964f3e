//! One attempt to get one document. Retries nothing, keeps nothing.

use std::time::Duration;

use privatemode_attest::UnixTime;
use reqwest::{
    StatusCode,
    header::{
        ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION,
        RETRY_AFTER,
    },
};

use crate::{
    document::{Document, MAX_TEXT, Unusable, check, check_content_type, excerpt},
    endpoint::Endpoints,
    key::{Key, Kind},
};

mod body;

/// Longest version that is sent back; a longer one is not remembered.
const MAX_ETAG: usize = 256;

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// No connection, or it broke before an answer came.
    #[error("no answer: the connection failed")]
    Unreachable {
        /// Why.
        source: reqwest::Error,
    },
    /// No complete answer in time.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection broke within the answer.
    #[error("the connection broke in the middle of the answer")]
    Broken {
        /// Why.
        source: reqwest::Error,
    },
    /// An answer that is an error; 429 and 5xx are tried again.
    #[error("the answer is HTTP status {status}")]
    Status {
        /// The status.
        status: u16,
        /// How long the vendor wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// Elsewhere; not followed, as the vendor's own addresses do not redirect.
    #[error("the answer is a redirect to {to}, which is not followed")]
    Redirected {
        /// The host it leads to, cut.
        to: String,
    },
    /// An answer that cannot be the document.
    #[error("the answer is unusable")]
    Unusable {
        /// Why.
        source: Unusable,
    },
}

impl AttemptError {
    /// Whether another attempt may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout | Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502..=504),
            // a download that was cut without a broken connection looks like this
            Self::Unusable { source } => matches!(
                source,
                Unusable::Empty | Unusable::NotDer | Unusable::NotJson | Unusable::NotPem | Unusable::NotXml
            ),
            Self::Redirected { .. } => false,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What came.
#[derive(Debug)]
pub(crate) enum Answer {
    New {
        document: Document,
        etag: Option<String>,
    },
    /// What the caller has is what the vendor has.
    NotModified,
}

pub(crate) struct Http {
    client: reqwest::Client,
    pub(crate) endpoints: Endpoints,
}

impl Http {
    pub(crate) fn new(client: reqwest::Client, endpoints: Endpoints) -> Self {
        Self { client, endpoints }
    }

    /// `body` is what is posted (OCSP); `etag` is that of the document the caller has; `now` counts for pauses that the
    /// vendor asks for.
    pub(crate) async fn attempt(
        &self,
        key: &Key,
        body: &[u8],
        etag: Option<&str>,
        now: UnixTime,
    ) -> Result<Answer, AttemptError> {
        let (method, url) = self.endpoints.request(key);
        let mut request = self.client.request(method, url).header(ACCEPT, accept(key.kind()));
        if key.kind() == Kind::NvidiaOcsp {
            request = request.header(CONTENT_TYPE, "application/ocsp-request").body(body.to_vec());
        }
        // it comes from a file: one that fits no header would fail every request from here on
        let etag = etag.filter(|etag| etag.len() <= MAX_ETAG && HeaderValue::from_str(etag).is_ok());
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let response = request.send().await.map_err(|error| classify(error, false))?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Answer::NotModified);
        }
        if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
            return Err(AttemptError::Redirected { to: target(response.headers()) });
        }
        if status != StatusCode::OK {
            let retry_after = retry_after(response.headers(), now);
            return Err(AttemptError::Status { status: status.as_u16(), retry_after });
        }
        let headers = response.headers().clone();
        let document = read(key, response, &headers).await?;
        check(key, &document).map_err(unusable)?;
        let etag =
            headers.get(ETAG).and_then(|value| value.to_str().ok()).filter(|etag| etag.len() <= MAX_ETAG);
        Ok(Answer::New { document, etag: etag.map(str::to_owned) })
    }
}

fn accept(kind: Kind) -> &'static str {
    match kind {
        Kind::AmdVcek => "application/pkix-cert, application/x-x509-ca-cert, */*",
        Kind::AmdCertChain => "application/x-pem-file, */*",
        Kind::AmdCrl | Kind::IntelPckCrl | Kind::IntelRootCrl => "application/pkix-crl, */*",
        Kind::IntelTcbInfo | Kind::IntelQeIdentity | Kind::NvidiaRim => "application/json",
        Kind::NvidiaOcsp => "application/ocsp-response",
    }
}

async fn read(
    key: &Key,
    mut response: reqwest::Response,
    headers: &HeaderMap,
) -> Result<Document, AttemptError> {
    let kind = key.kind();
    if let Some(found) = headers.get(CONTENT_TYPE) {
        check_content_type(kind.form(), &String::from_utf8_lossy(found.as_bytes())).map_err(unusable)?;
    }
    // what travels may be a wrapping of the document: hexadecimal of a PCCS, base64 within JSON of NVIDIA
    let max = match kind {
        Kind::NvidiaRim => MAX_TEXT * 3 / 2,
        Kind::IntelRootCrl | Kind::IntelPckCrl => kind.max_len() * 2,
        _ => kind.max_len(),
    };
    let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|stated| stated > max as u64) {
        return Err(unusable(Unusable::TooLong { max: kind.max_len() }));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| classify(error, true))? {
        if bytes.len() + chunk.len() > max {
            return Err(unusable(Unusable::TooLong { max: kind.max_len() }));
        }
        bytes.extend_from_slice(&chunk);
    }
    body::unwrap(key, bytes, headers).map_err(unusable)
}

fn unusable(source: Unusable) -> AttemptError {
    AttemptError::Unusable { source }
}

/// Without its URL an error stays readable; the caller names the host.
fn classify(error: reqwest::Error, begun: bool) -> AttemptError {
    if error.is_timeout() {
        AttemptError::Timeout
    } else if begun {
        AttemptError::Broken { source: error.without_url() }
    } else {
        AttemptError::Unreachable { source: error.without_url() }
    }
}

fn target(headers: &HeaderMap) -> String {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match reqwest::Url::parse(location) {
        Ok(url) => excerpt(url.host_str().unwrap_or("nowhere")),
        Err(_) => "another path".to_owned(),
    }
}

/// In seconds, or as a date (RFC 9110 §10.2.3); a date that has passed asks for nothing.
fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_second();
    Some(Duration::from_secs(u64::try_from(date).ok()?.saturating_sub(now.0)))
}

#[cfg(test)]
mod tests;
