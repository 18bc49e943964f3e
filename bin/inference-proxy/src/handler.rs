//! One request from its head to the last byte of its answer. The order of the checks:
//!
//! 1. the path is one we know — nothing else is worth reading
//! 2. one content type — two readers must see one body
//! 3. the body is within its cap, and all large bodies together within theirs — before any of it is parsed
//! 4. a secret ID, then its secret — clients without a live secret must renew it
//! 5. the OCSP policy, under the secret's MAC — before anything is decrypted on a machine that the client refuses
//! 6. the body opens — nothing unauthenticated goes further; errors up to here travel plain, later ones sealed
//! 7. the salt and the media URLs — the engine would share a cache, or fetch what it is told to
//! 8. usage options — so that the gateway can meter without reading
//! 9. the engine
//!
//! A body that is sealed as a whole goes its own way after step 2: `crate::sealed`.

mod answer;
mod models;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use getrandom::{SysRng, rand_core::UnwrapErr};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use privatemode_service::{
    ApiError, BoxBody, BoxError,
    body::{empty, read_limited},
};
use privatemode_wire::{
    Endpoint, Secret, SecretId,
    admit::{check, with_usage_options},
    header::{self, CANCEL_PATH, REQUEST_ID},
    message::{OpenError, RequestOpener, ResponseSealer},
    stream::outer::is_sealed,
};

use crate::{
    Engine, GpuStatus, Metrics, Sealing, SecretCache, Tasks,
    budget::{Budget, Held},
    failure::{self, sealable_json},
    metrics::label,
    request::{content_type, engine_headers, engine_path, foreign_id, secret_id, stays},
    running::Running,
    stream::Accounted,
};

/// Working on more than this would hold up other requests of the same thread.
const OFF_THREAD: usize = 1024 * 1024;

/// How much requests may make us hold.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A sealed request.
    pub body: usize,
    /// A unary answer of the engine.
    pub answer: usize,
    /// All large requests together; never less than one.
    pub buffered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: 256 << 20, answer: 128 << 20, buffered: 2 << 30 }
    }
}

/// Opens requests, asks the engine, seals answers. Clones share everything.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    secrets: SecretCache,
    engine: Arc<Engine>,
    gpus: GpuStatus,
    tasks: Tasks,
    limits: Limits,
    budget: Budget,
    sealing: Sealing,
    running: Running,
    metrics: Metrics,
}

enum Route {
    Sealed(Endpoint),
    Models,
    /// The gateway's, for an answer that is to end.
    Cancel,
    Unknown,
}

impl Route {
    fn of(path: &str) -> Self {
        match Endpoint::from_path(path) {
            Some(endpoint) => Self::Sealed(endpoint),
            None if path == "/v1/models"
                || path.strip_prefix("/v1/models/").is_some_and(|id| !id.is_empty()) =>
            {
                Self::Models
            }
            None if path == CANCEL_PATH => Self::Cancel,
            None => Self::Unknown,
        }
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Sealed(endpoint) => label(*endpoint),
            Self::Models => "models",
            Self::Cancel => "cancel",
            Self::Unknown => "unknown",
        }
    }
}

impl Worker {
    /// A worker in front of `engine`.
    #[must_use]
    pub fn new(
        secrets: SecretCache,
        engine: Arc<Engine>,
        gpus: GpuStatus,
        tasks: Tasks,
        limits: Limits,
        sealing: Sealing,
        metrics: Metrics,
    ) -> Self {
        metrics.show_gpus(gpus.gpus());
        let budget = Budget::new(limits.buffered.max(limits.body));
        let running = Running::default();
        Self(Arc::new(Inner { secrets, engine, gpus, tasks, limits, budget, sealing, running, metrics }))
    }

    /// Answers one request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let started = Instant::now();
        let metrics = &self.0.metrics;
        let open = metrics.open_requests.enter();
        let (parts, body) = request.into_parts();
        let route = Route::of(parts.uri.path());
        let label = route.label();
        let response = match self.route(route, &parts, body).await {
            Ok(response) => response,
            Err(error) => {
                failure::log(&error);
                plain(error.response(&parts.headers))
            }
        };
        metrics.request(label, response.status()).increment();
        tracing::debug!(endpoint = label, status = response.status().as_u16(), "answered");
        let duration = metrics.duration(label);
        response.map(|body| Accounted::new(body, started, duration, open).boxed_unsync())
    }

    async fn route<B>(&self, route: Route, parts: &Parts, body: B) -> Result<Response<BoxBody>, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        // step 1
        match route {
            Route::Unknown => Err(failure::unsupported_endpoint()),
            Route::Models if parts.method != Method::GET => Err(ApiError::method_not_allowed("Use GET.")),
            Route::Models if !stays(parts.uri.path()) => Err(failure::unsupported_endpoint()),
            Route::Models => self.models(parts).await.map(plain),
            Route::Cancel if parts.method != Method::POST => Err(ApiError::method_not_allowed("Use POST.")),
            Route::Cancel => self.cancel(&parts.headers),
            Route::Sealed(_) if parts.method != Method::POST => {
                Err(ApiError::method_not_allowed("Use POST."))
            }
            Route::Sealed(endpoint) => self.sealed(endpoint, parts, body).await,
        }
    }

    async fn sealed<B>(
        &self,
        endpoint: Endpoint,
        parts: &Parts,
        body: B,
    ) -> Result<Response<BoxBody>, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<BoxError>,
    {
        let path = engine_path(endpoint, parts.uri.path()).ok_or_else(failure::unsupported_endpoint)?;
        let content_type = content_type(&parts.headers)?; // step 2
        if content_type.is_some_and(is_sealed) {
            return Box::pin(self.sealed_body(endpoint, parts, body)).await;
        }
        let mut held = self.0.budget.hold();
        let body = read_limited(held.count(body), self.0.limits.body).await; // step 3
        let body = body.map_err(failure::body)?;
        let id = secret_id(&parts.headers, endpoint, content_type, &body)?; // step 4
        let secret = self.secret(&id).await?;
        self.check_gpus(&parts.headers, &secret)?; // step 5
        let (opened, sealer) = open(&id, &secret, endpoint, content_type, body).await?; // step 6
        let answer = self.ask(endpoint, &path, parts, content_type, opened, held).await;
        match answer {
            Ok(answer) => Ok(self.seal(endpoint, sealer, answer).await),
            Err(error) => Ok(answer::sealed_error(endpoint, sealer, &error)),
        }
    }

    pub(crate) fn check_gpus(&self, headers: &HeaderMap, secret: &Secret) -> Result<(), ApiError> {
        self.0.gpus.check(headers, secret).map_err(|error| failure::policy(&error))
    }

    pub(crate) fn sealing(&self) -> &Sealing {
        &self.0.sealing
    }

    /// Ends the answer that the header names.
    fn cancel(&self, headers: &HeaderMap) -> Result<Response<BoxBody>, ApiError> {
        if !foreign_id(headers, REQUEST_ID).is_some_and(|name| self.0.running.end(&name)) {
            return Err(failure::not_running());
        }
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(plain(response))
    }

    pub(crate) fn running(&self) -> &Running {
        &self.0.running
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn limits(&self) -> Limits {
        self.0.limits
    }

    /// A request's part of the budget.
    pub(crate) fn hold(&self) -> Held {
        self.0.budget.hold()
    }

    pub(crate) async fn secret(&self, id: &SecretId) -> Result<Arc<Secret>, ApiError> {
        match self.0.secrets.get(id).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(failure::no_secret(id)),
            Err(error) => Err(failure::lookup(&error)),
        }
    }

    /// Steps 7 to 9.
    async fn ask(
        &self,
        endpoint: Endpoint,
        path: &str,
        parts: &Parts,
        content_type: Option<&str>,
        opened: Vec<u8>,
        held: Held,
    ) -> Result<Response<Incoming>, ApiError> {
        let body = prepare(endpoint, content_type, opened).await?;
        let headers = engine_headers(&parts.headers, true);
        // gone as soon as the engine has it: the answer may take an hour
        let answer = self.0.engine.send(Method::POST, path, headers, held.keep(body)).await; // step 9
        answer.map_err(|error| failure::engine(&error))
    }
}

async fn open(
    id: &SecretId,
    secret: &Secret,
    endpoint: Endpoint,
    content_type: Option<&str>,
    body: Bytes,
) -> Result<(Vec<u8>, ResponseSealer), ApiError> {
    let mut opener = RequestOpener::new(id, secret);
    let content_type = content_type.map(str::to_owned);
    let length = body.len();
    let open = move || -> Result<_, OpenError> {
        let opened = opener.open(endpoint, content_type.as_deref(), &body)?;
        Ok((opened, opener.finish(&mut UnwrapErr(SysRng))))
    };
    off_thread(length, open).await?.map_err(|error| failure::open(&error))
}

/// Steps 7 and 8.
async fn prepare(
    endpoint: Endpoint,
    content_type: Option<&str>,
    opened: Vec<u8>,
) -> Result<Vec<u8>, ApiError> {
    let content_type = content_type.map(str::to_owned);
    let length = opened.len();
    let prepare = move || {
        check(endpoint, content_type.as_deref(), &opened)?; // step 7
        with_usage_options(endpoint, content_type.as_deref(), &opened) // step 8
    };
    off_thread(length, prepare).await?.map_err(|error| failure::admit(&error))
}

/// Does work on `length` bytes where it holds up nobody else.
pub(crate) async fn off_thread<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiError> {
    if length <= OFF_THREAD {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| ApiError::internal("work on a body panicked"))
}

/// Marks a body that is not sealed, so that the client passes it on as it is.
pub(crate) fn plain(mut response: Response<BoxBody>) -> Response<BoxBody> {
    response.headers_mut().insert(header::ENCRYPTED, HeaderValue::from_static("false"));
    response
}
