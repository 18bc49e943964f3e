//! Three secret services over one real etcd, asked in turn as behind one address. Without an etcd this says so and passes.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use getrandom::{SysRng, rand_core::UnwrapErr};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
use privatemode_secret_service::{Caller, Metrics, SecretService, Secrets, SignError, Signer};
use privatemode_service::metrics::Registry;
use privatemode_store::{
    EtcdSecrets, MonotonicClock,
    claims::{ClaimMessage, EtcdClaims, RefusalMessage, system_now},
    etcd::{Etcd, EtcdTimeouts},
};
use privatemode_test_kit::EtcdCluster;
use privatemode_wire::{
    exchange::{ClientExchange, ExchangeReply, SignedExchange},
    replay::{Refusal, ReplayKey, ReplayLimits},
    stream::{RequestId, UnixMillis},
};
use serde_json::{Value, json};

struct TestKey(SigningKey);

impl Signer for TestKey {
    fn sign(&self, digest: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError> {
        let signature: Signature = self.0.sign_prehash(digest).map_err(|error| SignError(error.into()))?;
        Ok((b"certificate".to_vec(), signature.to_der().as_bytes().to_vec()))
    }
}

fn replica(cluster: &EtcdCluster) -> SecretService {
    let urls: Vec<_> = cluster.urls().iter().map(|url| url.parse().unwrap()).collect();
    let etcd = Etcd::new(&urls, None, EtcdTimeouts::default()).unwrap();
    let clock = Arc::new(MonotonicClock::new());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).unwrap();
    let claims = EtcdClaims::begin(etcd.clone(), ReplayLimits::default(), system_now(), clock.clone(), seed);
    let store = Arc::new(EtcdSecrets::new(etcd, clock, 1000));
    let signer = Arc::new(TestKey(SigningKey::from_slice(&[7; 32]).unwrap()));
    let secrets = Secrets::new(store, signer, Duration::from_secs(3600));
    SecretService::new(Arc::new(secrets), Arc::new(claims), Metrics::new(&Registry::new()))
}

async fn post(service: &SecretService, caller: Caller, path: &str, body: String) -> (u16, Bytes) {
    let request = Request::post(path).body(Full::new(Bytes::from(body))).unwrap();
    let response = service.handle(caller, request).await;
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

async fn lookup(service: &SecretService, id: &str) -> (u16, Value) {
    let body = json!({"ID": id}).to_string();
    let (status, body) = post(service, Caller::InferenceProxy, "/mesh/v1/secrets/lookup", body).await;
    (status, serde_json::from_slice(&body).unwrap())
}

async fn claim(service: &SecretService, key: ReplayKey, sent: UnixMillis) -> (u16, Option<Refusal>) {
    let message = ClaimMessage { key, sent, attempt: None }.to_json();
    let (status, body) = post(service, Caller::InferenceProxy, "/v1/claims", message).await;
    (status, RefusalMessage::parse(&body).ok().map(|RefusalMessage(refusal)| refusal))
}

#[tokio::test]
async fn any_replica_answers_for_all() {
    let Some(mut cluster) = EtcdCluster::start(3, None).await else { return };
    let mut replicas: Vec<_> = (0..3).map(|_| replica(&cluster)).collect();
    let mut exchanged = Vec::new();
    for number in 0..6 {
        let client = ClientExchange::new(&mut UnwrapErr(SysRng));
        let here = &replicas[number % 3];
        let (status, reply) = post(here, Caller::Gateway, "/v1/secret", client.request_json()).await;
        assert_eq!(status, 200, "{reply:?}");
        // the same key at another replica: taken
        let there = &replicas[(number + 1) % 3];
        let again = post(there, Caller::Gateway, "/v1/secret", client.request_json()).await;
        assert_eq!(again.0, 409);
        let reply = ExchangeReply::parse(&reply).unwrap();
        exchanged.push(client.finish(&reply, |_: &SignedExchange<'_>| Ok::<_, SignError>(())).unwrap());
    }
    let (id, _) = &exchanged[0];
    let key = |request: u8| ReplayKey::new(id, &RequestId::from_bytes([request; 16]));
    let (status, refused) = claim(&replicas[0], key(0), system_now()()).await;
    let Some(Refusal::BeforeStart { not_before: sent, .. }) = refused else { panic!("{status} {refused:?}") };
    for request in 1..5 {
        assert_eq!(claim(&replicas[0], key(request), sent).await, (204, None));
        for replica in &replicas {
            assert_eq!(claim(replica, key(request), sent).await, (409, Some(Refusal::Replayed)));
        }
    }
    // all of them are replaced, and a member of etcd goes
    for replica in &mut replicas {
        *replica = self::replica(&cluster);
    }
    cluster.kill(1);
    for replica in &replicas {
        assert_eq!(claim(replica, key(1), sent).await, (409, Some(Refusal::Replayed)));
        for (id, secret) in &exchanged {
            let (status, found) = lookup(replica, id.as_str()).await;
            assert_eq!(status, 200);
            assert_eq!(found["Secret"], STANDARD.encode(secret.expose()));
        }
    }
    // no majority: nothing is granted, nothing is stored, and the answers say so
    cluster.kill(2);
    let client = ClientExchange::new(&mut UnwrapErr(SysRng));
    let (status, body) = post(&replicas[0], Caller::Gateway, "/v1/secret", client.request_json()).await;
    let code = serde_json::from_slice::<Value>(&body).unwrap()["error"]["code"].clone();
    assert_eq!((status, code), (503, json!("secret_store_unavailable")));
    assert_eq!(claim(&replicas[1], key(9), sent).await, (503, None));
    assert_eq!(lookup(&replicas[2], id.as_str()).await.0, 503);
}
