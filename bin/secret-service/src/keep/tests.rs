//! Over a real etcd; without one these tests say so and pass.

use privatemode_store::etcd::{
    EtcdError, EtcdTimeouts, EtcdUrl,
    messages::{PutRequest, RangeRequest},
};
use privatemode_test_kit::{EtcdCluster, EtcdPki, wait_until};

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

fn etcd_as(cluster: &EtcdCluster, pki: &EtcdPki, name: &str) -> Etcd {
    let urls: Vec<EtcdUrl> = cluster.urls().iter().map(|url| url.parse().unwrap()).collect();
    let timeouts = EtcdTimeouts { request: Duration::from_secs(2), ..EtcdTimeouts::default() };
    Etcd::new(&urls, Some(Arc::new(pki.client(Some(name)))), timeouts).unwrap()
}

fn upkeep(etcd: Etcd, auth: bool) -> EtcdUpkeep {
    let clock = Arc::new(MonotonicClock::new());
    let secrets = Arc::new(EtcdSecrets::new(etcd.clone(), clock.clone(), 9));
    let seed = random().unwrap();
    let claims =
        Arc::new(EtcdClaims::begin(etcd.clone(), ReplayLimits::default(), system_now(), clock, seed));
    EtcdUpkeep { etcd, secrets, claims, auth }
}

#[tokio::test]
async fn readiness_follows_etcd() {
    let pki = EtcdPki::new();
    let Some(mut cluster) = EtcdCluster::start(1, Some(&pki)).await else { return };
    let mut upkeep = upkeep(etcd_as(&cluster, &pki, "root"), true);
    let claims = upkeep.claims.clone();
    wait_until("etcd to be usable", LIMIT, async || upkeep.look().await == (Some(0), None)).await;
    assert!(!upkeep.auth, "set up once");
    upkeep.secrets.put("id", &[7; 32], Duration::from_secs(3600)).await.unwrap();
    assert_eq!(upkeep.look().await, (Some(1), None));
    cluster.kill(0);
    let trouble = "the secret store cannot be used: etcd does not answer".to_owned();
    assert_eq!(upkeep.look().await, (None, Some(trouble)));
    cluster.restart(0).await;
    wait_until("etcd to be usable again", LIMIT, async || upkeep.look().await == (Some(1), None)).await;
    drop((upkeep, claims));
}

#[tokio::test]
async fn workers_may_read_secrets_and_nothing_else() {
    let pki = EtcdPki::new();
    let Some(cluster) = EtcdCluster::start(1, Some(&pki)).await else { return };
    let root = etcd_as(&cluster, &pki, "root");
    // two replicas at once, and each again
    let (one, two) = tokio::join!(etcd::set_up_auth(&root), etcd::set_up_auth(&root));
    for again in [one, two] {
        if again.is_err() {
            etcd::set_up_auth(&root).await.unwrap();
        }
    }
    let key = |name: &str| format!("{SECRETS}{name}").into_bytes();
    root.put(&PutRequest { key: key("a"), value: vec![7; 32], lease: 0 }).await.unwrap();
    let worker = etcd_as(&cluster, &pki, "continuum-etcd-client");
    assert_eq!(worker.range(&RangeRequest::one(key("a"))).await.unwrap().kvs[0].value, [7; 32]);
    let write = PutRequest { key: key("b"), value: vec![8; 32], lease: 0 };
    assert!(matches!(worker.put(&write).await, Err(EtcdError::Refused { .. })));
    let claims = worker.range(&RangeRequest::prefix(b"inference-claims/")).await;
    assert!(matches!(claims, Err(EtcdError::Refused { .. })));
    for stranger in ["gateway", "inference-proxy", "secret-service"] {
        let stranger = etcd_as(&cluster, &pki, stranger);
        let found = stranger.range(&RangeRequest::one(key("a"))).await;
        assert!(matches!(found, Err(EtcdError::Refused { .. })), "{found:?}");
    }
}

const SECRETS: &str = privatemode_store::SECRETS_PREFIX;
