//! One request from its head to its answer: the order of the checks, in one place.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use privatemode_client::{Clock, Entropy, Session};
use privatemode_service::{
    BoxBody, Connection,
    body::{boxed, read_limited},
};
use privatemode_wire::{Endpoint, salt::SaltPolicy, stream::Padding};

use crate::{
    config::OcspSettings,
    cors::Origin,
    dump::Dump,
    failure::Failure,
    forward::{self, Caller, Exchange},
    key::ApiKey,
    manifests::LoggedManifests,
    payload::Payload,
    prepare::{Prepared, content_type, prepare, prepare_ahead},
    receipts::Receipts,
    receive,
    route::Route,
    sealed::{self, Recipient, SendingTime},
    status::{self, About},
    upstream::{Upstream, identity, unreachable},
};

/// More than the service takes, so that its own message reaches the caller (`docs`: 128 MiB read, 50 MB accepted).
const MAX_REQUEST: usize = 128 << 20;

/// The session of this process.
pub(crate) type ProxySession = Session<Arc<Upstream>, Arc<LoggedManifests>>;

/// What requests need.
pub(crate) struct App {
    pub(crate) session: Arc<ProxySession>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) salt: SaltPolicy,
    pub(crate) ocsp: OcspSettings,
    pub(crate) dump: Option<Dump>,
    pub(crate) padding: Padding,
    pub(crate) receipts: Arc<Receipts>,
    pub(crate) sending_time: SendingTime,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) attestation_wait: Duration,
    pub(crate) about: About,
}

impl App {
    /// Answers a request. Every failure is an answer.
    pub(crate) async fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody>, Infallible> {
        let headers = request.headers().clone();
        let origin = match Origin::of(&headers, &self.allow_origins) {
            Ok(origin) => origin,
            Err(error) => return Ok(error.response(&headers)),
        };
        let mut response = if request.method() == Method::OPTIONS {
            origin.preflight(&headers)
        } else {
            self.answer(request, &headers).await
        };
        origin.decorate(response.headers_mut());
        // A browser must not make a page or a script of this origin out of what a gateway or a model wrote.
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Ok(response)
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>, head: &HeaderMap) -> Response<BoxBody> {
        let route = match Route::of(request.method(), request.uri().path()) {
            Ok(route) => route,
            Err(error) => return error.response(head),
        };
        let answer = match route {
            Route::Healthz => return status::healthz(),
            Route::Readyz => return status::readyz(&self.report()),
            Route::StatusJson => return status::json(&self.report()),
            Route::StatusPage => return status::page(&self.report()),
            Route::Models => self.models(request).await,
            Route::Sealed(endpoint) => Box::pin(self.sealed(endpoint, request)).await,
        };
        answer.unwrap_or_else(|failure| failure.response(head))
    }

    /// What `/readyz` and the status page say.
    pub(crate) fn report(&self) -> status::Report {
        status::Report::of(&self.about, &self.session.status(), self.clock.now())
    }

    async fn sealed(
        self: &Arc<Self>,
        endpoint: Endpoint,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody>, Failure> {
        // 1. the head: cheap, and before a byte of the body is read
        let content_type = content_type(request.headers())?;
        let key = self.key(request.headers())?;
        let caller = Caller::of(&request);
        // 2. the body, capped: all of it, or the beginning of a file
        // 3. its form, model, salt: the caller's own mistakes are told without a round trip
        let prepared = if is_file(endpoint) {
            self.file(endpoint, content_type, request.into_body(), &caller).await?
        } else {
            let body = read_limited(request.into_body(), MAX_REQUEST).await;
            let body = body.map_err(|source| Failure::Body { source })?;
            let prepared = prepare(endpoint, content_type, body, &self.salt, &mut *self.entropy.rng())?;
            if let (Some(dump), Payload::Whole(body)) = (&self.dump, &prepared.body) {
                dump.request(&caller.id, body);
            }
            prepared
        };
        // 4. attested, or nothing leaves; then sealed, sent, at most twice
        let stream = prepared.stream;
        let exchange = forward::exchange(self, Arc::new(prepared), &caller, &key).await?;
        // 5. opened, or nothing is believed
        let dump = self.dump.as_ref().map(|dump| dump.response(&caller.id));
        match exchange {
            Exchange::Plain(plain) => Ok(plain.response()),
            Exchange::Fields(exchange) => receive::open(endpoint, stream, *exchange, dump).await,
            Exchange::Sealed(answer) => {
                let recipient = Recipient { endpoint, stream, wants_receipt: caller.wants_receipt, dump };
                sealed::deliver(*answer, recipient, &self.receipts).await
            }
        }
    }

    /// Files may be large: of one that can be streamed, only the beginning is read here.
    async fn file(
        &self,
        endpoint: Endpoint,
        content_type: Option<HeaderValue>,
        body: Incoming,
        caller: &Caller,
    ) -> Result<Prepared, Failure> {
        let broken = |source| Failure::Body { source };
        let dump = self.dump.as_ref().map(|dump| dump.request_file(&caller.id));
        let whole = match Payload::begin(body, MAX_REQUEST, dump).await.map_err(broken)? {
            Payload::Whole(body) => body,
            Payload::Streamed(upload) => match prepare_ahead(endpoint, content_type.as_ref(), &upload)? {
                Some(prepared) => return Ok(prepared),
                None => upload.whole().await.map_err(broken)?,
            },
        };
        prepare(endpoint, content_type, whole, &self.salt, &mut *self.entropy.rng())
    }

    /// The model list is the gateway's public word: not sealed, and so not waiting for attestation either.
    async fn models(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<BoxBody>, Failure> {
        let key = self.key(request.headers())?;
        if self.upstream.keys().offer(&key) {
            self.session.kick();
        }
        let mut headers = identity(Some(&key));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let path = request.uri().path_and_query().map_or("/v1/models", |path| path.as_str());
        let answer = self
            .upstream
            .send(request.method().clone(), path, headers, reqwest::Body::default())
            .await
            .map_err(|error| Failure::Unreachable { source: unreachable(error) })?;
        if answer.status() == http::StatusCode::UNAUTHORIZED {
            self.upstream.keys().refused(&key);
        }
        let mut response = Response::new(());
        *response.status_mut() = receive::check_status(answer.status())?;
        *response.headers_mut() = receive::pass_headers(answer.headers());
        Ok(response.map(|()| boxed(reqwest::Body::from(answer))))
    }

    fn key(&self, headers: &HeaderMap) -> Result<Arc<ApiKey>, Failure> {
        self.upstream.keys().for_request(headers).ok_or(Failure::NoKey)
    }
}

fn is_file(endpoint: Endpoint) -> bool {
    endpoint.is_multipart() || endpoint == Endpoint::Unstructured
}

impl Caller {
    fn of(request: &Request<Incoming>) -> Self {
        let remote = Connection::of(request).map(|connection| connection.remote.ip());
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        Self::new(path, request.headers(), remote)
    }
}
