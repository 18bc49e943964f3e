//! For workloads: `POST /mesh/v1/challenge`, `POST /mesh/v1/join`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Request;
use privatemode_attest::EvidenceKind;
use privatemode_mesh::messages::{CHALLENGE_PATH, Challenge, JOIN_PATH, JoinReply, JoinRequest};
use privatemode_service::metrics::Registry;
use serde::Deserialize;

use super::{Fault, request};
use crate::coordinator::{Applicant, Coordinator, JoinError, Member};

/// Longest request for a challenge.
pub const MAX_CHALLENGE: usize = 1024;
/// Longest request to join: hardware evidence comes with its certificates and revocation lists.
pub const MAX_JOIN: usize = 256 * 1024;

#[derive(Clone)]
struct MeshApi {
    coordinator: Arc<Coordinator>,
    metrics: Registry,
}

/// An empty object.
#[derive(Deserialize)]
struct ChallengeRequest {}

/// The routes.
pub fn router(coordinator: Arc<Coordinator>, metrics: &Registry) -> Router {
    let api = MeshApi { coordinator, metrics: metrics.clone() };
    Router::new()
        .route(CHALLENGE_PATH, post(challenge))
        .route(JOIN_PATH, post(join))
        .method_not_allowed_fallback(async || Fault::MethodNotAllowed)
        .fallback(async || Fault::NotFound)
        .with_state(api)
}

async fn challenge(State(api): State<MeshApi>, request: Request<Body>) -> Result<Json<Challenge>, Fault> {
    let ChallengeRequest {} = request::json(request, MAX_CHALLENGE).await?;
    let nonce = api.coordinator.challenge()?;
    Ok(Json(Challenge { nonce: STANDARD.encode(nonce) }))
}

async fn join(State(api): State<MeshApi>, request: Request<Body>) -> Result<Json<JoinReply>, Fault> {
    let reply = admit(&api.coordinator, request).await;
    let outcome = reply.as_ref().map_or_else(|fault| fault.status_and_code().1, |_| "joined");
    let help = "Requests to join, by outcome.";
    api.metrics.counter("privatemode_coordinator_join_total", help, &[("outcome", outcome)]).increment();
    reply.map(Json)
}

async fn admit(coordinator: &Arc<Coordinator>, request: Request<Body>) -> Result<JoinReply, Fault> {
    let applicant = applicant(&request::json(request, MAX_JOIN).await?)?;
    let member = joined(coordinator, applicant).await?.inspect_err(|refusal| {
        tracing::warn!(error = %privatemode_service::Chain(refusal), "a workload was refused");
    })?;
    tracing::info!(workload = member.name, policy = %member.policy, "a workload joined the mesh");
    Ok(JoinReply { cert_chain: member.cert_chain })
}

/// Fetching and verifying are two calls.
async fn joined(
    coordinator: &Arc<Coordinator>,
    applicant: Applicant,
) -> Result<Result<Member, JoinError>, Fault> {
    let admission = match coordinator.admit(applicant) {
        Ok(admission) => admission,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let gathered = match coordinator.collateral(&admission).await {
        Ok(gathered) => gathered,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (worker, collateral) = (Arc::clone(coordinator), gathered.collateral.clone());
    // verifying and signing are work, not waiting
    let member = tokio::task::spawn_blocking(move || worker.join(&admission, collateral)).await;
    let member = member.map_err(|_| Fault::Internal)?;
    coordinator.judged(&gathered, member.as_ref().map(|_| ())).await;
    Ok(member)
}

fn applicant(request: &JoinRequest) -> Result<Applicant, Fault> {
    Ok(Applicant {
        nonce: request::nonce(&request.nonce)?,
        public_key: request::base64("PublicKey", &request.public_key)?,
        kind: EvidenceKind::from_oid(&request.evidence_type)
            .map_err(|source| Fault::EvidenceKind { source })?,
        evidence: request::base64("Evidence", &request.evidence)?,
    })
}
