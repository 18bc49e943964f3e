//! A real etcd as a member of the mesh: both sides know each other by mesh certificates alone. Without an etcd this says so
//! and passes.

use std::sync::Arc;

use privatemode_store::etcd::{Etcd, EtcdError, EtcdTimeouts, EtcdUrl, messages::RangeRequest};
use privatemode_test_kit::{EtcdCluster, EtcdServerFiles};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};

use crate::fake::{Fake, now};

#[tokio::test]
async fn etcd_and_a_workload_know_each_other_by_mesh_certificates() {
    let fake = Fake::start();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let files = {
        let ca = fake.inner.mesh.lock().unwrap();
        // etcd asks itself over its gateway, by address
        let names = ["etcd".to_owned(), "127.0.0.1".to_owned()];
        let cert = ca.issue(&names, &key, (now() - 60, now() + 3600)).pem();
        EtcdServerFiles { cert, key: key.serialize_pem(), ca: ca.pem.clone() }
    };
    let Some(cluster) = EtcdCluster::start_with(1, Some(&files)).await else { return };
    let urls: Vec<EtcdUrl> = cluster.urls().iter().map(|url| url.parse().unwrap()).collect();
    let service = fake.join("secret-service").await;
    let client = |config| Etcd::new(&urls, Some(Arc::new(config)), EtcdTimeouts::default()).unwrap();
    let etcd = client(service.client_config("etcd"));
    assert_eq!(etcd.range(&RangeRequest::one("k")).await.unwrap().count, 0);
    // no other workload of the mesh is taken for it, and nobody of another mesh is let in
    let wrong = client(service.client_config("gateway")).range(&RangeRequest::one("k")).await;
    assert!(matches!(wrong, Err(EtcdError::Unavailable(_))), "{wrong:?}");
    let elsewhere = Fake::start().join("secret-service").await;
    let foreign = client(elsewhere.client_config("etcd")).range(&RangeRequest::one("k")).await;
    assert!(matches!(foreign, Err(EtcdError::Unavailable(_))), "{foreign:?}");
}
