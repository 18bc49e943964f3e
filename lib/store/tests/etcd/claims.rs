//! Once, over many and over restarts.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use privatemode_store::{
    MonotonicClock,
    claims::{CLAIMS_PREFIX, ClaimFailure, ClaimStore, EtcdClaims, Now, system_now},
    etcd::{Etcd, EtcdTimeouts, messages::RangeRequest},
};
use privatemode_test_kit::{EtcdCluster, free_port, wait_until};
use privatemode_wire::{
    SecretId,
    replay::{Refusal, ReplayKey, ReplayLimits},
    stream::{RequestId, UnixMillis},
};

use crate::common::{timeouts, urls};

const HOUR: u64 = 3_600_000;
const LIMIT: Duration = Duration::from_secs(60);

fn key(secret: &str, request: u128) -> ReplayKey {
    ReplayKey::new(&SecretId::parse(secret).unwrap(), &RequestId::from_bytes(request.to_be_bytes()))
}

fn service(cluster: &EtcdCluster) -> EtcdClaims {
    service_with(Etcd::new(&urls(cluster), None, timeouts()).unwrap(), ReplayLimits::default(), system_now())
}

fn service_with(etcd: Etcd, limits: ReplayLimits, now: Now) -> EtcdClaims {
    // any seed: two of them must differ
    static SEED: AtomicU64 = AtomicU64::new(1);
    let mut seed = [0; 32];
    for bytes in seed.chunks_exact_mut(8) {
        bytes.copy_from_slice(&SEED.fetch_add(1, Ordering::SeqCst).to_be_bytes());
    }
    EtcdClaims::begin(etcd, limits, now, Arc::new(MonotonicClock::new()), seed)
}

/// A clock that is `ahead` of the machine's; both in milliseconds, ten hours added.
fn shifted(ahead: &Arc<AtomicU64>) -> Now {
    let (ahead, system) = (Arc::clone(ahead), system_now());
    Arc::new(move || UnixMillis(system().0 + ahead.load(Ordering::SeqCst) - 10 * HOUR))
}

fn refusal(result: Result<(), ClaimFailure>) -> Refusal {
    match result {
        Err(ClaimFailure::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

/// The first date that is taken, as a client learns it.
async fn not_before(service: &EtcdClaims) -> UnixMillis {
    match refusal(service.claim_once(&key("dates", 0), service.now()).await) {
        Refusal::BeforeStart { not_before, .. } => not_before,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_claimed_once_over_services_and_restarts() {
    let Some(mut cluster) = EtcdCluster::start(3, None).await else { return };
    let services: Vec<_> = (0..3).map(|_| Arc::new(service(&cluster))).collect();
    let sent = not_before(&services[0]).await;
    let claims: Vec<_> = (0..600)
        .map(|number| {
            let service = Arc::clone(&services[number % 3]);
            let number = u128::try_from(number / 6).unwrap();
            tokio::spawn(async move { (number, service.claim_once(&key("id", number), sent).await) })
        })
        .collect();
    let mut granted = Vec::new();
    for claim in claims {
        match claim.await.unwrap() {
            (number, Ok(())) => granted.push(number),
            (_, refused) => assert_eq!(refusal(refused), Refusal::Replayed),
        }
    }
    granted.sort_unstable();
    assert_eq!(granted, (0..100).collect::<Vec<_>>());
    // everybody is restarted: the services, then each member of etcd
    drop(services);
    let again = service(&cluster);
    assert_eq!(refusal(again.claim_once(&key("id", 7), sent).await), Refusal::Replayed);
    assert!(again.claim_once(&key("id", 100), sent).await.is_ok(), "and no gap is seen");
    for number in 0..3 {
        cluster.kill(number);
    }
    for number in 0..3 {
        cluster.restart_alone(number);
    }
    cluster.settled().await;
    let once_more = service(&cluster);
    assert_eq!(refusal(once_more.claim_once(&key("id", 8), sent).await), Refusal::Replayed);
    assert_eq!(refusal(again.claim_once(&key("id", 9), sent).await), Refusal::Replayed);
    assert!(once_more.claim_once(&key("id", 101), sent).await.is_ok());
    assert_eq!(refusal(again.claim_once(&key("id", 101), sent).await), Refusal::Replayed);
}

#[tokio::test]
async fn outside_the_window_nobody_is_asked_and_inside_a_dead_etcd_grants_nothing() {
    let url = format!("http://127.0.0.1:{}", free_port()).parse().unwrap();
    let service = service_with(
        Etcd::new(&[url], None, EtcdTimeouts::default()).unwrap(),
        ReplayLimits::default(),
        Arc::new(|| UnixMillis(1_000_000)),
    );
    let server_time = UnixMillis(1_000_000);
    let claim = |sent| {
        let service = &service;
        async move { service.claim_once(&key("id", 1), UnixMillis(sent)).await }
    };
    assert_eq!(refusal(claim(879_999).await), Refusal::TooOld { server_time });
    assert_eq!(refusal(claim(1_120_001).await), Refusal::FromFuture { server_time });
    let Err(ClaimFailure::Unavailable(cause)) = claim(1_000_000).await else { panic!("granted") };
    assert_eq!(cause.to_string(), "the claims' memory in etcd cannot be asked");
    assert_eq!(service.trouble().as_deref(), Some("the claims' memory in etcd cannot be asked"));
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_never_granted_again() {
    let Some(mut cluster) = EtcdCluster::start(1, None).await else { return };
    let hasty = EtcdTimeouts {
        attempt: Duration::from_millis(300),
        request: Duration::from_millis(900),
        ..EtcdTimeouts::default()
    };
    let etcd = Etcd::new(&urls(&cluster), None, hasty).unwrap();
    let service = service_with(etcd, ReplayLimits::default(), system_now());
    let other = self::service(&cluster);
    let sent = not_before(&other).await;
    service.claim_once(&key("id", 0), sent).await.unwrap();
    cluster.freeze(0);
    let lost = service.claim_once(&key("id", 1), sent).await;
    cluster.thaw(0);
    assert!(matches!(lost, Err(ClaimFailure::Unavailable(_))), "{lost:?}");
    // whether etcd got it or not: this service does not take it twice, and another at most once
    assert_eq!(refusal(service.claim_once(&key("id", 1), sent).await), Refusal::Replayed);
    let elsewhere = other.claim_once(&key("id", 1), sent).await;
    assert!(matches!(elsewhere, Ok(()) | Err(ClaimFailure::Refused(Refusal::Replayed))), "{elsewhere:?}");
    assert_eq!(refusal(other.claim_once(&key("id", 1), sent).await), Refusal::Replayed);
    cluster.kill(0);
    let down = service.claim_once(&key("id", 2), sent).await;
    assert!(matches!(down, Err(ClaimFailure::Unavailable(_))), "{down:?}");
}

#[tokio::test]
async fn a_worker_that_did_not_hear_one_service_is_heard_by_another() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let (one, other) = (service(&cluster), service(&cluster));
    let sent = not_before(&one).await;
    let (mine, foreign) = ([1; 16], [2; 16]);
    one.claim_for(&key("id", 1), sent, mine).await.unwrap();
    // a replay is another attempt, at whichever service
    assert_eq!(refusal(other.claim_for(&key("id", 1), sent, foreign).await), Refusal::Replayed);
    assert_eq!(refusal(one.claim_for(&key("id", 1), sent, foreign).await), Refusal::Replayed);
    let third = service(&cluster);
    third.claim_for(&key("id", 1), sent, mine).await.unwrap();
    // the same service is not asked twice, and would not know
    assert_eq!(refusal(third.claim_for(&key("id", 1), sent, mine).await), Refusal::Replayed);
    assert_eq!(refusal(other.claim_once(&key("id", 1), sent).await), Refusal::Replayed);
}

#[tokio::test]
async fn limits_stay() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let etcd = || Etcd::new(&urls(&cluster), None, timeouts()).unwrap();
    let limits = ReplayLimits { share: 2, ..ReplayLimits::with_capacity(3) };
    let service = service_with(etcd(), limits, system_now());
    let sent = not_before(&service).await;
    for request in 0..2 {
        service.claim_once(&key("greedy", request), sent).await.unwrap();
    }
    assert_eq!(refusal(service.claim_once(&key("greedy", 2), sent).await), Refusal::Share);
    service.claim_once(&key("modest", 0), sent).await.unwrap();
    assert_eq!(refusal(service.claim_once(&key("modest", 1), sent).await), Refusal::Full);
    assert_eq!(service.remembered(), 3);
    // another service finds etcd itself full
    let other = service_with(etcd(), limits, system_now());
    assert_eq!(refusal(other.claim_once(&key("modest", 2), sent).await), Refusal::Full);
    let found = etcd().range(&RangeRequest::prefix(format!("{CLAIMS_PREFIX}r/").as_bytes())).await.unwrap();
    assert_eq!(found.kvs.len(), 3, "what was refused is not written");
    let lease = etcd().lease_time_to_live(found.kvs[0].lease).await.unwrap();
    assert!(lease.granted_ttl >= 360, "the window, and what clocks may differ by: {lease:?}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_grants_nothing() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let right = service(&cluster);
    let sent = not_before(&right).await;
    right.claim_once(&key("id", 1), sent).await.unwrap();
    let ahead = Arc::new(AtomicU64::new(10 * HOUR));
    let etcd = Etcd::new(&urls(&cluster), None, timeouts()).unwrap();
    let jumping = service_with(etcd, ReplayLimits::default(), shifted(&ahead));
    jumping.claim_once(&key("id", 2), sent).await.unwrap();
    for wrong in [12 * HOUR, 8 * HOUR] {
        ahead.store(wrong, Ordering::SeqCst);
        let refused = jumping.claim_once(&key("id", 1), jumping.now()).await;
        let Err(ClaimFailure::Unavailable(cause)) = refused else { panic!("{refused:?}") };
        assert!(cause.to_string().contains("clock differs"), "{cause}");
        assert!(jumping.trouble().unwrap().contains("clock differs"));
    }
    ahead.store(10 * HOUR, Ordering::SeqCst);
    jumping.claim_once(&key("id", 3), sent).await.unwrap();
    assert_eq!((jumping.trouble(), right.trouble()), (None, None));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().unwrap().is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[tokio::test]
async fn an_etcd_that_goes_back_is_a_memory_that_has_just_begun() {
    let Some(mut cluster) = EtcdCluster::start(1, None).await else { return };
    let service = service(&cluster);
    let first = not_before(&service).await;
    service.claim_once(&key("id", 1), first).await.unwrap();
    cluster.kill(0);
    let backup = tempfile::tempdir().unwrap();
    copy(&cluster.data(0), backup.path());
    cluster.restart(0).await;
    for request in 2..20 {
        service.claim_once(&key("id", request), first).await.unwrap();
    }
    cluster.kill(0);
    fs::remove_dir_all(cluster.data(0)).unwrap();
    copy(backup.path(), &cluster.data(0));
    cluster.restart(0).await;
    // etcd knows nothing of request 5; whoever is asked, it does not run again
    let other = self::service(&cluster);
    let second = match refusal(service.claim_once(&key("id", 100), first).await) {
        Refusal::BeforeStart { not_before, .. } => not_before,
        other => panic!("{other:?}"),
    };
    assert!(second > first, "{second:?} {first:?}");
    let again = refusal(service.claim_once(&key("id", 5), first).await);
    assert!(matches!(again, Refusal::BeforeStart { not_before, .. } if not_before >= second), "{again:?}");
    // another one learns of it with its next look at the record
    wait_until("the other service to refuse as well", LIMIT, async || {
        match other.claim_once(&key("other", rand()), first).await {
            Ok(()) => false,
            Err(ClaimFailure::Refused(Refusal::BeforeStart { not_before, .. })) => not_before >= second,
            other => panic!("{other:?}"),
        }
    })
    .await;
}

/// A request ID that was not used yet.
fn rand() -> u128 {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    u128::from(NEXT.fetch_add(1, Ordering::SeqCst))
}

#[tokio::test]
async fn an_emptied_etcd_is_a_memory_that_has_just_begun() {
    let Some(mut cluster) = EtcdCluster::start(1, None).await else { return };
    let first = service(&cluster);
    let sent = not_before(&first).await;
    first.claim_once(&key("id", 1), sent).await.unwrap();
    drop(first);
    cluster.kill(0);
    fs::remove_dir_all(cluster.data(0)).unwrap();
    cluster.restart(0).await;
    let second = service(&cluster);
    match refusal(second.claim_once(&key("id", 1), sent).await) {
        Refusal::BeforeStart { not_before, .. } => assert!(not_before > sent),
        other => panic!("{other:?}"),
    }
}
