//! The same over HTTP: shapes of answers, and a status and code for each refusal.

use std::sync::Arc;

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Request;
use http_body_util::BodyExt as _;
use privatemode_coordinator::Coordinator;
use privatemode_coordinator::api::user::{Channel, router};
use privatemode_service::metrics::Registry;
use privatemode_store::state::MemoryState;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::stand::*;

struct Api {
    coordinator: Arc<Coordinator>,
    channel: Channel,
}

impl Api {
    async fn over(store: Arc<MemoryState>, channel: Channel) -> Self {
        Self { coordinator: Arc::new(coordinator(store).await), channel }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let router = router(self.coordinator.clone(), self.channel, &Registry::new());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Content-Type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let answer = router.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Status and code of a refusal.
    async fn refused(&self, path: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.send("POST", path, body).await;
        assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
        (status, answer["code"].as_str().unwrap().to_owned())
    }
}

fn message(manifest: &[u8]) -> Value {
    let policies: Vec<_> = policies().iter().map(|policy| STANDARD.encode(&policy.bytes)).collect();
    json!({"manifest": STANDARD.encode(manifest), "policies": policies})
}

fn signed(latest: &[u8; 32], manifest: &[u8]) -> Value {
    let mut message = message(manifest);
    message["signatures"] = json!([STANDARD.encode(Owner::new(1).sign(latest, manifest))]);
    message
}

fn recovery(request: &privatemode_coordinator::state::recover::RecoverRequest) -> Value {
    json!({
        "seed": STANDARD.encode(&*request.seed),
        "salt": STANDARD.encode(&request.salt),
        "latest_transition": hex(&request.latest),
        "owner_key": STANDARD.encode(&request.owner_key),
        "signature": STANDARD.encode(&request.signature),
    })
}

fn code(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn set_read_update_restart_recover() {
    let store = Arc::new(MemoryState::new());
    let api = Api::over(store.clone(), Channel::Plain).await;
    for (method, path) in [("GET", "/manifests"), ("POST", "/attest")] {
        let body = json!({"Nonce": STANDARD.encode([1; 32])});
        let (status, answer) = api.send(method, path, &body).await;
        assert_eq!((status, answer["code"].as_str()), (412, Some("no_manifest")), "{path}");
    }
    assert_eq!(api.send("GET", "/seed-shares", &json!({})).await.0, 404);

    let (status, set) = api.send("POST", "/manifest", &message(&manifest(1))).await;
    assert_eq!(status, 200, "{set}");
    let shares = serde_json::from_value(set["seed_shares_doc"].clone()).unwrap();
    assert_eq!(share_owner(0).open(&shares).len(), 64);
    let pem = |answer: &Value, name: &str| {
        String::from_utf8(STANDARD.decode(answer[name].as_str().unwrap()).unwrap())
    };
    assert!(pem(&set, "root_ca").unwrap().contains("BEGIN CERTIFICATE"));
    assert_eq!(api.send("GET", "/seed-shares", &json!({})).await.1, set["seed_shares_doc"]);
    let first = latest(&api.coordinator);
    assert_eq!(set["latest_transition"], hex(&first));

    let (status, updated) = api.send("POST", "/manifest", &signed(&first, &manifest(2))).await;
    assert_eq!((status, updated.get("seed_shares_doc")), (200, None), "{updated}");
    assert_ne!(updated["mesh_ca"], set["mesh_ca"]);
    let (_, history) = api.send("GET", "/manifests", &json!({})).await;
    assert_eq!(history["manifests"], json!([STANDARD.encode(manifest(1)), STANDARD.encode(manifest(2))]));
    assert_eq!(
        (&history["latest_transition"], history["policies"].as_array().unwrap().len()),
        (&updated["latest_transition"], 2)
    );

    // restarted: the seed goes over attested TLS only
    let at = latest(&api.coordinator);
    let request = recovery(&share_owner(0).request(&shares, at));
    let plain = Api::over(store.clone(), Channel::Plain).await;
    assert_eq!(
        plain.refused("/attest", &json!({"Nonce": STANDARD.encode([1; 32])})).await,
        code(412, "needs_recovery")
    );
    assert_eq!(plain.refused("/manifest", &signed(&at, &manifest(3))).await, code(412, "needs_recovery"));
    assert_eq!(plain.refused("/recover", &request).await, code(403, "not_confidential"));
    let attested = Api { coordinator: plain.coordinator, channel: Channel::Attested };
    let (status, recovered) = attested.send("POST", "/recover", &request).await;
    assert_eq!((status, recovered["recovered_by"].as_str()), (200, Some("owner")), "{recovered}");
    assert_eq!(recovered["latest_transition"], hex(&at));
    assert_eq!(attested.refused("/recover", &request).await, code(409, "already_recovered"));
}

#[tokio::test]
async fn refusals_to_set() {
    let api = Api::over(Arc::default(), Channel::Plain).await;
    let good = message(&manifest(1));
    let with = |name: &str, value: Value| {
        let mut message = good.clone();
        message[name] = value;
        message
    };
    for (body, expected) in [
        (json!({}), code(400, "invalid_json")),
        (with("manifest", json!("%")), code(400, "invalid_base64")),
        (with("policies", json!(["%"])), code(400, "invalid_base64")),
        (with("policies", json!([])), code(400, "invalid_manifest")),
        (with("manifest", json!(STANDARD.encode("{}"))), code(400, "invalid_manifest")),
        (with("previous_transition", json!("zz")), code(400, "invalid_transition")),
        (with("previous_transition", json!("00".repeat(32))), code(412, "no_manifest")),
        (with("signatures", json!(["AA==", "AA=="])), code(400, "too_many_signatures")),
        (with("signatures", json!(["AA=="])), code(412, "no_manifest")),
    ] {
        assert_eq!(api.refused("/manifest", &body).await, expected, "{body}");
    }
    assert_eq!(api.send("POST", "/manifest", &good).await.0, 200);
    let at = latest(&api.coordinator);
    let signed = signed(&at, &manifest(2));
    let with = |name: &str, value: Value| {
        let mut message = signed.clone();
        message[name] = value;
        message
    };
    for (body, expected) in [
        (message(&manifest(2)), code(403, "permission_denied")),
        (with("signatures", json!([STANDARD.encode([1; 70])])), code(403, "invalid_signature")),
        (with("owner_key", json!(STANDARD.encode(Owner::new(2).spki()))), code(403, "permission_denied")),
        (with("previous_transition", json!("00".repeat(32))), code(409, "manifest_conflict")),
    ] {
        assert_eq!(api.refused("/manifest", &body).await, expected, "{body}");
    }
    assert_eq!(latest(&api.coordinator), at);
}

#[tokio::test]
async fn refusals_to_recover_say_nothing_of_the_seed() {
    let store = Arc::new(MemoryState::new());
    let one = coordinator(store.clone()).await;
    let shares = one.set(first(manifest(1))).await.unwrap().shares.unwrap();
    let at = latest(&one);
    let api = Api::over(store, Channel::Attested).await;
    let good = recovery(&share_owner(0).request(&shares, at));
    let with = |name: &str, value: Value| {
        let mut message = good.clone();
        message[name] = value;
        message
    };
    let secret = good["seed"].as_str().unwrap().to_owned();
    for (body, expected) in [
        (with("seed", json!(format!("{secret}%"))), code(400, "invalid_json")),
        (with("seed", json!([secret])), code(400, "invalid_json")),
        (with("salt", json!(1)), code(400, "invalid_json")),
        (with("latest_transition", json!("00")), code(400, "invalid_transition")),
        (with("latest_transition", json!("00".repeat(32))), code(409, "rolled_back")),
        (with("signature", json!("")), code(403, "invalid_signature")),
        (with("owner_key", json!(STANDARD.encode(&share_owner(1).pkcs1))), code(403, "permission_denied")),
        (recovery(&share_owner(0).request_with(&[1; 64], &[2; 32], at)), code(403, "wrong_seed")),
        (recovery(&share_owner(0).request_with(&[1; 6], &[2; 32], at)), code(400, "invalid_seed")),
    ] {
        let (status, answer) = api.send("POST", "/recover", &body).await;
        let said = answer.to_string();
        assert_eq!(code(status, answer["code"].as_str().unwrap()), expected, "{said}");
        assert!(!said.contains(&secret[..16]), "{said}");
    }
    assert!(api.coordinator.in_force().is_err());
}
