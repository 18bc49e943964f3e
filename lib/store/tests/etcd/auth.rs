//! Users known by their certificates.

use privatemode_store::etcd::{
    AuthError, EtcdError, ReadOnly,
    messages::{RangeRequest, WatchCreateRequest},
    prefix_end,
};
use privatemode_test_kit::{EtcdCluster, EtcdPki};

use crate::common::{all, client_as, put};

const READERS: [ReadOnly<'static>; 1] =
    [ReadOnly { user: "continuum-etcd-client", prefix: "inference-secrets/" }];

#[tokio::test]
async fn a_reader_reads_its_prefix_and_nothing_else() {
    let pki = EtcdPki::new();
    let Some(mut cluster) = EtcdCluster::start(1, Some(&pki)).await else { return };
    let root = client_as(&cluster, &pki, Some("root"));
    root.set_up_auth(&READERS).await.unwrap();
    root.set_up_auth(&READERS).await.unwrap();
    root.put(&put("inference-secrets/a", "1")).await.unwrap();
    root.put(&put("inference-claims/a", "2")).await.unwrap();

    let reader = client_as(&cluster, &pki, Some("continuum-etcd-client"));
    assert_eq!(all(&reader, "inference-secrets/").await, [("inference-secrets/a".into(), "1".into())]);
    let refused = |result: Result<(), EtcdError>| {
        assert!(matches!(result, Err(EtcdError::Refused { .. })), "{result:?}");
    };
    refused(reader.range(&RangeRequest::one("inference-claims/a")).await.map(drop));
    refused(reader.range(&RangeRequest::prefix(b"inference-")).await.map(drop));
    refused(reader.put(&put("inference-secrets/b", "3")).await.map(drop));
    let watch = |prefix: &[u8]| WatchCreateRequest {
        key: prefix.to_vec(),
        range_end: prefix_end(prefix),
        ..WatchCreateRequest::default()
    };
    reader.watch(watch(b"inference-secrets/")).await.unwrap();
    refused(reader.watch(watch(b"inference-claims/")).await.map(drop));
    assert!(matches!(reader.set_up_auth(&READERS).await, Err(AuthError::Etcd(EtcdError::Refused { .. }))));

    // of this mesh, but no user; and of no mesh at all
    let gateway = client_as(&cluster, &pki, Some("gateway"));
    refused(gateway.range(&RangeRequest::one("inference-secrets/a")).await.map(drop));
    for stranger in [client_as(&cluster, &pki, None), client_as(&cluster, &EtcdPki::new(), Some("root"))] {
        let found = stranger.range(&RangeRequest::one("inference-secrets/a")).await;
        assert!(matches!(found, Err(EtcdError::Unavailable(_))), "{found:?}");
    }

    // it outlives a restart
    cluster.kill(0);
    cluster.restart(0).await;
    refused(gateway.range(&RangeRequest::one("inference-secrets/a")).await.map(drop));
    assert_eq!(all(&root, "inference-claims/").await.len(), 1);
}

#[tokio::test]
async fn a_role_that_may_do_more_is_an_error() {
    let pki = EtcdPki::new();
    let Some(cluster) = EtcdCluster::start(1, Some(&pki)).await else { return };
    let root = client_as(&cluster, &pki, Some("root"));
    root.set_up_auth(&[ReadOnly { user: "continuum-etcd-client", prefix: "other/" }]).await.unwrap();
    let error = root.set_up_auth(&READERS).await.unwrap_err();
    assert!(
        matches!(&error, AuthError::Permissions { role, prefix }
            if role == "continuum-etcd-client" && prefix == "inference-secrets/"),
        "{error}"
    );
}
