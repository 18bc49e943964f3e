//! For clients and the gateway: `POST /attest`, `GET /manifests` (`protocol.md` §8).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Request, header};
use privatemode_service::metrics::{Counter, Registry};
use serde::{Deserialize, Serialize};

use super::{Fault, request};
use crate::coordinator::Coordinator;

/// Longest request.
pub const MAX_REQUEST: usize = 1024;

#[derive(Clone)]
struct UserApi {
    coordinator: Arc<Coordinator>,
    attested: Counter,
    refused: Counter,
}

/// Clients of the existing service write the name in either case.
#[derive(Deserialize)]
struct AttestRequest {
    #[serde(rename = "Nonce", alias = "nonce")]
    nonce: String,
}

#[derive(Serialize)]
struct Manifests {
    version: &'static str,
    manifests: Vec<String>,
    policies: Vec<String>,
}

/// The routes.
pub fn router(coordinator: Arc<Coordinator>, metrics: &Registry) -> Router {
    let count = |outcome| {
        let help = "Requests for attestation.";
        metrics.counter("privatemode_coordinator_attest_total", help, &[("outcome", outcome)])
    };
    let api = UserApi { coordinator, attested: count("attested"), refused: count("refused") };
    Router::new()
        .route("/attest", post(attest))
        .route("/manifests", get(manifests))
        .method_not_allowed_fallback(async || Fault::MethodNotAllowed)
        .fallback(async || Fault::NotFound)
        .with_state(api)
}

async fn attest(State(api): State<UserApi>, request: Request<Body>) -> Result<Response, Fault> {
    let answer = document(&api.coordinator, request).await;
    match &answer {
        Ok(_) => api.attested.increment(),
        Err(_) => api.refused.increment(),
    }
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    answer.map(|document| (json, document).into_response())
}

async fn document(coordinator: &Arc<Coordinator>, request: Request<Body>) -> Result<Vec<u8>, Fault> {
    let AttestRequest { nonce } = request::json(request, MAX_REQUEST).await?;
    let nonce = request::nonce(&nonce)?;
    let coordinator = Arc::clone(coordinator);
    // a quote may take the platform a while
    let quoted = tokio::task::spawn_blocking(move || coordinator.attest(&nonce)).await;
    let document = quoted.map_err(|_| Fault::Internal)?.map_err(|source| Fault::Quote { source })?;
    Ok(document.to_json())
}

/// What is in force, for people and tools. It proves nothing, and so names no CA: that comes with evidence only.
async fn manifests(State(api): State<UserApi>) -> Json<Manifests> {
    let deployment = api.coordinator.deployment();
    Json(Manifests {
        version: privatemode_service::version(),
        manifests: vec![STANDARD.encode(deployment.manifest().raw())],
        policies: deployment.policies().map(|policy| STANDARD.encode(policy)).collect(),
    })
}
