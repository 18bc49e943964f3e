//! Recovery by share owners and from peers.

use std::sync::Arc;

use privatemode_coordinator::coordinator::{ChangeError, RecoveredBy};
use privatemode_coordinator::state::recover::RecoverError;
use privatemode_coordinator::state::{NotInForce, StaleReason};
use privatemode_manifest::history::Transition;
use privatemode_store::state::{MemoryState, StateKey, StateStore as _};

use crate::stand::*;

/// A store with a history of two manifests, whose coordinator is gone.
async fn orphaned() -> (Arc<MemoryState>, privatemode_coordinator::shares::SeedShares, [u8; 32]) {
    let store = Arc::new(MemoryState::new());
    let one = coordinator(store.clone()).await;
    let shares = one.set(first(manifest(1))).await.unwrap().shares.unwrap();
    one.set(update(&latest(&one), manifest(2))).await.unwrap();
    let at = latest(&one);
    (store, shares, at)
}

fn refused(
    outcome: Result<(privatemode_coordinator::coordinator::Committed, RecoveredBy), ChangeError>,
) -> RecoverError {
    match outcome.err().unwrap() {
        ChangeError::Recover(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_share_owner_recovers_after_a_restart_of_all() {
    let (store, shares, at) = orphaned().await;
    let one = coordinator(store).await;
    assert_eq!(one.in_force().err(), Some(NotInForce::NeedsRecovery { reason: StaleReason::Restarted }));
    let (committed, by) = one.recover(&share_owner(0).request(&shares, at)).await.unwrap();
    assert_eq!(by, RecoveredBy::Owner);
    assert_eq!((committed.in_force.generation(), committed.in_force.latest().hash), (2, at));
    assert_eq!(committed.in_force.manifests().collect::<Vec<_>>(), [manifest(1), manifest(2)]);
    // and it can go on from there
    one.set(update(&at, manifest(3))).await.unwrap();
    assert!(matches!(
        refused(one.recover(&share_owner(0).request(&shares, at)).await),
        RecoverError::AlreadyRecovered
    ));
}

#[tokio::test]
async fn nothing_recovers_where_nothing_was_set() {
    let (_, shares, at) = orphaned().await;
    let empty = coordinator(Arc::new(MemoryState::new())).await;
    assert!(matches!(
        refused(empty.recover(&share_owner(0).request(&shares, at)).await),
        RecoverError::NothingToRecover
    ));
}

#[tokio::test]
async fn whoever_is_not_an_owner_or_has_another_seed_does_not_recover() {
    let (store, shares, at) = orphaned().await;
    let one = coordinator(store).await;
    let (seed, salt) = (share_owner(0).open(&shares), [6; 32]);
    let good = || share_owner(0).request(&shares, at);
    // the right seed in the hands of somebody whom the manifest does not name
    let mut stranger = share_owner(1).request_with(&seed, &good().salt, at);
    assert!(matches!(refused(one.recover(&stranger).await), RecoverError::NotAnOwner));
    stranger.owner_key = share_owner(0).pkcs1.clone();
    assert!(matches!(refused(one.recover(&stranger).await), RecoverError::Signature));
    // another seed, another salt
    let wrong = share_owner(0).request_with(&[1; 64], &good().salt, at);
    assert!(matches!(refused(one.recover(&wrong).await), RecoverError::WrongSeed { .. }));
    let wrong = share_owner(0).request_with(&seed, &salt, at);
    assert!(matches!(refused(one.recover(&wrong).await), RecoverError::WrongSeed { .. }));
    // no seed at all
    let wrong = share_owner(0).request_with(&seed[..63], &good().salt, at);
    assert!(matches!(refused(one.recover(&wrong).await), RecoverError::Seed(_)));
    // a signature of another seed or another transition
    let mut moved = good();
    moved.signature = share_owner(0).request_with(&[1; 64], &good().salt, at).signature;
    assert!(matches!(refused(one.recover(&moved).await), RecoverError::Signature));
    moved.signature = share_owner(0).request(&shares, [1; 32]).signature;
    assert!(matches!(refused(one.recover(&moved).await), RecoverError::Signature));
    assert!(one.in_force().is_err());
    one.recover(&good()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_was_rolled_back_is_refused() {
    let store = Arc::new(MemoryState::new());
    let one = coordinator(store.clone()).await;
    let shares = one.set(first(manifest(1))).await.unwrap().shares.unwrap();
    let (old, first_transition) = (store.get(&StateKey::Latest).await.unwrap().unwrap(), latest(&one));
    one.set(update(&first_transition, manifest(2))).await.unwrap();
    let at = latest(&one);
    let new = store.get(&StateKey::Latest).await.unwrap().unwrap();
    store.swap(Some(&new), &old).await.unwrap();
    let restarted = coordinator(store.clone()).await;
    let refusal = refused(restarted.recover(&share_owner(0).request(&shares, at)).await);
    match refusal {
        RecoverError::RolledBack { expected, stored, contained: false } => {
            assert_eq!(
                (expected, stored),
                (Transition::of_digest(at), Transition::of_digest(first_transition))
            );
        }
        other => panic!("{other:?}"),
    }
    // the other way round: an owner who does not know of the update
    store.swap(Some(&old), &new).await.unwrap();
    let refusal = refused(restarted.recover(&share_owner(0).request(&shares, first_transition)).await);
    assert!(matches!(refusal, RecoverError::RolledBack { contained: true, .. }), "{refusal:?}");
}

#[tokio::test]
async fn an_owner_does_not_fork_the_mesh_when_a_peer_is_up() {
    let store = Arc::new(MemoryState::new());
    let neighbours = Arc::new(Neighbours::default());
    let one = neighbours.start(store.clone()).await;
    let shares = one.set(first(manifest(1))).await.unwrap().shares.unwrap();
    let request = share_owner(0).request(&shares, latest(&one));
    let two = neighbours.start(store.clone()).await;
    let (committed, by) = two.recover(&request).await.unwrap();
    assert_eq!(by, RecoveredBy::Peer);
    assert_eq!(
        committed.in_force.authority().certificates(),
        one.in_force().unwrap().authority().certificates()
    );
    // unless the owner insists
    let three = neighbours.start(store).await;
    let mut insisting = share_owner(0).request(&shares, latest(&one));
    insisting.force = true;
    let (committed, by) = three.recover(&insisting).await.unwrap();
    assert_eq!(by, RecoveredBy::Owner);
    assert_ne!(
        committed.in_force.authority().certificates(),
        one.in_force().unwrap().authority().certificates()
    );
}

#[tokio::test]
async fn a_coordinator_that_the_manifest_does_not_name_cannot_be_recovered() {
    let (store, shares, at) = orphaned().await;
    let own = privatemode_coordinator::deployment::Own {
        policy: privatemode_manifest::PolicyHash::of(b"a newer coordinator"),
        kind: privatemode_attest::EvidenceKind::Simulated,
    };
    let quoter = privatemode_mesh::quoter(own.kind, Some(own.policy), None).unwrap();
    let other = privatemode_coordinator::Coordinator::open(
        own,
        store,
        quoter,
        privatemode_manifest::VerifyOptions::default(),
        Arc::new(|| NOW),
    );
    let refusal = refused(other.await.unwrap().recover(&share_owner(0).request(&shares, at)).await);
    assert!(matches!(refusal, RecoverError::Deployment(_)), "{refusal:?}");
}
