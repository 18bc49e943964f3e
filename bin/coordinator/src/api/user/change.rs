//! What changes the state: `POST /manifest`, `POST /recover`; and `GET /seed-shares` for an answer that was lost.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, Request, header};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Channel, UserApi, hex};
use crate::api::{Fault, request};
use crate::coordinator::{Committed, RecoveredBy};
use crate::deployment::PolicyFile;
use crate::shares::SeedShares;
use crate::state::recover::RecoverRequest;
use crate::state::set::SetRequest;

/// Longest request to set a manifest: manifest and policies have 2 MiB at most, in base64.
pub(super) const MAX_SET: usize = 4 * 1024 * 1024;
/// Longest request to recover: keys and signatures of RSA-4096.
const MAX_RECOVER: usize = 16 * 1024;

#[derive(Deserialize)]
struct SetMessage {
    manifest: String,
    #[serde(default)]
    policies: Vec<String>,
    #[serde(default)]
    signatures: Vec<String>,
    owner_key: Option<String>,
    previous_transition: Option<String>,
}

#[derive(Serialize)]
pub(super) struct SetAnswer {
    version: &'static str,
    root_ca: String,
    mesh_ca: String,
    latest_transition: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed_shares_doc: Option<SeedShares>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered_by: Option<&'static str>,
}

/// Borrowed, so that no copy of the seed stays behind; base64 needs no escapes.
#[derive(Deserialize)]
struct RecoverMessage<'a> {
    seed: &'a str,
    salt: &'a str,
    latest_transition: &'a str,
    owner_key: &'a str,
    signature: &'a str,
    #[serde(default)]
    force: bool,
}

pub(super) async fn set(
    State(api): State<UserApi>,
    request: Request<Body>,
) -> Result<Json<SetAnswer>, Fault> {
    let outcome = set_manifest(&api, request).await;
    count(&api, "set", &outcome);
    outcome
}

async fn set_manifest(api: &UserApi, request: Request<Body>) -> Result<Json<SetAnswer>, Fault> {
    let message: SetMessage = request::json(request, MAX_SET).await?;
    let committed = api.coordinator.set(set_request(&message)?).await?;
    Ok(Json(answer(&committed, None)))
}

pub(super) async fn recover(
    State(api): State<UserApi>,
    request: Request<Body>,
) -> Result<Json<SetAnswer>, Fault> {
    // before the body is read: a seed that was sent in the open is not even taken
    let outcome = match api.channel {
        Channel::Plain => Err(Fault::NotConfidential),
        Channel::Attested => recover_state(&api, request).await,
    };
    count(&api, "recover", &outcome);
    outcome
}

async fn recover_state(api: &UserApi, request: Request<Body>) -> Result<Json<SetAnswer>, Fault> {
    let body = request::body(request, MAX_RECOVER).await?;
    let request = recover_request(&body);
    request::wipe(body);
    let (committed, by) = api.coordinator.recover(&request?).await?;
    let by = match by {
        RecoveredBy::Owner => "owner",
        RecoveredBy::Peer => "peer",
    };
    Ok(Json(answer(&committed, Some(by))))
}

pub(super) async fn seed_shares(State(api): State<UserApi>) -> Result<Response, Fault> {
    let shares = api.coordinator.seed_shares().await?.ok_or(Fault::NoShares)?;
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    Ok((json, shares).into_response())
}

fn set_request(message: &SetMessage) -> Result<SetRequest, Fault> {
    let policies = message.policies.iter().enumerate().map(|(index, policy)| {
        let bytes = request::base64("policies", policy)?;
        Ok(PolicyFile { name: format!("policies[{index}]"), bytes })
    });
    let count = message.signatures.len();
    if count > 1 {
        return Err(Fault::Signatures { count });
    }
    let previous = message.previous_transition.as_deref();
    Ok(SetRequest {
        manifest: request::base64("manifest", &message.manifest)?,
        policies: policies.collect::<Result<_, Fault>>()?,
        signature: message.signatures.first().map(|text| request::base64("signatures", text)).transpose()?,
        owner_key: message.owner_key.as_deref().map(|text| request::base64("owner_key", text)).transpose()?,
        previous: previous.map(|text| request::transition("previous_transition", text)).transpose()?,
    })
}

fn recover_request(body: &[u8]) -> Result<RecoverRequest, Fault> {
    // a decoding error quotes its input, and must not be shown: it may hold a seed
    let message: RecoverMessage<'_> = serde_json::from_slice(body).map_err(|_| Fault::RecoverMessage)?;
    Ok(RecoverRequest {
        seed: Zeroizing::new(STANDARD.decode(message.seed).map_err(|_| Fault::RecoverMessage)?),
        salt: request::base64("salt", message.salt)?,
        latest: request::transition("latest_transition", message.latest_transition)?,
        owner_key: request::base64("owner_key", message.owner_key)?,
        signature: request::base64("signature", message.signature)?,
        force: message.force,
    })
}

fn answer(committed: &Committed, recovered_by: Option<&'static str>) -> SetAnswer {
    let in_force = &committed.in_force;
    let pem = |pem: &str| STANDARD.encode(pem);
    SetAnswer {
        version: privatemode_service::version(),
        root_ca: pem(in_force.authority().root_pem()),
        mesh_ca: pem(in_force.authority().mesh_ca().pem()),
        latest_transition: hex(&in_force.latest().hash),
        seed_shares_doc: committed.shares.clone(),
        recovered_by,
    }
}

fn count(api: &UserApi, change: &str, outcome: &Result<Json<SetAnswer>, Fault>) {
    let outcome = match outcome {
        Ok(_) => "done",
        Err(fault) => fault.status_and_code().1,
    };
    let help = "Requests to set a manifest or to recover, by outcome.";
    let labels = [("change", change), ("outcome", outcome)];
    api.metrics.counter("privatemode_coordinator_change_total", help, &labels).increment();
}
