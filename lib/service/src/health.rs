//! `/healthz` (the process lives), `/readyz` (it can do its work, or why not) and `/metrics`, on a listener of their own
//! or inside another router. The names that orchestrators like to use for the same (`/liveness`, `/readiness`,
//! `/startup`) are answered too.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use tokio::net::TcpListener;

use crate::{
    BoxBody, Drained, Limits, Shutdown,
    body::{empty, full},
    metrics::Registry,
    serve,
};

/// Whether the process can do its work. Starts as not ready; clones share the state.
#[derive(Clone, Debug)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Why the process is not ready.
    waiting: Option<String>,
    /// Whether it was ready once.
    started: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Not ready yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { waiting: Some("starting".to_owned()), started: false })))
    }

    /// The process can do its work from now on.
    pub fn ready(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State { waiting: None, started: true };
    }

    /// The process cannot do its work; `reason` is public.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting = Some(reason.into());
    }

    /// Whether the process can do its work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reason().is_none()
    }

    /// Why the process is not ready, if it is not.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).waiting.clone()
    }

    fn started(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).started
    }
}

/// Answers the health and metrics paths; 404 for the rest. A tower service and a hyper service.
#[derive(Clone, Debug)]
pub struct HealthService {
    health: Health,
    registry: Registry,
}

impl HealthService {
    /// Answers from this state.
    #[must_use]
    pub fn new(health: Health, registry: Registry) -> Self {
        Self { health, registry }
    }

    /// The answer to `path`, or `None` when the path is not one of ours.
    #[must_use]
    pub fn answer(&self, path: &str) -> Option<Response<BoxBody>> {
        let (status, kind, text) = match path {
            "/healthz" | "/liveness" | "/livez" => {
                (StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned())
            }
            "/readyz" | "/readiness" => state(self.health.reason()),
            "/startup" if self.health.started() => state(None),
            "/startup" => state(self.health.reason()),
            "/metrics" => {
                (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.registry.render())
            }
            _ => return None,
        };
        let mut response = Response::new(full(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    fn respond<B>(&self, request: &Request<B>) -> Response<BoxBody> {
        let failure = |status| {
            let mut response = Response::new(empty());
            *response.status_mut() = status;
            response
        };
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return failure(StatusCode::METHOD_NOT_ALLOWED);
        }
        self.answer(request.uri().path()).unwrap_or_else(|| failure(StatusCode::NOT_FOUND))
    }
}

fn state(waiting: Option<String>) -> (StatusCode, &'static str, String) {
    let kind = "text/plain; charset=utf-8";
    match waiting {
        None => (StatusCode::OK, kind, "ready\n".to_owned()),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, kind, format!("not ready: {reason}\n")),
    }
}

impl<B> hyper::service::Service<Request<B>> for HealthService {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(&request)))
    }
}

impl<B> tower_service::Service<Request<B>> for HealthService {
    type Response = Response<BoxBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ready(Ok(self.respond(&request)))
    }
}

/// Serves health and metrics on a listener of their own until `shutdown`.
pub async fn serve_health(
    listener: TcpListener,
    health: Health,
    registry: Registry,
    shutdown: Shutdown,
) -> Drained {
    let limits = Limits { max_connections: 64, ..Limits::default() };
    serve(listener, None, HealthService::new(health, registry), limits, shutdown).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read_limited;

    #[tokio::test]
    async fn readiness_says_why() {
        let health = Health::new();
        let service = HealthService::new(health.clone(), Registry::new());
        let answer = |path: &'static str| {
            let response = service.answer(path).unwrap();
            async move { (response.status().as_u16(), read_limited(response.into_body(), 1000).await.unwrap()) }
        };
        assert_eq!(answer("/healthz").await, (200, "ok\n".into()));
        assert_eq!(answer("/readyz").await, (503, "not ready: starting\n".into()));
        assert_eq!(answer("/startup").await.0, 503);
        health.ready();
        assert_eq!(answer("/readyz").await, (200, "ready\n".into()));
        health.not_ready("no worker");
        assert_eq!(answer("/readiness").await, (503, "not ready: no worker\n".into()));
        assert_eq!(answer("/startup").await.0, 200, "it has started, and only lost something since");
        assert_eq!(answer("/metrics").await.0, 200);
        assert!(service.answer("/").is_none());
    }
}
