//! The gateway's one service: which path is what, who may call, and the answer.
//!
//! The order in which a request is checked:
//!
//! 1. path, method — nothing is done for what does not exist
//! 2. API key — before any byte of the body is read
//!    (an exchange of keys: the key's allowance)
//! 3. one `Content-Type` at most — two readers must not see two documents
//! 4. model, worker — before the body, so that a refusal costs nothing
//! 5. size — by the announced length at once, else while the body streams
//!
//! Bodies pass as ciphertext. This crate cannot open them: it is built without `wire`'s cipher.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body::Body;
use hyper::body::Incoming;
use privatemode_service::{ApiError, BoxBody, BoxError, Connection};
use privatemode_wire::header as names;
use privatemode_wire::profile::Endpoint;
use privatemode_wire::stream::outer::EXCHANGES;

use crate::exchange::{Exchange, Outcome};
use crate::exchange_limit::ExchangeLimit;
use crate::headers::{RequestId, foreign_id, mark_own};
use crate::keyring::Keyring;
use crate::ledger::Ledger;
use crate::manifest::ServedManifest;
use crate::metrics::Metrics;
use crate::replicas::Replicas;
use crate::running::Running;
use crate::workers::Workers;
use crate::{catalogue, forward, relay, running};

#[cfg(test)]
mod tests;

/// Everything that requests share.
pub(crate) struct Parts {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) workers: Arc<Workers>,
    pub(crate) coordinator: Replicas,
    pub(crate) secret_service: Replicas,
    pub(crate) manifest: ServedManifest,
    pub(crate) exchange_limit: ExchangeLimit,
    pub(crate) running: Running,
    pub(crate) metrics: Metrics,
}

/// Answers requests; clones share everything.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Parts>);

/// What a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Attest,
    Secret,
    Manifest,
    Models,
    Model(&'a str),
    Client(Endpoint),
    /// An answer under way.
    Exchange(&'a str),
}

/// What went to the caller, before it is marked and recorded.
pub(crate) enum Answer {
    /// Made here: plain.
    Own(Response<BoxBody>),
    /// A worker's, which carries its own record.
    Workers(Response<BoxBody>),
}

impl Gateway {
    pub(crate) fn new(parts: Parts) -> Gateway {
        Gateway(Arc::new(parts))
    }

    /// Answers one request. Dropping the future, or the answer's body, cancels what was begun for it.
    pub(crate) async fn handle<B>(&self, request: Request<B>) -> Response<BoxBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let parts = &*self.0;
        let accept = accept_only(request.headers());
        let mut exchange = Some(parts.exchange(&request));
        let id = exchange.as_ref().map_or_else(RequestId::new, |exchange| exchange.id.clone());
        let mut response = match parts.answer(request, &mut exchange).await {
            Ok(Answer::Workers(response)) => return response,
            Ok(Answer::Own(response)) => response,
            Err(error) => {
                error.log();
                error.response(&accept)
            }
        };
        mark_own(response.headers_mut(), &id);
        if let Some(mut exchange) = exchange {
            exchange.status = Some(response.status());
            exchange.amounts = None; // no worker answered it
            exchange.outcome = Outcome::Done;
        }
        response
    }
}

impl Parts {
    async fn answer<B>(
        &self,
        request: Request<B>,
        exchange: &mut Option<Exchange>,
    ) -> Result<Answer, ApiError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let path = request.uri().path().to_owned();
        let route = Route::of(&path).ok_or_else(unknown_path)?;
        let record = exchange.as_mut().ok_or_else(|| ApiError::internal("a request without a record"))?;
        record.endpoint = route.name();
        route.check_method(request.method())?;
        if route != Route::Manifest {
            let key = self.keyring.authenticate_fresh(request.headers()).await?;
            self.ledger.seen(&key);
            if route == Route::Secret {
                self.exchange_limit.admit(&key)?;
            }
            record.key = Some(key);
        }
        if request.headers().get_all(header::CONTENT_TYPE).iter().count() > 1 {
            return Err(ApiError::bad_request(
                "several_content_types",
                "The request has more than one `Content-Type` header. Send exactly one.",
            ));
        }
        match route {
            Route::Manifest => Ok(Answer::Own(self.manifest.answer(request.headers()))),
            Route::Models => catalogue::list(&self.workers).map(Answer::Own),
            Route::Model(id) => catalogue::one(&self.workers, id).map(Answer::Own),
            Route::Attest => relay::attest(self, request.into_body()).await.map(Answer::Own),
            Route::Secret => relay::secret(self, request.into_body()).await.map(Answer::Own),
            Route::Exchange(id) => running::end(self, record.key.as_ref(), id).await.map(Answer::Own),
            Route::Client(endpoint) => forward::forward(self, endpoint, request, exchange).await,
        }
    }

    fn exchange<B>(&self, request: &Request<B>) -> Exchange {
        Exchange {
            id: RequestId::new(),
            foreign_id: foreign_id(request.headers(), names::REQUEST_ID),
            user_request_id: foreign_id(request.headers(), names::USER_REQUEST_ID),
            remote: Connection::of(request).map(|connection| connection.remote.ip()),
            method: known_method(request.method()),
            endpoint: "unknown",
            key: None,
            model: None,
            sealed: None,
            running: None,
            worker: None,
            status: None,
            outcome: Outcome::ClientLeft,
            amounts: None,
            sent_bytes: 0,
            began: Instant::now(),
            metrics: self.metrics.clone(),
            ledger: Arc::clone(&self.ledger),
            _in_flight: self.metrics.in_flight(),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Gateway {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<BoxBody>, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let gateway = self.clone();
        Box::pin(async move { Ok(gateway.handle(request).await) })
    }
}

impl Route<'_> {
    fn of(path: &str) -> Option<Route<'_>> {
        match path {
            "/privatemode/v1/attest" => Some(Route::Attest),
            "/privatemode/v1/secret" => Some(Route::Secret),
            "/privatemode/v2/manifest.json" => Some(Route::Manifest),
            "/v1/models" => Some(Route::Models),
            _ => match (path.strip_prefix("/v1/models/"), path.strip_prefix(EXCHANGES)) {
                (Some(id), _) if !id.is_empty() => Some(Route::Model(id)),
                (_, Some(id)) => Some(Route::Exchange(id)),
                _ => Endpoint::from_path(path).map(Route::Client),
            },
        }
    }

    /// Fixed names, so that logs and metrics hold nothing that a caller chose.
    fn name(self) -> &'static str {
        match self {
            Route::Attest => "/privatemode/v1/attest",
            Route::Secret => "/privatemode/v1/secret",
            Route::Manifest => "/privatemode/v2/manifest.json",
            Route::Models => "/v1/models",
            Route::Model(_) => "/v1/models/{id}",
            Route::Exchange(_) => "/privatemode/v1/exchanges/{exchange}",
            Route::Client(endpoint) => endpoint.path(),
        }
    }

    fn check_method(self, method: &Method) -> Result<(), ApiError> {
        let (fits, allowed) = match self {
            Route::Manifest | Route::Models | Route::Model(_) => {
                (matches!(*method, Method::GET | Method::HEAD), "GET, HEAD")
            }
            Route::Exchange(_) => (*method == Method::DELETE, "DELETE"),
            Route::Attest | Route::Secret | Route::Client(_) => (*method == Method::POST, "POST"),
        };
        if fits {
            return Ok(());
        }
        Err(ApiError::method_not_allowed(format!("This path takes {allowed} only."))
            .with_header(header::ALLOW, HeaderValue::from_static(allowed)))
    }
}

fn unknown_path() -> ApiError {
    ApiError::not_found(
        "unknown_path",
        "There is nothing at this path. Set the tool's base URL so that requests go to `/v1/chat/completions` and its like.",
    )
}

/// A method is the caller's text too: what is not standard stays out of the log.
fn known_method(method: &Method) -> Method {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ];
    KNOWN.into_iter().find(|known| known == method).unwrap_or(Method::TRACE)
}

/// What an error needs of the request's headers, which are gone by then.
fn accept_only(headers: &HeaderMap) -> HeaderMap {
    let accepts = headers.get_all(header::ACCEPT).iter();
    accepts.map(|value| (header::ACCEPT, value.clone())).collect()
}
