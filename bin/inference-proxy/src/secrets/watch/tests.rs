//! Over a real etcd; without one these tests say so and pass.

use std::process::Command;

use privatemode_service::metrics::Registry;
use privatemode_store::{
    ManualClock, MonotonicClock, SecretStore,
    etcd::{
        EtcdTimeouts, EtcdUrl,
        messages::{DeleteRangeRequest, PutRequest},
    },
};
use privatemode_test_kit::{EtcdCluster, EtcdPki, wait_until};
use tokio::task::JoinHandle;

use super::*;
use crate::{SecretSource, StoreSource};

const LIMIT: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// A worker's secrets, and a writer beside it.
struct Fixture {
    etcd: Etcd,
    writer: EtcdSecrets,
    cache: SecretCache,
    clock: Arc<ManualClock>,
    registry: Registry,
    shutdown: Shutdown,
    watching: JoinHandle<()>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn etcd(cluster: &EtcdCluster, tls: Option<(&EtcdPki, &str)>) -> Etcd {
    let urls: Vec<EtcdUrl> = cluster.urls().iter().map(|url| url.parse().unwrap()).collect();
    let tls = tls.map(|(pki, name)| Arc::new(pki.client(Some(name))));
    let timeouts = EtcdTimeouts { watch: Duration::from_secs(2), ..EtcdTimeouts::default() };
    Etcd::new(&urls, tls, timeouts).unwrap()
}

/// Finds nothing: what is in the cache came by itself.
struct Nothing;

impl SecretSource for Nothing {
    fn lookup<'a>(
        &'a self,
        _: &'a SecretId,
    ) -> privatemode_service::BoxFuture<'a, Result<Option<Found>, super::super::LookupError>> {
        Box::pin(async { Ok(None) })
    }
}

fn start(writer: Etcd, reader: Etcd) -> Fixture {
    let clock = Arc::new(ManualClock::new());
    let registry = Registry::new();
    let metrics = Metrics::new(&registry);
    let cache = SecretCache::new(Arc::new(Nothing), clock.clone(), 1000, metrics.clone());
    let store = Arc::new(EtcdSecrets::new(reader.clone(), clock.clone(), 0));
    let shutdown = Shutdown::new();
    let watch = SecretWatch::new(reader, store, cache.clone(), metrics);
    let watching = tokio::spawn(watch.run(shutdown.clone()));
    let store = EtcdSecrets::new(writer.clone(), Arc::new(MonotonicClock::new()), 1_000_000);
    Fixture { etcd: writer, writer: store, cache, clock, registry, shutdown, watching }
}

impl Fixture {
    async fn has(&self, id: &str, byte: u8) -> bool {
        let found = self.cache.get(&SecretId::parse(id).unwrap()).await.unwrap();
        found.is_some_and(|secret| secret.expose() == [byte; 32])
    }

    async fn comes(&self, id: &str, byte: u8) {
        wait_until(&format!("secret {id}"), LIMIT, async || self.has(id, byte).await).await;
    }

    async fn goes(&self, count: usize) {
        wait_until(&format!("{count} secrets"), LIMIT, async || self.cache.len() == count).await;
    }

    async fn delete(&self, id: &str) {
        let key = format!("{SECRETS_PREFIX}{id}").into_bytes();
        self.etcd.delete_range(&DeleteRangeRequest { key, range_end: vec![] }).await.unwrap();
    }

    async fn watched(&self) {
        wait_until("the watch", LIMIT, async || {
            self.registry.render().contains("\nprivatemode_secrets_watched 1\n")
        })
        .await;
    }
}

#[tokio::test]
async fn secrets_come_and_go_by_themselves() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let plain = etcd(&cluster, None);
    let writer = EtcdSecrets::new(plain.clone(), Arc::new(MonotonicClock::new()), 1_000_000);
    // more than two pages
    for number in 0..2100_u32 {
        write(&plain, &format!("old-{number}"), 1).await;
    }
    writer.put("before", &[2; 32], HOUR).await.unwrap();
    let fixture = start(etcd(&cluster, None), etcd(&cluster, None));
    fixture.watched().await;
    assert_eq!(fixture.cache.len(), 1000, "as many as may be in memory");
    let old = format!("{SECRETS_PREFIX}old-").into_bytes();
    let delete = DeleteRangeRequest { range_end: prefix_end(&old), key: old };
    assert_eq!(plain.delete_range(&delete).await.unwrap().deleted, 2100);
    fixture.writer.put("after", &[3; 32], HOUR).await.unwrap();
    fixture.comes("after", 3).await;
    fixture.delete("before").await;
    // what is no ID, or no secret, harms nobody
    for (key, value) in [("a:b", vec![1; 32]), ("\u{ff}", vec![1; 32]), ("short", vec![1; 3]), ("", vec![])] {
        let key = format!("{SECRETS_PREFIX}{key}").into_bytes();
        fixture.etcd.put(&PutRequest { key, value, lease: 0 }).await.unwrap();
    }
    fixture.writer.put("last", &[4; 32], HOUR).await.unwrap();
    fixture.comes("last", 4).await;
    fixture.goes(2).await;
    // overwritten by whoever may: the new one counts
    write(&plain, "last", 5).await;
    fixture.comes("last", 5).await;
    fixture.shutdown.trigger();
}

/// Without a lease, as an older service could.
async fn write(etcd: &Etcd, id: &str, byte: u8) {
    let key = format!("{SECRETS_PREFIX}{id}").into_bytes();
    etcd.put(&PutRequest { key, value: vec![byte; 32], lease: 0 }).await.unwrap();
}

#[tokio::test]
async fn a_secret_is_wiped_in_its_time_although_nobody_says_so() {
    let Some(mut cluster) = EtcdCluster::start(1, None).await else { return };
    let fixture = start(etcd(&cluster, None), etcd(&cluster, None));
    fixture.writer.put("id", &[1; 32], HOUR).await.unwrap();
    fixture.comes("id", 1).await;
    // etcd is gone for good: what is in memory serves on, and ends
    cluster.kill(0);
    fixture.clock.advance(HOUR - Duration::from_secs(10));
    assert!(fixture.has("id", 1).await);
    fixture.clock.advance(Duration::from_secs(80));
    fixture.cache.sweep();
    assert!(fixture.cache.is_empty());
    // etcd comes back and still has it, for its leases begin anew: it was seen once, and its time is over
    cluster.restart(0).await;
    let clock = Arc::new(MonotonicClock::new());
    let later = EtcdSecrets::new(fixture.etcd.clone(), clock, 1_000_000);
    later.put("new", &[2; 32], HOUR).await.unwrap();
    fixture.comes("new", 2).await;
    assert_eq!(fixture.cache.len(), 1);
}

#[tokio::test]
async fn a_broken_stream_and_a_compaction_lose_nothing() {
    let Some(mut cluster) = EtcdCluster::start(1, None).await else { return };
    let fixture = start(etcd(&cluster, None), etcd(&cluster, None));
    for (id, byte) in [("stays", 1), ("goes", 2)] {
        fixture.writer.put(id, &[byte; 32], HOUR).await.unwrap();
        fixture.comes(id, byte).await;
    }
    // the stream breaks; meanwhile, nothing
    cluster.kill(0);
    cluster.restart(0).await;
    fixture.writer.put("second", &[3; 32], HOUR).await.unwrap();
    fixture.comes("second", 3).await;
    // a worker that comes late, and things happen whose revisions are compacted
    let second = start(etcd(&cluster, None), etcd(&cluster, None));
    second.comes("stays", 1).await;
    fixture.delete("goes").await;
    fixture.goes(2).await;
    second.goes(2).await;
    compact(&cluster, &fixture).await;
    let fresh = fixture_at(&cluster, 2).await;
    fresh.comes("stays", 1).await;
    fresh.comes("second", 3).await;
    fresh.goes(2).await;
}

/// Compacts up to the present revision.
async fn compact(cluster: &EtcdCluster, fixture: &Fixture) {
    let now = fixture.etcd.range(&RangeRequest::one("x")).await.unwrap().header.unwrap().revision;
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &cluster.urls()[0], "compact", &now.to_string()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A worker whose cache is in step with a revision that is compacted, and has a secret that is gone.
async fn fixture_at(cluster: &EtcdCluster, next: i64) -> Fixture {
    let mut fixture = start(etcd(cluster, None), etcd(cluster, None));
    fixture.watched().await;
    fixture.watching.abort();
    let gone = Found { secret: Secret::from_slice(&[9; 32]).unwrap(), expires_in: HOUR };
    fixture.cache.insert(SecretId::parse("gone").unwrap(), gone);
    let header = fixture.etcd.range(&RangeRequest::one("x")).await.unwrap().header.unwrap();
    let mut position = Some(Position { cluster: header.cluster_id, next });
    let metrics = Metrics::new(&fixture.registry);
    let store = Arc::new(EtcdSecrets::new(fixture.etcd.clone(), fixture.clock.clone(), 0));
    let watch = SecretWatch::new(fixture.etcd.clone(), store, fixture.cache.clone(), metrics);
    let error = watch.follow(&mut position, &mut PAUSE.0.clone()).await;
    assert!(matches!(error, EtcdError::Compacted { .. }), "{error:?}");
    // another cluster, and a store that went back, are noticed as well
    for wrong in [
        Position { cluster: 1, next: header.revision },
        Position { cluster: header.cluster_id, next: header.revision + 100 },
    ] {
        let error = watch.follow(&mut Some(wrong), &mut PAUSE.0.clone()).await;
        assert!(matches!(error, EtcdError::RolledBack { .. }), "{error:?}");
    }
    fixture.watching = tokio::spawn(watch.run(fixture.shutdown.clone()));
    fixture
}

#[tokio::test]
async fn a_worker_reads_with_its_own_certificate() {
    let pki = EtcdPki::new();
    let Some(cluster) = EtcdCluster::start(1, Some(&pki)).await else { return };
    let root = etcd(&cluster, Some((&pki, "root")));
    let reader = privatemode_store::etcd::ReadOnly { user: "continuum-etcd-client", prefix: SECRETS_PREFIX };
    root.set_up_auth(&[reader]).await.unwrap();
    let fixture = start(root, etcd(&cluster, Some((&pki, "continuum-etcd-client"))));
    fixture.writer.put("id", &[1; 32], HOUR).await.unwrap();
    fixture.comes("id", 1).await;
    // a lookup, too, may ask for the lease
    let reader = etcd(&cluster, Some((&pki, "continuum-etcd-client")));
    let store = EtcdSecrets::new(reader, Arc::new(MonotonicClock::new()), 0);
    let found = StoreSource::new(Arc::new(store)).lookup(&SecretId::parse("id").unwrap()).await;
    let found = found.unwrap().unwrap();
    assert_eq!(found.secret.expose(), [1; 32]);
    assert!(found.expires_in > HOUR - Duration::from_secs(60));
}
