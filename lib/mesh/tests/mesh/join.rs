//! Joining and renewing.

use std::time::Duration;

use privatemode_attest::{
    UnixTime,
    mesh::{LeafError, MeshCa, SignatureError},
};
use privatemode_manifest::VerifyError;
use privatemode_mesh::{CoordinatorError, JoinError, join, join_within};
use privatemode_service::{Shutdown, listen};

use crate::fake::{Fake, Wrong, now};

#[tokio::test]
async fn an_identity_is_named_by_the_manifest_and_signs() {
    let fake = Fake::start();
    let identity = fake.join("secret-service").await;
    assert!(identity.simulated());
    assert_eq!(identity.mesh_ca_pem(), fake.ca().pem);
    assert_eq!(identity.chain().len(), 2);
    let ca = MeshCa::parse_pem(identity.mesh_ca_pem()).unwrap();
    let leaf = ca.verify_leaf(&identity.leaf_der(), UnixTime(now())).unwrap();
    assert!(leaf.has_name("secret-service"));
    let signature = identity.sign_prehash_asn1(&[9; 32]);
    assert_eq!(leaf.verify_prehash(&[9; 32], &signature), Ok(()));
    assert_eq!(leaf.verify_prehash(&[8; 32], &signature), Err(SignatureError::Wrong));
}

#[tokio::test]
async fn a_coordinator_that_is_starting_is_waited_for() {
    let fake = Fake::start();
    // at the attestation twice, then at the challenge
    fake.inner.refusals.lock().unwrap().extend([503, 412]);
    fake.join("gateway").await;
    assert!(fake.inner.refusals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_coordinator_that_does_not_come_is_not_waited_for_forever() {
    let fake = Fake::start();
    let nobody = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
    let mut args = fake.args("gateway");
    args.coordinator = vec![format!("http://{nobody}")];
    let error = join_within(&args, Duration::ZERO).await.unwrap_err();
    let JoinError::NotReady { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, CoordinatorError::Unreachable { .. }), "{source:?}");
}

#[tokio::test]
async fn one_of_several_coordinators_is_enough() {
    let fake = Fake::start();
    let nobody = listen("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
    let mut args = fake.args("gateway");
    args.coordinator.insert(0, format!("http://{nobody}"));
    args.coordinator_mesh.push(format!("http://{nobody}"));
    // no patience: one round has to find the one that is up
    let identity = join_within(&args, Duration::ZERO).await.unwrap();
    identity.renew().await.unwrap();
}

#[tokio::test]
async fn a_refusal_for_good_ends_it_at_once() {
    let fake = Fake::start();
    fake.inner.refusals.lock().unwrap().push_back(403);
    let error = join(&fake.args("gateway")).await.unwrap_err();
    let JoinError::Coordinator { source } = error else { panic!("{error:?}") };
    assert!(source.to_string().ends_with("refused with 403 Forbidden: not yet"), "{source}");
}

async fn refused(fake: &Fake, wrong: Wrong) -> JoinError {
    fake.does_wrong(wrong);
    join(&fake.args("gateway")).await.unwrap_err()
}

#[tokio::test]
async fn every_lie_of_a_coordinator_has_its_name() {
    let fake = Fake::start();
    let error = refused(&fake, Wrong::Nonce).await;
    let JoinError::NotTrusted { source } = error else { panic!("{error:?}") };
    assert!(matches!(*source, VerifyError::ReportDataMismatch), "{source:?}");

    let error = refused(&fake, Wrong::Ca).await;
    let wrong_signature = LeafError::Signature { source: SignatureError::Wrong };
    assert!(matches!(&error, JoinError::Leaf { source } if *source == wrong_signature), "{error:?}");

    let error = refused(&fake, Wrong::Key).await;
    assert!(matches!(error, JoinError::ForeignKey { source: SignatureError::Wrong }), "{error:?}");

    let error = refused(&fake, Wrong::Chain).await;
    assert!(matches!(error, JoinError::Chain { .. }), "{error:?}");
}

#[tokio::test]
async fn another_manifest_is_refused() {
    let fake = Fake::start();
    let path = fake.path("manifest.json");
    let mut raw = std::fs::read(&path).unwrap();
    raw.push(b'\n'); // the same JSON, other bytes
    std::fs::write(&path, raw).unwrap();
    let error = join(&fake.args("gateway")).await.unwrap_err();
    let JoinError::NotTrusted { source } = error else { panic!("{error:?}") };
    assert!(matches!(*source, VerifyError::ManifestChanged { .. }), "{source:?}");
}

#[tokio::test]
async fn wrong_settings_end_it_before_anybody_is_asked() {
    let fake = Fake::start();
    let mut args = fake.args("gateway");
    (args.platform, args.danger_simulated) = (None, false);
    let error = join(&args).await.unwrap_err();
    assert!(matches!(&error, JoinError::Arguments { source } if source.list().len() == 1), "{error:?}");
}

#[tokio::test]
async fn a_renewal_changes_the_certificate_and_keeps_the_key() {
    let fake = Fake::start();
    let identity = fake.join("secret-service").await;
    let (before, signature) = (identity.leaf_der(), identity.sign_prehash_asn1(&[9; 32]));
    identity.renew().await.unwrap();
    let after = identity.leaf_der();
    assert_ne!(before, after);
    let ca = MeshCa::parse_pem(identity.mesh_ca_pem()).unwrap();
    let leaf = ca.verify_leaf(&after, UnixTime(now())).unwrap();
    assert_eq!(
        leaf.verify_prehash(&[9; 32], &signature),
        Ok(()),
        "an older signature fits the new certificate"
    );
}

#[tokio::test]
async fn a_failed_renewal_leaves_the_old_certificate() {
    let fake = Fake::start();
    let identity = fake.join("secret-service").await;
    let before = identity.leaf_der();
    fake.does_wrong(Wrong::Ca);
    let error = identity.renew().await.unwrap_err();
    assert!(matches!(error, JoinError::Leaf { .. }), "{error:?}");
    assert_eq!(identity.leaf_der(), before);
}

#[tokio::test]
async fn the_renewal_ends_with_the_process() {
    let fake = Fake::start();
    let shutdown = Shutdown::new();
    let task = fake.join("gateway").await.spawn_renewal(shutdown.clone());
    shutdown.trigger();
    task.await.unwrap();
}
