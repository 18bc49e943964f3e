use std::time::Duration;

use getrandom::{SysRng, rand_core::UnwrapErr};
use http_body_util::Full;
use p256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::hazmat::{PrehashSigner, PrehashVerifier},
};
use privatemode_service::metrics::Registry;
use privatemode_store::{Embedded, ManualClock, StoreFuture, claims::ClaimMemory};
use privatemode_wire::exchange::{ClientExchange, ExchangeReply, FinishError, SignedExchange};
use privatemode_wire::{
    replay::{Refusal, ReplayKey, ReplayLimits},
    stream::UnixMillis,
};
use serde_json::{Value, json};

use super::*;
use crate::{SignError, Signer};

const TTL: Duration = Duration::from_secs(3600);

struct TestKey(SigningKey);

impl Signer for TestKey {
    fn sign(&self, digest: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError> {
        let signature: Signature = self.0.sign_prehash(digest).map_err(|error| SignError(error.into()))?;
        Ok((b"certificate".to_vec(), signature.to_der().as_bytes().to_vec()))
    }
}

struct NoKey;

impl Signer for NoKey {
    fn sign(&self, _: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError> {
        Err(SignError("the key is gone".into()))
    }
}

struct Fixture {
    clock: Arc<ManualClock>,
    store: Arc<Embedded>,
    key: VerifyingKey,
    registry: Registry,
    claims: Arc<ClaimMemory>,
    service: SecretService,
}

fn fixture(capacity: usize) -> Fixture {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let verifying = *key.verifying_key();
    let clock = Arc::new(ManualClock::new());
    let store = Arc::new(Embedded::new(clock.clone(), capacity));
    let registry = Registry::new();
    let secrets = Secrets::new(store.clone(), Arc::new(TestKey(key)), TTL);
    let now = Arc::new(|| UnixMillis(1_000_000));
    let limits = ReplayLimits { future: 0, ..ReplayLimits::with_capacity(2) };
    let claims = Arc::new(ClaimMemory::begin(limits, now, [1; 16]));
    let service = SecretService::new(Arc::new(secrets), claims.clone(), Metrics::new(&registry));
    Fixture { clock, store, key: verifying, registry, claims, service }
}

async fn post(service: &SecretService, caller: Caller, path: &str, body: impl Into<Bytes>) -> (u16, Value) {
    let request = Request::post(path).body(Full::new(body.into())).unwrap();
    let response = service.handle(caller, request).await;
    let status = response.status().as_u16();
    let encrypted = response.headers().get("privatemode-encrypted").cloned();
    assert_eq!(encrypted.is_some_and(|value| value == "false"), status != 200, "errors are marked as plain");
    let body = read_limited(response.into_body(), 64 * 1024).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn lookup(fixture: &Fixture, id: &str) -> (u16, Value) {
    let body = json!({"ID": id}).to_string();
    post(&fixture.service, Caller::InferenceProxy, "/mesh/v1/secrets/lookup", body).await
}

fn client() -> ClientExchange {
    ClientExchange::new(&mut UnwrapErr(SysRng))
}

#[tokio::test]
async fn client_and_worker_get_the_same_secret() {
    let fixture = fixture(4);
    let client = client();
    let id = client.secret_id();
    let (status, reply) = post(&fixture.service, Caller::Gateway, "/v1/secret", client.request_json()).await;
    assert_eq!(status, 200, "{reply}");
    let reply = ExchangeReply::parse(reply.to_string().as_bytes()).unwrap();
    let key = fixture.key;
    let verify = |signed: &SignedExchange<'_>| {
        assert_eq!(signed.mesh_cert_der, b"certificate");
        key.verify_prehash(&signed.digest, &Signature::from_der(signed.signature)?)
    };
    let (client_id, secret) = client.finish(&reply, verify).unwrap();
    assert_eq!(client_id, id);
    let (status, found) = lookup(&fixture, id.as_str()).await;
    assert_eq!(status, 200);
    assert_eq!(found, json!({"Secret": STANDARD.encode(secret.expose()), "ExpiresIn": 3600}));
}

#[tokio::test]
async fn a_signature_by_another_key_gives_the_client_no_secret() {
    let fixture = fixture(4);
    let client = client();
    let (_, reply) = post(&fixture.service, Caller::Gateway, "/v1/secret", client.request_json()).await;
    let reply = ExchangeReply::parse(reply.to_string().as_bytes()).unwrap();
    let other = *SigningKey::from_slice(&[8; 32]).unwrap().verifying_key();
    let verify = |signed: &SignedExchange<'_>| {
        other.verify_prehash(&signed.digest, &Signature::from_der(signed.signature)?)
    };
    assert!(matches!(client.finish(&reply, verify), Err(FinishError::Unverified(_))));
}

#[tokio::test]
async fn each_path_has_one_caller() {
    let fixture = fixture(4);
    for (path, wrong) in [
        ("/v1/secret", [Caller::InferenceProxy, Caller::Other]),
        ("/mesh/v1/secrets/lookup", [Caller::Gateway, Caller::Other]),
        ("/v1/claims", [Caller::Gateway, Caller::Other]),
    ] {
        for caller in wrong {
            // even a valid body: the caller is checked first
            let (status, error) = post(&fixture.service, caller, path, client().request_json()).await;
            assert_eq!((status, &error["error"]["code"]), (403, &json!("wrong_caller")), "{path} {caller:?}");
        }
    }
    assert!(fixture.store.is_empty());
}

#[tokio::test]
async fn malformed_keys_are_refused() {
    let fixture = fixture(4);
    let key = |length: usize| json!({"PublicKey": STANDARD.encode(vec![0; length])}).to_string();
    let bodies = [
        key(0),
        key(1215),
        key(1217),
        "{}".into(),
        "[]".into(),
        String::new(),
        r#"{"PublicKey":"%"}"#.into(),
    ];
    for body in bodies {
        let (status, error) = post(&fixture.service, Caller::Gateway, "/v1/secret", body.clone()).await;
        assert_eq!((status, &error["error"]["code"]), (400, &json!("bad_exchange")), "{body}");
    }
    // 1216 bytes that are no ML-KEM key: its coefficients are not reduced
    let body = json!({"PublicKey": STANDARD.encode([0xff; 1216])}).to_string();
    let (status, _) = post(&fixture.service, Caller::Gateway, "/v1/secret", body).await;
    assert_eq!(status, 400);
    assert!(fixture.store.is_empty());
}

#[tokio::test]
async fn bodies_are_capped() {
    let fixture = fixture(4);
    let (status, _) =
        post(&fixture.service, Caller::Gateway, "/v1/secret", vec![b' '; MAX_EXCHANGE + 1]).await;
    assert_eq!(status, 413);
    let (status, _) = lookup(&fixture, &"x".repeat(MAX_LOOKUP)).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_key_serves_once_until_its_secret_expires() {
    let fixture = fixture(4);
    let client = client();
    let first = post(&fixture.service, Caller::Gateway, "/v1/secret", client.request_json()).await;
    assert_eq!(first.0, 200);
    let (_, before) = lookup(&fixture, client.secret_id().as_str()).await;
    let (status, error) = post(&fixture.service, Caller::Gateway, "/v1/secret", client.request_json()).await;
    assert_eq!((status, &error["error"]["code"]), (409, &json!("secret_exists")));
    assert_eq!(lookup(&fixture, client.secret_id().as_str()).await.1, before, "the first secret stays");
    fixture.clock.advance(TTL);
    let (status, error) = lookup(&fixture, client.secret_id().as_str()).await;
    assert_eq!((status, &error["error"]["code"]), (404, &json!("no_secret")));
}

#[tokio::test]
async fn lookups_say_how_long_the_secret_lives() {
    let fixture = fixture(4);
    let client = client();
    post(&fixture.service, Caller::Gateway, "/v1/secret", client.request_json()).await;
    fixture.clock.advance(Duration::from_millis(1_000_500));
    assert_eq!(lookup(&fixture, client.secret_id().as_str()).await.1["ExpiresIn"], 2599);
    assert_eq!(lookup(&fixture, "unknown").await.0, 404);
    assert_eq!(lookup(&fixture, "with:colon").await.0, 400);
    assert_eq!(lookup(&fixture, "").await.0, 400);
}

#[tokio::test]
async fn a_full_store_is_a_passing_state() {
    let fixture = fixture(1);
    assert_eq!(post(&fixture.service, Caller::Gateway, "/v1/secret", client().request_json()).await.0, 200);
    let (status, error) =
        post(&fixture.service, Caller::Gateway, "/v1/secret", client().request_json()).await;
    assert_eq!((status, &error["error"]["code"]), (503, &json!("secret_store_full")));
    fixture.clock.advance(TTL);
    assert_eq!(post(&fixture.service, Caller::Gateway, "/v1/secret", client().request_json()).await.0, 200);
}

#[tokio::test]
async fn without_a_signature_nothing_is_stored() {
    let fixture = fixture(4);
    let secrets = Secrets::new(fixture.store.clone(), Arc::new(NoKey), TTL);
    let service =
        SecretService::new(Arc::new(secrets), fixture.claims.clone(), Metrics::new(&fixture.registry));
    let (status, error) = post(&service, Caller::Gateway, "/v1/secret", client().request_json()).await;
    assert_eq!((status, &error["error"]["message"]), (500, &json!("internal error")));
    assert!(fixture.store.is_empty());
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_and_counted() {
    let fixture = fixture(4);
    assert_eq!(post(&fixture.service, Caller::Gateway, "/v1/other", "").await.0, 404);
    let request = Request::get("/v1/secret").body(Full::new(Bytes::new())).unwrap();
    assert_eq!(fixture.service.handle(Caller::Gateway, request).await.status(), 405);
    let text = fixture.registry.render();
    assert!(text.contains(r#"privatemode_requests_total{route="exchange",status="405"} 1"#), "{text}");
    assert!(text.contains(r#"privatemode_requests_total{route="unknown",status="404"} 1"#), "{text}");
}

/// Status and refusal of one claim.
async fn claim(fixture: &Fixture, key: u8, sent: u64) -> (u16, Option<Refusal>) {
    claim_of(fixture, key, key, sent).await
}

async fn claim_of(fixture: &Fixture, owner: u8, key: u8, sent: u64) -> (u16, Option<Refusal>) {
    let key = ReplayKey::from_bytes([key; 32], [owner; 8]);
    let message = ClaimMessage { key, sent: UnixMillis(sent), attempt: None };
    let request = Request::post("/v1/claims").body(Full::new(Bytes::from(message.to_json()))).unwrap();
    let response = fixture.service.handle(Caller::InferenceProxy, request).await;
    let status = response.status().as_u16();
    let body = read_limited(response.into_body(), RefusalMessage::MAX).await.unwrap();
    (status, RefusalMessage::parse(&body).ok().map(|RefusalMessage(refusal)| refusal))
}

#[tokio::test]
async fn a_request_is_claimed_once() {
    let fixture = fixture(4);
    let server_time = UnixMillis(1_000_000);
    assert_eq!(claim(&fixture, 1, 1_000_000).await, (204, None));
    assert_eq!(claim(&fixture, 1, 1_000_000).await, (409, Some(Refusal::Replayed)));
    let before = Refusal::BeforeStart { server_time, not_before: server_time };
    assert_eq!(claim(&fixture, 2, 999_999).await, (409, Some(before)));
    assert_eq!(claim(&fixture, 2, 1_000_001).await, (409, Some(Refusal::FromFuture { server_time })));
    assert_eq!(claim(&fixture, 2, 1).await, (409, Some(Refusal::TooOld { server_time })));
    assert_eq!(claim(&fixture, 2, 1_000_000).await, (204, None));
    assert_eq!(claim(&fixture, 3, 1_000_000).await, (503, Some(Refusal::Full)));
    assert_eq!(fixture.claims.len(), 2);
    let text = fixture.registry.render();
    for (result, count) in [("claimed", 2), ("replayed", 1), ("before_start", 1), ("too_old", 1), ("full", 1)]
    {
        let line = format!(r#"privatemode_claims_total{{result="{result}"}} {count}"#);
        assert!(text.contains(&line), "{line}\n{text}");
    }
}

/// Whoever holds one secret cannot lock all others out.
#[tokio::test]
async fn no_secret_takes_more_than_its_share() {
    let fixture = fixture(4);
    assert_eq!(claim_of(&fixture, 7, 1, 1_000_000).await, (204, None));
    assert_eq!(claim_of(&fixture, 7, 2, 1_000_000).await, (429, Some(Refusal::Share)));
    assert_eq!(claim_of(&fixture, 8, 2, 1_000_000).await, (204, None));
    assert!(fixture.registry.render().contains(r#"privatemode_claims_total{result="share"} 1"#));
}

#[tokio::test]
async fn what_is_no_claim_is_refused() {
    let fixture = fixture(4);
    let (status, error) = post(&fixture.service, Caller::InferenceProxy, "/v1/claims", "{}").await;
    assert_eq!((status, &error["error"]["code"]), (400, &json!("bad_claim")));
    let long = format!(r#"{{"key":"{}","owner":"","sent":1}}"#, "A".repeat(ClaimMessage::MAX));
    let (status, _) = post(&fixture.service, Caller::InferenceProxy, "/v1/claims", long).await;
    assert_eq!(status, 413);
    assert!(fixture.claims.is_empty());
}

/// Whoever remembers cannot be asked.
struct NoMemory;

impl ClaimStore for NoMemory {
    fn claim_once<'a>(&'a self, _: &'a ReplayKey, _: UnixMillis) -> StoreFuture<'a, (), ClaimFailure> {
        Box::pin(async { Err(ClaimFailure::Unavailable("the memory is gone".into())) })
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(1_000_000)
    }

    fn remembered(&self) -> usize {
        0
    }
}

#[tokio::test]
async fn a_claim_that_nobody_can_decide_is_not_granted() {
    let mut fixture = fixture(4);
    fixture.service.claims = Arc::new(NoMemory);
    // no refusal: a worker must not take it for a word of the memory
    assert_eq!(claim(&fixture, 1, 1_000_000).await, (503, None));
    let text = fixture.registry.render();
    assert!(text.contains(r#"privatemode_claims_total{result="unavailable"} 1"#), "{text}");
}
