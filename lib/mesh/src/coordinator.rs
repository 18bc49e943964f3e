//! Talks HTTP to the coordinator. Believes nothing that comes back: [`crate::join()`] verifies it.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use privatemode_manifest::{AttestationDocument, DocumentError};
use privatemode_service::{BodyError, body::read_limited};
use serde::{Serialize, de::DeserializeOwned};

use crate::messages::{ATTEST_PATH, CHALLENGE_PATH, Challenge, JOIN_PATH, JoinReply, JoinRequest};

/// A coordinator that does not answer within this time is asked again later.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A machine that is gone is left for the next coordinator after this time.
const CONNECTING: Duration = Duration::from_secs(3);
/// The answers on the mesh port are small.
const MAX_REPLY: usize = 256 * 1024;
/// How much of an error answer is shown.
const MAX_EXCERPT: usize = 300;

/// Why the coordinator could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// No connection.
    #[error("the coordinator at {url} cannot be reached")]
    Unreachable {
        /// What was asked.
        url: Uri,
        /// Why.
        source: hyper_util::client::legacy::Error,
    },
    /// No answer in time.
    #[error("the coordinator at {url} did not answer within {} seconds", TIMEOUT.as_secs())]
    Timeout {
        /// What was asked.
        url: Uri,
    },
    /// It says no.
    #[error("the coordinator at {url} refused with {status}: {excerpt}")]
    Refused {
        /// What was asked.
        url: Uri,
        /// The answer's status.
        status: StatusCode,
        /// The beginning of the answer, printable characters only.
        excerpt: String,
    },
    /// The answer did not come whole.
    #[error("the answer of the coordinator at {url} cannot be read")]
    Body {
        /// What was asked.
        url: Uri,
        /// Why.
        source: BodyError,
    },
    /// The answer is not what a coordinator says.
    #[error("the answer of {url} is not a coordinator's; check the address")]
    Json {
        /// What was asked.
        url: Uri,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The attestation document is malformed.
    #[error("the attestation document of {url} cannot be read")]
    Document {
        /// What was asked.
        url: Uri,
        /// Why.
        source: DocumentError,
    },
    /// The nonce is not 32 bytes.
    #[error("the challenge of {url} is not 32 bytes in base64")]
    Nonce {
        /// What was asked.
        url: Uri,
    },
}

impl CoordinatorError {
    /// Whether the same may work in a moment: the coordinator is starting, or busy.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Body { .. } => true,
            // 412: no manifest is set yet
            Self::Refused { status, .. } => {
                matches!(status.as_u16(), 408 | 412 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            Self::Json { .. } | Self::Document { .. } | Self::Nonce { .. } => false,
        }
    }
}

/// The coordinators of one deployment. Each of them answers for all: what one begins another may go on with.
#[derive(Debug)]
pub(crate) struct Coordinator {
    client: Client<HttpConnector, Full<Bytes>>,
    attest: Replicas,
    challenge: Replicas,
    join: Replicas,
}

/// The same path at each of them, and the one that answered last.
#[derive(Debug)]
struct Replicas {
    urls: Vec<Uri>,
    preferred: AtomicUsize,
}

impl Replicas {
    fn new(bases: &[Uri], path: &'static str) -> Self {
        let urls = bases.iter().map(|base| with_path(base, path)).collect();
        Self { urls, preferred: AtomicUsize::new(0) }
    }
}

impl Coordinator {
    pub(crate) fn new(coordinator: &[Uri], mesh: &[Uri]) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECTING));
        connector.set_nodelay(true);
        // No connection is kept: requests are rare, and a kept one would only be found dead.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self {
            client,
            attest: Replicas::new(coordinator, ATTEST_PATH),
            challenge: Replicas::new(mesh, CHALLENGE_PATH),
            join: Replicas::new(mesh, JOIN_PATH),
        }
    }

    /// The coordinator's answer to our nonce, not verified.
    pub(crate) async fn attest(&self, nonce: &[u8; 32]) -> Result<AttestationDocument, CoordinatorError> {
        let message = Challenge { nonce: STANDARD.encode(nonce) };
        let (url, body) = self.post_any(&self.attest, &message, AttestationDocument::MAX_LEN).await?;
        AttestationDocument::parse(&body)
            .map_err(|source| CoordinatorError::Document { url: url.clone(), source })
    }

    /// A nonce that our evidence has to be bound to.
    pub(crate) async fn challenge(&self) -> Result<[u8; 32], CoordinatorError> {
        let (url, Challenge { nonce }) = self.ask(&self.challenge, &serde_json::json!({})).await?;
        let nonce = STANDARD.decode(nonce).ok().and_then(|nonce| <[u8; 32]>::try_from(nonce).ok());
        nonce.ok_or_else(|| CoordinatorError::Nonce { url: url.clone() })
    }

    /// A certificate for our key, not verified.
    pub(crate) async fn join(&self, request: &JoinRequest) -> Result<JoinReply, CoordinatorError> {
        self.ask(&self.join, request).await.map(|(_, reply)| reply)
    }

    async fn ask<'a, T: DeserializeOwned>(
        &self,
        replicas: &'a Replicas,
        message: &impl Serialize,
    ) -> Result<(&'a Uri, T), CoordinatorError> {
        let (url, body) = self.post_any(replicas, message, MAX_REPLY).await?;
        let reply = serde_json::from_slice(&body);
        let reply = reply.map_err(|source| CoordinatorError::Json { url: url.clone(), source })?;
        Ok((url, reply))
    }

    /// Asks one after the other, the one that answered last first, until one gives an answer that is not for a moment only.
    async fn post_any<'a>(
        &self,
        replicas: &'a Replicas,
        message: &impl Serialize,
        max: usize,
    ) -> Result<(&'a Uri, Bytes), CoordinatorError> {
        let first = replicas.preferred.load(Ordering::Relaxed);
        let order = replicas.urls.iter().enumerate().cycle().skip(first).take(replicas.urls.len());
        let mut refusal = None;
        for (index, url) in order {
            match self.post(url, message, max).await {
                Err(error) if error.is_temporary() => refusal = Some(error),
                outcome => {
                    replicas.preferred.store(index, Ordering::Relaxed);
                    return outcome.map(|body| (url, body));
                }
            }
        }
        Err(refusal.expect("the settings name at least one coordinator"))
    }

    async fn post(&self, url: &Uri, message: &impl Serialize, max: usize) -> Result<Bytes, CoordinatorError> {
        let json = serde_json::to_vec(message)
            .map_err(|source| CoordinatorError::Json { url: url.clone(), source })?;
        let mut request =
            Request::post(url.clone()).body(Full::new(Bytes::from(json))).expect("the URL was parsed");
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        let exchange = async {
            let unreachable = |source| CoordinatorError::Unreachable { url: url.clone(), source };
            let response = self.client.request(request).await.map_err(unreachable)?;
            let status = response.status();
            let body = read_limited(response.into_body(), max).await;
            if !status.is_success() {
                let excerpt = excerpt(&body.unwrap_or_default());
                return Err(CoordinatorError::Refused { url: url.clone(), status, excerpt });
            }
            body.map_err(|source| CoordinatorError::Body { url: url.clone(), source })
        };
        let timeout = |_| CoordinatorError::Timeout { url: url.clone() };
        tokio::time::timeout(TIMEOUT, exchange).await.map_err(timeout)?
    }
}

fn with_path(base: &Uri, path: &'static str) -> Uri {
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::from_static(path));
    Uri::from_parts(parts).expect("a URL with scheme, host and path")
}

/// What a stranger wrote, made fit for a log line.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.chars().take(MAX_EXCERPT).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
