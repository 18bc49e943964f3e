//! Each call once.

use std::time::Duration;

use privatemode_store::etcd::{
    Etcd, EtcdError,
    messages::{
        Compare, DeleteRangeRequest, EventType, PutRequest, RangeRequest, TxnRequest, WatchCreateRequest,
    },
    prefix_end,
};
use privatemode_test_kit::wait_until;

use crate::common::{all, one, put, timeouts};

#[tokio::test]
async fn keys_are_written_read_and_deleted() {
    let Some((_cluster, etcd)) = one().await else { return };
    let before = etcd.range(&RangeRequest::one("a/1")).await.unwrap();
    assert_eq!((before.kvs.len(), before.count), (0, 0));
    for (key, value) in [("a/1", "one"), ("a/2", "two"), ("b/1", "three")] {
        etcd.put(&put(key, value)).await.unwrap();
    }
    let found = all(&etcd, "a/").await;
    assert_eq!(found, [("a/1".into(), "one".into()), ("a/2".into(), "two".into())]);
    let mut page = RangeRequest::prefix(b"a/");
    page.limit = 1;
    page.keys_only = true;
    let page = etcd.range(&page).await.unwrap();
    assert_eq!((page.kvs.len(), page.more, page.count, page.kvs[0].value.len()), (1, true, 2, 0));
    let delete = DeleteRangeRequest { key: b"a/".to_vec(), range_end: prefix_end(b"a/") };
    assert_eq!(etcd.delete_range(&delete).await.unwrap().deleted, 2);
    assert_eq!(all(&etcd, "").await, [("b/1".into(), "three".into())]);
    let status = etcd.status().await.unwrap();
    assert!(status.leader != 0 && status.errors.is_empty(), "{status:?}");
}

#[tokio::test]
async fn of_two_swaps_from_one_state_one_loses() {
    let Some((_cluster, etcd)) = one().await else { return };
    let swap = |compare: Compare, value: &str| TxnRequest {
        compare: vec![compare],
        success: vec![put("k", value).into()],
        failure: vec![RangeRequest::one("k").into()],
    };
    assert!(etcd.txn(&swap(Compare::absent("k"), "1")).await.unwrap().succeeded);
    let second = etcd.txn(&swap(Compare::absent("k"), "2")).await.unwrap();
    assert!(!second.succeeded);
    let there = &second.responses[0].range().unwrap().kvs[0];
    assert_eq!(there.value, b"1");
    assert!(etcd.txn(&swap(Compare::value("k", "1"), "2")).await.unwrap().succeeded);
    assert!(
        !etcd.txn(&swap(Compare::unchanged_since("k", there.mod_revision), "3")).await.unwrap().succeeded
    );
    // transactions inside one: each decides for itself
    let nested = TxnRequest {
        compare: vec![],
        success: vec![
            swap(Compare::absent("k"), "4").into(),
            TxnRequest {
                compare: vec![Compare::absent("l")],
                success: vec![put("l", "5").into()],
                failure: vec![],
            }
            .into(),
        ],
        failure: vec![],
    };
    let nested = etcd.txn(&nested).await.unwrap();
    let inner: Vec<_> = nested.responses.iter().map(|one| one.txn().unwrap().succeeded).collect();
    assert_eq!(inner, [false, true]);
}

#[tokio::test]
async fn leases_take_their_keys_along() {
    let Some((_cluster, etcd)) = one().await else { return };
    let lease = etcd.lease_grant(100).await.unwrap();
    let leased = |lease| PutRequest { key: b"k".to_vec(), value: b"v".to_vec(), lease };
    etcd.put(&leased(lease.id)).await.unwrap();
    assert_eq!(etcd.range(&RangeRequest::one("k")).await.unwrap().kvs[0].lease, lease.id);
    let left = etcd.lease_time_to_live(lease.id).await.unwrap();
    assert!((90..=100).contains(&left.ttl) && left.granted_ttl == 100, "{left:?}");
    assert_eq!(etcd.lease_keep_alive(lease.id).await.unwrap().ttl, 100);
    etcd.lease_revoke(lease.id).await.unwrap();
    assert!(all(&etcd, "").await.is_empty());
    assert!(matches!(etcd.lease_time_to_live(lease.id).await, Err(EtcdError::NoLease)));
    assert!(matches!(etcd.lease_keep_alive(lease.id).await, Err(EtcdError::NoLease)));
    assert!(matches!(etcd.lease_revoke(lease.id).await, Err(EtcdError::NoLease)));
    assert!(matches!(etcd.put(&leased(lease.id)).await, Err(EtcdError::NoLease)));
}

fn watch_from(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest {
        key: b"w/".to_vec(),
        range_end: prefix_end(b"w/"),
        start_revision,
        ..WatchCreateRequest::default()
    }
}

#[tokio::test]
async fn a_watch_sees_every_change_and_says_where_to_go_on() {
    let Some((_cluster, etcd)) = one().await else { return };
    etcd.put(&put("w/0", "before")).await.unwrap();
    let mut watch = etcd.watch(watch_from(0)).await.unwrap();
    let start = watch.next_revision();
    etcd.put(&put("v/1", "elsewhere")).await.unwrap();
    etcd.put(&put("w/1", "one")).await.unwrap();
    etcd.delete_range(&DeleteRangeRequest { key: b"w/1".to_vec(), range_end: vec![] }).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        for event in watch.next().await.unwrap().events {
            let kv = event.kv.clone().unwrap();
            seen.push((event.r#type(), kv.key.clone(), kv.value.clone(), kv.mod_revision));
        }
    }
    assert_eq!(seen[0], (EventType::Put, b"w/1".to_vec(), b"one".to_vec(), start + 1));
    assert_eq!(seen[1], (EventType::Delete, b"w/1".to_vec(), vec![], start + 2));
    assert_eq!(watch.next_revision(), start + 3);
    // from the past: the same again
    let mut again = etcd.watch(watch_from(start)).await.unwrap();
    let mut events = Vec::new();
    while events.len() < 2 {
        events.extend(again.next().await.unwrap().events);
    }
    assert_eq!((events.len(), again.next_revision()), (2, start + 3));
    assert_eq!(again.cluster_id(), watch.cluster_id());
    let Err(EtcdError::RolledBack { had, now }) = etcd.watch(watch_from(start + 1000)).await else {
        panic!("a store that is behind is noticed")
    };
    assert_eq!((had, now), (start + 999, start + 2));
}

#[tokio::test]
async fn a_silent_watch_is_asked_whether_it_lives() {
    let Some((cluster, _)) = one().await else { return };
    let mut short = timeouts();
    short.watch = Duration::from_millis(200);
    let etcd = Etcd::new(&crate::common::urls(&cluster), None, short).unwrap();
    let mut watch = etcd.watch(watch_from(0)).await.unwrap();
    // several silences, each answered: the watch goes on
    let late = tokio::time::timeout(Duration::from_secs(2), watch.next()).await;
    assert!(late.is_err(), "{late:?}");
    etcd.put(&put("w/1", "one")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().events.len(), 1);
    cluster.freeze(0);
    let silent = watch.next().await;
    cluster.thaw(0);
    assert!(matches!(silent, Err(EtcdError::Unavailable(_))), "{silent:?}");
}

#[tokio::test]
async fn what_is_compacted_is_named() {
    let Some((cluster, etcd)) = one().await else { return };
    for value in ["1", "2", "3", "4"] {
        etcd.put(&put("w/1", value)).await.unwrap();
    }
    let compacted = std::process::Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &cluster.urls()[0], "compact", "4"])
        .output();
    let Ok(output) = compacted else { return };
    assert!(output.status.success(), "{output:?}");
    let mut watch = match etcd.watch(watch_from(2)).await {
        Err(EtcdError::Compacted { revision }) => return assert_eq!(revision, 4),
        other => other.unwrap(),
    };
    assert!(matches!(watch.next().await, Err(EtcdError::Compacted { revision: 4 })));
    let mut old = RangeRequest::one("w/1");
    old.revision = 2;
    assert!(matches!(etcd.range(&old).await, Err(EtcdError::Compacted { .. })));
}

#[tokio::test]
async fn large_changes_come_in_pieces() {
    let Some((_cluster, etcd)) = one().await else { return };
    let mut watch = etcd.watch(watch_from(0)).await.unwrap();
    let value = "x".repeat(1 << 20);
    for number in 0..5 {
        etcd.put(&put(&format!("w/{number}"), &value)).await.unwrap();
    }
    let mut seen = 0;
    wait_until("five large events", Duration::from_secs(60), async || {
        let batch = watch.next().await.unwrap();
        assert!(batch.events.iter().all(|event| event.kv.as_ref().unwrap().value.len() == 1 << 20));
        seen += batch.events.len();
        seen == 5
    })
    .await;
    // five at once are more than a message may have: refused by our side, not swallowed
    let found = etcd.range(&RangeRequest::prefix(b"w/")).await.unwrap();
    assert_eq!(found.kvs.len(), 5);
    for number in 5..9 {
        etcd.put(&put(&format!("w/{number}"), &value)).await.unwrap();
    }
    let long = etcd.range(&RangeRequest::prefix(b"w/")).await;
    assert!(matches!(long, Err(EtcdError::Protocol("a message is too long"))), "{long:?}");
}
