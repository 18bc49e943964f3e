//! Members that are gone, hang, or have lost the others.

use std::time::Duration;

use privatemode_store::etcd::{
    Etcd, EtcdError, EtcdTimeouts,
    messages::{Compare, RangeRequest, TxnRequest},
};
use privatemode_test_kit::{EtcdCluster, free_port};

use crate::common::{all, put, timeouts, urls};

#[tokio::test]
async fn a_dead_endpoint_is_left_for_the_next_one() {
    let Some(cluster) = EtcdCluster::start(1, None).await else { return };
    let mut urls = urls(&cluster);
    urls.insert(0, format!("http://127.0.0.1:{}", free_port()).parse().unwrap());
    let etcd = Etcd::new(&urls, None, timeouts()).unwrap();
    // a write as well: it was certainly not sent
    etcd.put(&put("k", "v")).await.unwrap();
    assert_eq!(all(&etcd, "").await, [("k".into(), "v".into())]);
}

#[tokio::test]
async fn nobody_at_all_is_unavailable() {
    let url = format!("http://127.0.0.1:{}", free_port()).parse().unwrap();
    let etcd = Etcd::new(&[url], None, timeouts()).unwrap();
    assert!(matches!(etcd.range(&RangeRequest::one("k")).await, Err(EtcdError::Unavailable(_))));
    assert!(matches!(etcd.put(&put("k", "v")).await, Err(EtcdError::Unavailable(_))));
    let none = Etcd::new(&[], None, timeouts());
    assert!(matches!(none, Err(EtcdError::Other { .. })));
    let tls = Etcd::new(&["https://127.0.0.1:1".parse().unwrap()], None, timeouts());
    assert!(matches!(tls, Err(EtcdError::Other { .. })));
}

#[tokio::test]
async fn three_members_lose_one_and_then_the_majority() {
    let Some(mut cluster) = EtcdCluster::start(3, None).await else { return };
    let etcd = Etcd::new(&urls(&cluster), None, timeouts()).unwrap();
    etcd.put(&put("k", "1")).await.unwrap();
    cluster.kill(0);
    // reads find the way by themselves; a swap that recognises itself, too
    assert_eq!(all(&etcd, "").await, [("k".into(), "1".into())]);
    let swap = TxnRequest {
        compare: vec![Compare::absent("l")],
        success: vec![put("l", "mine").into()],
        failure: vec![RangeRequest::one("l").into()],
    };
    let done = etcd.txn_repeatable(&swap).await.unwrap();
    assert!(done.succeeded || done.responses[0].range().unwrap().kvs[0].value == b"mine");
    cluster.kill(1);
    let short = EtcdTimeouts {
        attempt: Duration::from_millis(500),
        request: Duration::from_secs(3),
        ..EtcdTimeouts::default()
    };
    let hasty = Etcd::new(&urls(&cluster), None, short).unwrap();
    assert!(matches!(hasty.range(&RangeRequest::one("k")).await, Err(EtcdError::Unavailable(_))));
    assert!(matches!(hasty.txn_repeatable(&swap).await, Err(EtcdError::Unavailable(_))));
    cluster.restart(1).await;
    assert_eq!(all(&etcd, "").await, [("k".into(), "1".into()), ("l".into(), "mine".into())]);
}

#[tokio::test]
async fn a_member_that_hangs_is_left() {
    let Some(cluster) = EtcdCluster::start(3, None).await else { return };
    let etcd = Etcd::new(&urls(&cluster), None, timeouts()).unwrap();
    etcd.put(&put("k", "1")).await.unwrap();
    let mut watch = {
        let mut short = timeouts();
        short.watch = Duration::from_millis(500);
        let etcd = Etcd::new(&urls(&cluster), None, short).unwrap();
        etcd.watch(privatemode_store::etcd::messages::WatchCreateRequest {
            key: b"k".to_vec(),
            ..Default::default()
        })
        .await
        .unwrap()
    };
    cluster.freeze(0);
    let (found, watched) = tokio::join!(all(&etcd, ""), watch.next());
    cluster.thaw(0);
    assert_eq!(found, [("k".into(), "1".into())]);
    assert!(matches!(watched, Err(EtcdError::Unavailable(_))), "{watched:?}");
}
