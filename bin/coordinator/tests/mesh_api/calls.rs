//! Who gets what, and who does not.

use std::sync::Arc;

use privatemode_attest::mesh::MeshCa;
use privatemode_attest::x509::Certificate;
use privatemode_coordinator::mesh_api::{MeshApi, MeshCallError, MeshClient, OfCoordinator};
use privatemode_coordinator::peers::{Peers, PeersError};
use privatemode_coordinator::state::recover::PeerState;
use privatemode_manifest::{Manifest, PolicyHash};
use privatemode_mesh::atls::{Appraiser, AtlsError, wall_clock};
use privatemode_service::{BoxFuture, Shutdown, listen};
use tonic::Code;

use crate::stand::{COORDINATOR, FOREIGN, GATEWAY, One, Platform, SECRETS, Stand};

fn refused(error: &MeshCallError) -> (Code, &str) {
    let MeshCallError::Refused { code, message, .. } = error else { panic!("{error:?}") };
    (*code, message)
}

#[tokio::test]
async fn a_workload_gets_a_certificate_for_its_key_and_its_secret() {
    for platform in [Platform::Simulated, Platform::Snp] {
        let stand = Stand::new(platform);
        let one = stand.set().await;
        let identity = stand.identity(SECRETS);
        let client = MeshClient::new(one.address.to_string(), identity.clone(), wall_clock());
        let new = client.new_mesh_cert(&stand.expected(1)).await.unwrap();
        let in_force = one.coordinator.in_force().unwrap();
        assert_eq!(new.mesh_ca, in_force.authority().mesh_ca().pem());
        assert_eq!(new.root_ca, in_force.authority().root_pem());
        let chain = Certificate::parse_pem_chain(new.cert_chain.as_bytes(), 2).unwrap();
        let ca = MeshCa::parse_pem(&new.mesh_ca).unwrap();
        let leaf = ca.verify_leaf(chain[0].der(), one.coordinator.now()).unwrap();
        assert!(leaf.has_name("secret-service"));
        assert_eq!(leaf.workload_secret_id(), Some("the secret"));
        assert_eq!(leaf.public_key().spki_der(), identity.key.spki());
        let secret = in_force.seed().workload_secret("the secret").unwrap();
        assert!(new.workload_secret.unwrap() == secret);

        let other = stand.client(GATEWAY, one.address).new_mesh_cert(&stand.expected(1)).await.unwrap();
        assert!(other.workload_secret.is_none());
        let mesh_ca = stand.client(GATEWAY, one.address).mesh_ca(&stand.expected(1)).await.unwrap();
        assert_eq!(mesh_ca, Some(new.mesh_ca));
        one.stop().await;
    }
}

/// As a coordinator would find its peers, if there is one other.
struct Other {
    client: MeshClient,
    options: privatemode_manifest::VerifyOptions,
}

impl Peers for Other {
    fn ask<'a>(&'a self, expected: &'a Manifest) -> BoxFuture<'a, Result<PeerState, PeersError>> {
        Box::pin(async move {
            let expected = Appraiser::new(expected.clone(), self.options.clone(), wall_clock());
            let answer = self.client.recover(&expected).await;
            answer.map_err(|error| PeersError { refusals: vec![("other".into(), error.into())] })
        })
    }
}

async fn beside(stand: &Stand, one: &One, policy: &[u8]) -> One {
    let peers = Arc::new(Other { client: stand.client(policy, one.address), options: stand.options.clone() });
    stand.start(|coordinator| coordinator.with_peers(peers)).await
}

#[tokio::test]
async fn a_coordinator_recovers_from_another_one() {
    for platform in [Platform::Simulated, Platform::Snp] {
        let stand = Stand::new(platform);
        let one = stand.set().await;
        let two = beside(&stand, &one, COORDINATOR).await;
        assert!(two.coordinator.in_force().is_err());
        assert!(two.coordinator.recover_from_peers().await);
        let (ours, theirs) = (one.coordinator.in_force().unwrap(), two.coordinator.in_force().unwrap());
        assert_eq!(ours.authority().mesh_ca().pem(), theirs.authority().mesh_ca().pem());
        assert_eq!(ours.authority().root_pem(), theirs.authority().root_pem());
        assert!(ours.seed().expose() == theirs.seed().expose());
        // and it serves workloads
        stand.client(GATEWAY, two.address).new_mesh_cert(&stand.expected(1)).await.unwrap();
        one.stop().await;
        two.stop().await;
    }
}

#[tokio::test]
async fn a_workload_does_not_get_the_seed() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.set().await;
    let error = stand.client(SECRETS, one.address).recover(&stand.expected(1)).await.err().unwrap();
    assert_eq!(refused(&error), (Code::PermissionDenied, "only coordinators of the manifest may recover"));
    assert!(!error.is_temporary());
    let two = beside(&stand, &one, SECRETS).await;
    assert!(!two.coordinator.recover_from_peers().await);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_stranger_is_told_why_and_gets_nothing() {
    for platform in [Platform::Simulated, Platform::Snp] {
        let stand = Stand::new(platform);
        let one = stand.set().await;
        let client = stand.client(FOREIGN, one.address);
        for error in [
            client.new_mesh_cert(&stand.expected(1)).await.err().unwrap(),
            client.recover(&stand.expected(1)).await.err().unwrap(),
            client.mesh_ca(&stand.expected(1)).await.unwrap_err(),
        ] {
            let (code, message) = refused(&error);
            assert_eq!(code, Code::PermissionDenied);
            assert!(message.contains(&PolicyHash::of(FOREIGN).to_string()), "{message}");
            assert!(!error.is_temporary());
        }
        one.stop().await;
    }
}

#[tokio::test]
async fn without_a_manifest_and_before_recovery_everybody_waits() {
    let stand = Stand::new(Platform::Simulated);
    let empty = stand.start(|coordinator| coordinator).await;
    for policy in [SECRETS, COORDINATOR, FOREIGN] {
        let error =
            stand.client(policy, empty.address).new_mesh_cert(&stand.expected(1)).await.err().unwrap();
        assert_eq!(refused(&error), (Code::FailedPrecondition, "no manifest is set yet"));
        assert!(error.is_temporary());
    }
    stand.set_manifest(&empty, 1).await;
    let stale = stand.start(|coordinator| coordinator).await;
    let error = stand.client(COORDINATOR, stale.address).recover(&stand.expected(1)).await.err().unwrap();
    assert_eq!(refused(&error), (Code::FailedPrecondition, "this coordinator must be recovered first"));
    assert!(error.is_temporary());
    empty.stop().await;
    stale.stop().await;
}

#[tokio::test]
async fn nothing_is_asked_of_what_is_no_coordinator() {
    for platform in [Platform::Simulated, Platform::Snp] {
        let stand = Stand::new(platform);
        let one = stand.set().await;
        // the same answers, from a workload's machine
        let backend = Arc::new(OfCoordinator::new(Arc::clone(&one.coordinator), None));
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let api = MeshApi::new(stand.quoter(GATEWAY), wall_clock(), backend);
        let running = tokio::spawn(api.serve(listener, shutdown.clone()));
        let error = stand.client(SECRETS, address).new_mesh_cert(&stand.expected(1)).await.err().unwrap();
        let MeshCallError::Atls { source, .. } = &error else { panic!("{error:?}") };
        let got = PolicyHash::of(GATEWAY);
        assert!(matches!(**source, AtlsError::NotCoordinator { got: said } if said == got), "{error:?}");
        assert!(!error.is_temporary());
        shutdown.trigger();
        running.await.unwrap();
        one.stop().await;
    }
}

#[tokio::test]
async fn nobody_at_the_address() {
    let stand = Stand::new(Platform::Simulated);
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = stand.client(SECRETS, address).new_mesh_cert(&stand.expected(1)).await.err().unwrap();
    assert!(matches!(error, MeshCallError::Dial { .. }), "{error:?}");
    assert!(error.is_temporary());
}
