//! What only a store outside this process can do wrong.

use std::{sync::Arc, time::Duration};

use privatemode_store::{
    EtcdSecrets, GetError, MonotonicClock, PutError, SECRETS_PREFIX, SecretStore,
    etcd::{
        Etcd, EtcdTimeouts,
        messages::{PutRequest, RangeRequest},
    },
};
use privatemode_test_kit::EtcdCluster;

use super::InEtcd;
use crate::common;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn the_value_is_the_secret_and_leases_are_shared() {
    let Some(place) = InEtcd::start().await else { return };
    let store = place.etcd_store(100);
    for number in 0..20u8 {
        store.put(&number.to_string(), &[number; 32], HOUR).await.unwrap();
    }
    let etcd = Etcd::new(&common::urls(&place.0), None, common::timeouts()).unwrap();
    let found = etcd.range(&RangeRequest::prefix(SECRETS_PREFIX.as_bytes())).await.unwrap();
    assert_eq!(found.kvs.len(), 20);
    let mut leases: Vec<_> = found.kvs.iter().map(|kv| kv.lease).collect();
    leases.dedup();
    assert!(leases.len() <= 2, "{leases:?}");
    assert!(found.kvs.iter().all(|kv| kv.value.len() == 32 && kv.key.starts_with(b"inference-secrets/")));
    let left = etcd.lease_time_to_live(leases[0]).await.unwrap();
    assert_eq!(left.granted_ttl, 3660, "an hour, and the slice");
}

#[tokio::test]
async fn what_is_no_secret_is_not_taken_for_one() {
    let Some(place) = InEtcd::start().await else { return };
    let etcd = Etcd::new(&common::urls(&place.0), None, common::timeouts()).unwrap();
    let store = place.etcd_store(100);
    for (id, value, lease) in [("long", vec![7; 1 << 20], 0), ("empty", vec![], 0), ("old", vec![7; 32], 0)] {
        let key = format!("{SECRETS_PREFIX}{id}").into_bytes();
        etcd.put(&PutRequest { key, value, lease }).await.unwrap();
    }
    for id in ["long", "empty"] {
        let Err(GetError::Unavailable(cause)) = store.get(id).await else { panic!("{id} is no secret") };
        assert!(cause.to_string().ends_with("is no secret"), "{cause}");
    }
    // one of an older service, which could write them without a lease
    assert_eq!(store.get("old").await.unwrap().unwrap().expires_in, Duration::from_secs(86_400));
}

#[tokio::test]
async fn a_lease_that_was_revoked_is_replaced_and_its_secrets_are_gone() {
    let Some(place) = InEtcd::start().await else { return };
    let etcd = Etcd::new(&common::urls(&place.0), None, common::timeouts()).unwrap();
    let store = place.etcd_store(100);
    store.put("a", b"1", HOUR).await.unwrap();
    let lease = etcd.range(&RangeRequest::prefix(SECRETS_PREFIX.as_bytes())).await.unwrap().kvs[0].lease;
    etcd.lease_revoke(lease).await.unwrap();
    assert!(store.get("a").await.unwrap().is_none());
    store.put("b", b"2", HOUR).await.unwrap();
    assert_eq!(store.get("b").await.unwrap().unwrap().secret.as_ref(), b"2");
}

#[tokio::test]
async fn a_store_that_is_down_is_unavailable_and_nothing_is_half_written() {
    let Some(mut cluster) = EtcdCluster::start(3, None).await else { return };
    let store = |timeouts| {
        let etcd = Etcd::new(&common::urls(&cluster), None, timeouts).unwrap();
        Arc::new(EtcdSecrets::new(etcd, Arc::new(MonotonicClock::new()), 1000))
    };
    let patient = store(common::timeouts());
    let hasty = store(EtcdTimeouts {
        attempt: Duration::from_millis(300),
        request: Duration::from_secs(2),
        ..EtcdTimeouts::default()
    });
    patient.put("before", b"there", HOUR).await.unwrap();
    // the leader may be among the killed: many puts meet every moment of it
    let puts: Vec<_> = (0..60u8)
        .map(|number| {
            let hasty = Arc::clone(&hasty);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(u64::from(number) * 10)).await;
                (number, hasty.put(&format!("id-{number}"), &[number; 32], HOUR).await)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    cluster.kill(0);
    cluster.kill(1);
    let mut acknowledged = Vec::new();
    for put in puts {
        match put.await.unwrap() {
            (number, Ok(())) => acknowledged.push(number),
            (_, Err(PutError::Unavailable(_))) => {}
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    assert!(acknowledged.len() < 60, "two of three members are gone");
    assert!(matches!(hasty.put("down", b"1", HOUR).await, Err(PutError::Unavailable(_))));
    assert!(matches!(hasty.get("before").await, Err(GetError::Unavailable(_))));
    cluster.restart_alone(0);
    cluster.restart_alone(1);
    cluster.settled().await;
    assert_eq!(patient.get("before").await.unwrap().unwrap().secret.as_ref(), b"there");
    for number in 0..60u8 {
        match patient.get(&format!("id-{number}")).await.unwrap() {
            // whole, or not at all; and what was acknowledged is there
            Some(found) => assert_eq!(found.secret.as_ref(), [number; 32]),
            None => assert!(!acknowledged.contains(&number), "{number} is lost"),
        }
    }
}
