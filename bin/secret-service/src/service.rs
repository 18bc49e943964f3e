//! The routes over HTTP. What may be asked by whom is decided here, before a body is read.

use std::{sync::Arc, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use privatemode_service::{
    ApiError, BoxBody, BoxError, Chain,
    body::{empty, full, read_limited},
};
use privatemode_store::{
    PutError, StoredSecret,
    claims::{ClaimFailure, ClaimMessage, ClaimStore, RefusalMessage},
};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{Caller, ExchangeError, LookupError, Metrics, Secrets};

/// A public key of 1216 bytes as base64 in JSON has 1.7 KB.
const MAX_EXCHANGE: usize = 16 * 1024;
const MAX_LOOKUP: usize = 1024;

/// Answers the secret service's routes.
#[derive(Clone)]
pub struct SecretService {
    secrets: Arc<Secrets>,
    claims: Arc<dyn ClaimStore>,
    metrics: Metrics,
}

#[derive(Clone, Copy)]
enum Route {
    Exchange,
    Lookup,
    Claim,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/secret" => Some(Self::Exchange),
            "/mesh/v1/secrets/lookup" => Some(Self::Lookup),
            "/v1/claims" => Some(Self::Claim),
            _ => None,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Lookup => "lookup",
            Self::Claim => "claim",
        }
    }

    /// The gateway must never get a secret, however it came by a workload's trust; and it must not claim a request that it holds
    /// back.
    fn allowed(self) -> Caller {
        match self {
            Self::Exchange => Caller::Gateway,
            Self::Lookup | Self::Claim => Caller::InferenceProxy,
        }
    }
}

impl SecretService {
    /// Serves `secrets` and `claims`.
    #[must_use]
    pub fn new(secrets: Arc<Secrets>, claims: Arc<dyn ClaimStore>, metrics: Metrics) -> Self {
        Self { secrets, claims, metrics }
    }

    /// Answers one request of `caller`, whose identity the TLS handshake has verified.
    pub async fn handle<B>(&self, caller: Caller, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let route = Route::of(request.uri().path());
        let label = route.map_or("unknown", Route::label);
        let response = match self.answer(route, caller, request).await {
            Ok(response) => response,
            Err(error) => {
                error.log();
                plain(error.response(&http::HeaderMap::new()))
            }
        };
        self.metrics.request(label, response.status()).increment();
        response
    }

    async fn answer<B>(
        &self,
        route: Option<Route>,
        caller: Caller,
        request: Request<B>,
    ) -> Result<Response<BoxBody>, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let route =
            route.ok_or_else(|| ApiError::not_found("unknown_path", "There is no such path here."))?;
        if caller != route.allowed() {
            return Err(ApiError::forbidden("wrong_caller", "This workload may not use this path."));
        }
        if request.method() != Method::POST {
            return Err(ApiError::method_not_allowed("Use POST."));
        }
        match route {
            Route::Exchange => self.exchange(&read_limited(request.into_body(), MAX_EXCHANGE).await?).await,
            Route::Lookup => self.lookup(&read_limited(request.into_body(), MAX_LOOKUP).await?).await,
            Route::Claim => self.claim(&read_limited(request.into_body(), ClaimMessage::MAX).await?).await,
        }
    }

    async fn exchange(&self, body: &[u8]) -> Result<Response<BoxBody>, ApiError> {
        let start = Instant::now();
        let reply = self.secrets.exchange(body).await.map_err(|error| exchange_failed(&error))?;
        self.metrics.exchange_seconds.observe_duration(start.elapsed());
        Ok(json(reply.to_json()))
    }

    async fn lookup(&self, body: &[u8]) -> Result<Response<BoxBody>, ApiError> {
        #[derive(Deserialize)]
        struct Lookup {
            #[serde(rename = "ID")]
            id: String,
        }
        let Lookup { id } = serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request("bad_lookup", "Expected {\"ID\": …}.").with_private(Chain(&error))
        })?;
        match self.secrets.lookup(&id).await.map_err(|error| lookup_failed(&error))? {
            Some(found) => Ok(json(found_json(&found))),
            None => Err(ApiError::not_found("no_secret", "There is no live secret of that ID.")),
        }
    }

    /// 204: the worker may answer the request, and nobody else ever. A 503 whose body is no refusal: nobody can tell.
    async fn claim(&self, body: &[u8]) -> Result<Response<BoxBody>, ApiError> {
        let ClaimMessage { key, sent, attempt } = ClaimMessage::parse(body).map_err(|error| {
            ApiError::bad_request("bad_claim", "Expected {\"key\": …, \"sent\": …}.")
                .with_private(Chain(&error))
        })?;
        let claimed = match attempt {
            Some(attempt) => self.claims.claim_for(&key, sent, attempt).await,
            None => self.claims.claim_once(&key, sent).await,
        };
        let claimed = match claimed {
            Ok(()) => Ok(()),
            Err(ClaimFailure::Refused(refusal)) => Err(refusal),
            Err(error @ ClaimFailure::Unavailable(_)) => {
                self.metrics.claim_failed();
                return Err(ApiError::unavailable(
                    "claims_unavailable",
                    "Nobody can tell whether this request ran before. Try again.",
                )
                .with_private(Chain(&error)));
            }
        };
        self.metrics.claim(claimed);
        let (status, mut response) = match claimed {
            Ok(()) => (StatusCode::NO_CONTENT, Response::new(empty())),
            Err(refusal) => {
                let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::CONFLICT);
                (status, json(RefusalMessage(refusal).to_json(self.claims.now())))
            }
        };
        *response.status_mut() = status;
        Ok(response)
    }
}

/// The answer to a lookup, wiped when the last byte has left.
fn found_json(found: &StoredSecret) -> Bytes {
    // sized once: a buffer that grows leaves copies behind
    let mut json = Zeroizing::new(String::with_capacity(256));
    json.push_str(r#"{"Secret":""#);
    STANDARD.encode_string(found.secret.as_ref(), &mut json);
    json.push_str(&format!(r#"","ExpiresIn":{}}}"#, found.expires_in.as_secs()));
    Bytes::from_owner(Wiped(json))
}

struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn exchange_failed(error: &ExchangeError) -> ApiError {
    let answer = match error {
        ExchangeError::Message(_) | ExchangeError::Accept(_) => ApiError::bad_request(
            "bad_exchange",
            format!("The secret exchange is refused: {}.", Chain(error)),
        ),
        ExchangeError::Put(PutError::Exists) => ApiError::new(
            StatusCode::CONFLICT,
            "secret_exists",
            "A secret was exchanged with this public key already. Make a new key pair for each exchange.",
        ),
        ExchangeError::Put(PutError::Full { .. }) => {
            ApiError::unavailable("secret_store_full", "The secret store is full. Try again later.")
                .with_header(header::RETRY_AFTER, HeaderValue::from_static("60"))
        }
        ExchangeError::Put(PutError::Unavailable(_)) => {
            ApiError::unavailable("secret_store_unavailable", "The secret store does not answer. Try again.")
        }
        ExchangeError::Sign(_)
        | ExchangeError::Put(PutError::IdLength { .. } | PutError::SecretLength { .. }) => {
            ApiError::internal("")
        }
    };
    answer.with_private(Chain(error))
}

fn lookup_failed(error: &LookupError) -> ApiError {
    let answer = match error {
        LookupError::Id(_) => ApiError::bad_request("bad_secret_id", "This is not a secret's ID."),
        LookupError::Get(_) => {
            ApiError::unavailable("secret_store_unavailable", "The secret store does not answer. Try again.")
        }
    };
    answer.with_private(Chain(error))
}

fn json(body: impl Into<Bytes>) -> Response<BoxBody> {
    let mut response = Response::new(full(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Errors pass through the gateway to the client, which must not try to open them.
fn plain(mut response: Response<BoxBody>) -> Response<BoxBody> {
    response.headers_mut().insert(privatemode_wire::header::ENCRYPTED, HeaderValue::from_static("false"));
    response
}

#[cfg(test)]
mod tests;
