//! For clients and operators: `POST /attest`, `POST /manifest`, `GET /manifests`, `GET /seed-shares`, `POST /recover`
//! (`protocol.md` §8, `attestation.md` §2).
//!
//! Served twice: over plain HTTP, where the attestation vouches for what it says, and over attested TLS. Only there a seed
//! may come: [`Channel`].

mod change;

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

/// Longest request to attest.
pub const MAX_REQUEST: usize = 1024;

/// What the requests come over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Whoever relays can read along.
    Plain,
    /// Ends in this process, which has proved itself.
    Attested,
}

#[derive(Clone)]
struct UserApi {
    coordinator: Arc<Coordinator>,
    channel: Channel,
    metrics: Registry,
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
    latest_transition: String,
}

/// The routes.
pub fn router(coordinator: Arc<Coordinator>, channel: Channel, metrics: &Registry) -> Router {
    let count = |outcome| {
        let help = "Requests for attestation.";
        metrics.counter("privatemode_coordinator_attest_total", help, &[("outcome", outcome)])
    };
    let (attested, refused) = (count("attested"), count("refused"));
    let api = UserApi { coordinator, channel, metrics: metrics.clone(), attested, refused };
    Router::new()
        .route("/attest", post(attest))
        .route("/manifests", get(manifests))
        .route("/manifest", post(change::set))
        .route("/seed-shares", get(change::seed_shares))
        .route("/recover", post(change::recover))
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
    Ok(quoted.map_err(|_| Fault::Internal)??.to_json())
}

/// What was and is in force, for people and tools. It proves nothing, and so names no CA: that comes with evidence only.
async fn manifests(State(api): State<UserApi>) -> Result<Json<Manifests>, Fault> {
    let in_force = api.coordinator.in_force()?;
    Ok(Json(Manifests {
        version: privatemode_service::version(),
        manifests: in_force.manifests().map(|manifest| STANDARD.encode(manifest)).collect(),
        policies: in_force.all_policies().map(|policy| STANDARD.encode(policy)).collect(),
        latest_transition: hex(&in_force.latest().hash),
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
