//! What clients before the exchange did: they made a secret and uploaded it, `UserAPI/SetSecrets` over gRPC and TLS without
//! client certificates. Off unless `--danger-old-upload-api` is given.
//!
//! Stricter than it was: a secret always expires, an ID that is taken is refused, and IDs in the form of an exchange's are
//! refused, so that nobody can take the place of one. Only this one call, without compression. Each secret is stored by
//! itself: those before one that is refused stay, and end by themselves.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use privatemode_service::{
    BoxBody, BoxError, Chain,
    body::{BodyError, boxed, empty, read_limited},
};
use privatemode_store::{PutError, SecretStore};
use privatemode_wire::{Secret, SecretId};
use prost::Message as _;
use zeroize::Zeroize as _;

use crate::Metrics;

const PATH: &str = "/edgelesssys.continuum.secret_service.userapi.UserAPI/SetSecrets";
/// Some hundred secrets; clients upload one.
const MAX_BODY: usize = 32 * 1024;
const MAX_SECRETS: usize = 16;

/// Takes uploads. Clones share the store.
#[derive(Clone)]
pub struct Uploads {
    store: Arc<dyn SecretStore>,
    longest: Duration,
    metrics: Metrics,
}

/// `SetSecretsRequest`. Wiped when dropped, never printed.
#[derive(prost::Message)]
#[prost(skip_debug)]
struct SetSecrets {
    #[prost(map = "string, bytes", tag = "1")]
    secrets: HashMap<String, Vec<u8>>,
    /// Seconds.
    #[prost(int64, tag = "2")]
    time_to_live: i64,
}

impl Drop for SetSecrets {
    fn drop(&mut self) {
        self.secrets.values_mut().for_each(|secret| secret.zeroize());
    }
}

impl std::fmt::Debug for SetSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SetSecrets({} secrets, ..)", self.secrets.len())
    }
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error("the message cannot be read")]
    Body(#[source] BodyError),
    #[error("expected one uncompressed gRPC message of at most {MAX_BODY} bytes")]
    Frame,
    #[error("the message is not a SetSecretsRequest")]
    Message,
    #[error("expected 1 to {MAX_SECRETS} secrets, got {count}")]
    Count { count: usize },
    #[error("the time to live has to be 1 to {} seconds, got {seconds}", .longest.as_secs())]
    TimeToLive { seconds: i64, longest: Duration },
    #[error("not an ID that can be uploaded")]
    Id,
    #[error("a secret has 16, 24 or 32 bytes")]
    Length,
    #[error("the secret could not be stored")]
    Put(#[source] PutError),
}

impl UploadError {
    /// gRPC's code.
    fn code(&self) -> u8 {
        match self {
            Self::Body(_) | Self::Frame | Self::Message => 3,
            Self::Count { .. } | Self::TimeToLive { .. } | Self::Id | Self::Length => 3,
            Self::Put(PutError::IdLength { .. } | PutError::SecretLength { .. }) => 3,
            Self::Put(PutError::Exists) => 6,
            Self::Put(PutError::Full { .. }) => 8,
            Self::Put(PutError::Unavailable(_)) => 14,
        }
    }
}

impl Uploads {
    /// Uploads into `store`, for `longest` at most.
    #[must_use]
    pub fn new(store: Arc<dyn SecretStore>, longest: Duration, metrics: Metrics) -> Self {
        Self { store, longest, metrics }
    }

    /// Answers one request of anybody.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let grpc = request.headers().get(header::CONTENT_TYPE);
        let grpc = grpc.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if request.method() != Method::POST || !grpc {
            let mut response = Response::new(empty());
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return response;
        }
        if request.uri().path() != PATH {
            return refusal(12, "there is no such method here");
        }
        let outcome = self.upload(request.into_body()).await;
        let status = if outcome.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        self.metrics.request("upload", status).increment();
        match outcome {
            Ok(()) => done(),
            Err(error) => {
                tracing::info!(error = %Chain(&error), "an upload is refused");
                refusal(error.code(), &error.to_string())
            }
        }
    }

    async fn upload<B>(&self, body: B) -> Result<(), UploadError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let body = read_limited(body, MAX_BODY).await.map_err(UploadError::Body)?;
        let request = parse(&body);
        wipe(body);
        let request = request?;
        let ttl = self.time_to_live(request.time_to_live)?;
        if !(1..=MAX_SECRETS).contains(&request.secrets.len()) {
            return Err(UploadError::Count { count: request.secrets.len() });
        }
        // all of them before any is stored
        for (id, secret) in &request.secrets {
            check(id, secret)?;
        }
        for (id, secret) in &request.secrets {
            self.store.put(id, secret, ttl).await.map_err(UploadError::Put)?;
        }
        Ok(())
    }

    /// Zero and less meant "for ever": not here.
    fn time_to_live(&self, seconds: i64) -> Result<Duration, UploadError> {
        let ttl = u64::try_from(seconds).ok().map(Duration::from_secs);
        ttl.filter(|ttl| !ttl.is_zero() && *ttl <= self.longest)
            .ok_or(UploadError::TimeToLive { seconds, longest: self.longest })
    }
}

/// One message: a byte that says "not compressed", its length, itself.
fn parse(body: &[u8]) -> Result<SetSecrets, UploadError> {
    let (head, message) = body.split_first_chunk::<5>().ok_or(UploadError::Frame)?;
    let [compressed, length @ ..] = *head;
    if compressed != 0 || usize::try_from(u32::from_be_bytes(length)) != Ok(message.len()) {
        return Err(UploadError::Frame);
    }
    // a decoding error could quote its input
    SetSecrets::decode(message).map_err(|_| UploadError::Message)
}

fn check(id: &str, secret: &[u8]) -> Result<(), UploadError> {
    SecretId::parse(id).map_err(|_| UploadError::Id)?;
    if STANDARD.decode(id).is_ok_and(|digest| digest.len() == 32) {
        return Err(UploadError::Id);
    }
    Secret::from_slice(secret).map(drop).map_err(|_| UploadError::Length)
}

/// Wipes what the HTTP server read, as far as nobody else holds it.
fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

/// An empty message, and the status behind it.
fn done() -> Response<BoxBody> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Full::new(Bytes::from_static(&[0; 5]));
    grpc(boxed(message.with_trailers(std::future::ready(Some(Ok(trailers))))))
}

/// Only a status. `message` is one of ours: printable, without percent signs.
fn refusal(code: u8, message: &str) -> Response<BoxBody> {
    let mut response = grpc(empty());
    response.headers_mut().insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Ok(message) = HeaderValue::from_str(message) {
        response.headers_mut().insert("grpc-message", message);
    }
    response
}

fn grpc(body: BoxBody) -> Response<BoxBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

#[cfg(test)]
mod tests;
