//! The state in a real etcd: one member, and three of which some go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use privatemode_store::{
    etcd::{
        Etcd, EtcdTimeouts,
        messages::{DeleteRangeRequest, RangeRequest},
    },
    state::{EtcdState, StateError, StateKey, StateStore as _, SwapError},
};
use privatemode_test_kit::{EtcdCluster, wait_until};

use crate::suite::{self, Backend, Handle};

const LIMIT: Duration = Duration::from_secs(60);

fn client(cluster: &EtcdCluster) -> Etcd {
    let urls: Vec<_> = cluster.urls().iter().map(|url| url.parse().unwrap()).collect();
    Etcd::new(&urls, None, EtcdTimeouts::default()).unwrap()
}

/// A prefix of its own in a cluster that several share.
struct Below {
    etcd: Etcd,
    prefix: String,
}

impl Backend for Below {
    fn open(&self) -> Handle {
        Arc::new(EtcdState::new(self.etcd.clone(), &self.prefix))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_a_store_must() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let count = AtomicUsize::new(0);
    suite::run(async || {
        let prefix = format!("deployment-{}/", count.fetch_add(1, Ordering::SeqCst));
        Below { etcd: client(&cluster), prefix }
    })
    .await;
}

#[tokio::test]
async fn keys_are_those_of_the_existing_service_below_the_prefix() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let etcd = client(&cluster);
    let state = EtcdState::new(etcd.clone(), "hospital/");
    state.put(&StateKey::Policy([0xbe; 32]), b"{}\n").await.unwrap();
    state.swap(None, b"latest").await.unwrap();
    let all = etcd.range(&RangeRequest::prefix(b"")).await.unwrap();
    let found: Vec<_> = all.kvs.iter().map(|kv| String::from_utf8(kv.key.clone()).unwrap()).collect();
    let policy = format!("hospital/contrast-store/policies/{}", "be".repeat(32));
    assert_eq!(found, [policy, "hospital/contrast-store/transitions/latest".to_owned()]);
    let other = EtcdState::new(etcd, "");
    assert_eq!(other.get(&StateKey::Latest).await.unwrap(), None, "prefixes do not see each other");
}

#[tokio::test]
async fn a_deleted_entry_is_a_change() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let etcd = client(&cluster);
    let state = Arc::new(EtcdState::new(etcd.clone(), ""));
    state.swap(None, b"a").await.unwrap();
    let watching = Arc::clone(&state);
    let change = tokio::spawn(async move { watching.changed(Some(b"a")).await.unwrap() });
    tokio::task::yield_now().await;
    let key = b"contrast-store/transitions/latest".to_vec();
    etcd.delete_range(&DeleteRangeRequest { key, range_end: Vec::new() }).await.unwrap();
    assert_eq!(tokio::time::timeout(LIMIT, change).await.unwrap().unwrap(), None);
}

/// The member that is watched and asked is killed: the others have everything, and the watch goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_dies_takes_nothing_along() {
    let Some(mut cluster) = EtcdCluster::start(3, None).await else { return };
    let state = Arc::new(EtcdState::new(client(&cluster), ""));
    state.swap(None, b"a").await.unwrap();
    state.put(&StateKey::Manifest([1; 32]), b"manifest").await.unwrap();
    let watching = Arc::clone(&state);
    let change = tokio::spawn(async move { watching.changed(Some(b"a")).await.unwrap() });
    tokio::task::yield_now().await;
    cluster.kill(0);
    wait_until("the others answer", LIMIT, async || {
        state.get(&StateKey::Manifest([1; 32])).await.is_ok_and(|found| found.is_some())
    })
    .await;
    assert_eq!(state.get(&StateKey::Latest).await.unwrap().as_deref(), Some(&b"a"[..]));
    // whether a swap without an answer was done is found out by reading
    wait_until("a swap", LIMIT, async || match state.swap(Some(b"a"), b"b").await {
        Ok(()) | Err(SwapError::Lost) => true,
        Err(SwapError::Store(StateError::Unavailable(_))) => false,
        Err(error) => panic!("{error:?}"),
    })
    .await;
    assert_eq!(state.get(&StateKey::Latest).await.unwrap().as_deref(), Some(&b"b"[..]));
    assert_eq!(tokio::time::timeout(LIMIT, change).await.unwrap().unwrap().as_deref(), Some(&b"b"[..]));
}

#[tokio::test]
async fn nobody_answers() {
    let Some(mut cluster) = EtcdCluster::start(1, None).await else { return };
    let state = EtcdState::new(client(&cluster), "");
    state.swap(None, b"a").await.unwrap();
    cluster.kill(0);
    let error = state.get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(error, StateError::Unavailable(_)), "{error:?}");
    let error = state.swap(Some(b"a"), b"b").await.unwrap_err();
    assert!(matches!(error, SwapError::Store(StateError::Unavailable(_))), "{error:?}");
    let error = state.changed(Some(b"a")).await.unwrap_err();
    assert!(matches!(error, StateError::Unavailable(_)), "{error:?}");
    cluster.restart(0).await;
    assert_eq!(state.get(&StateKey::Latest).await.unwrap().as_deref(), Some(&b"a"[..]), "it is on the disk");
}
