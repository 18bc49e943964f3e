//! A real etcd, and a client of it.

use std::{sync::Arc, time::Duration};

use privatemode_store::etcd::{
    Etcd, EtcdTimeouts, EtcdUrl,
    messages::{PutRequest, RangeRequest},
};
use privatemode_test_kit::{EtcdCluster, EtcdPki};

/// Short enough for a test, long enough for a busy machine.
pub(crate) fn timeouts() -> EtcdTimeouts {
    EtcdTimeouts {
        connect: Duration::from_secs(1),
        attempt: Duration::from_secs(2),
        request: Duration::from_secs(20),
        ..EtcdTimeouts::default()
    }
}

pub(crate) fn urls(cluster: &EtcdCluster) -> Vec<EtcdUrl> {
    cluster.urls().iter().map(|url| url.parse().unwrap()).collect()
}

pub(crate) async fn one() -> Option<(EtcdCluster, Etcd)> {
    let cluster = EtcdCluster::start(1, None).await?;
    let etcd = Etcd::new(&urls(&cluster), None, timeouts()).unwrap();
    Some((cluster, etcd))
}

/// A client as the workload `name`.
pub(crate) fn client_as(cluster: &EtcdCluster, pki: &EtcdPki, name: Option<&str>) -> Etcd {
    Etcd::new(&urls(cluster), Some(Arc::new(pki.client(name))), timeouts()).unwrap()
}

pub(crate) fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), lease: 0 }
}

/// The values under a prefix, with their keys.
pub(crate) async fn all(etcd: &Etcd, prefix: &str) -> Vec<(String, String)> {
    let range = etcd.range(&RangeRequest::prefix(prefix.as_bytes())).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    range.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}
