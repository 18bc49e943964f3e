//! Setting and updating: who may, and on what.

use std::sync::Arc;

use privatemode_coordinator::coordinator::{ChangeError, Notice};
use privatemode_coordinator::deployment::DeploymentError;
use privatemode_coordinator::shares::ShareError;
use privatemode_coordinator::state::set::{SetError, SetRequest};
use privatemode_coordinator::state::{NotInForce, StaleReason};
use privatemode_manifest::history::Transition;
use privatemode_store::state::MemoryState;
use sha2::{Digest as _, Sha256};

use crate::stand::*;

fn refused(outcome: Result<privatemode_coordinator::coordinator::Committed, ChangeError>) -> SetError {
    match outcome.err().unwrap() {
        ChangeError::Set(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_manifest_comes_with_its_seed_shares_and_an_update_without() {
    let one = coordinator(Arc::new(MemoryState::new())).await;
    assert_eq!(one.in_force().err(), Some(NotInForce::NoManifest));
    let set = one.set(first(manifest(1))).await.unwrap();
    let shares = set.shares.unwrap();
    assert_eq!(share_owner(0).open(&shares), set.in_force.seed().expose());
    assert_eq!(one.in_force().unwrap().manifest().raw(), manifest(1));
    assert_eq!(Some(serde_json::to_vec(&shares).unwrap()), one.seed_shares().await.unwrap());

    let before = one.in_force().unwrap();
    let set = one.set(update(&latest(&one), manifest(2))).await.unwrap();
    assert!(set.shares.is_none());
    assert_eq!((set.in_force.generation(), set.in_force.manifest().raw()), (2, manifest(2).as_slice()));
    assert_eq!(latest(&one), *Transition::first(&manifest(1)).then(&manifest(2)).as_bytes());
    // the seed stays, and the mesh CA is a new one
    assert_eq!(set.in_force.seed().expose(), before.seed().expose());
    assert_ne!(set.in_force.authority().mesh_ca(), before.authority().mesh_ca());
    assert_eq!(Some(serde_json::to_vec(&shares).unwrap()), one.seed_shares().await.unwrap());
    // what evidence binds is the whole history
    let document = one.attest(&[3; 32]).unwrap();
    assert_eq!(document.manifests, [manifest(1), manifest(2)]);
    assert_eq!(one.observe().await.unwrap(), Notice::Same);
}

#[tokio::test]
async fn an_update_needs_an_owner() {
    let one = coordinator(Arc::new(MemoryState::new())).await;
    one.set(first(manifest(1))).await.unwrap();
    let at = latest(&one);
    let next = manifest(2);
    let with = |change: &dyn Fn(&mut SetRequest)| {
        let mut request = update(&at, next.clone());
        change(&mut request);
        request
    };
    let expected = Transition::of_digest(at);
    assert!(matches!(refused(one.set(with(&|r| r.signature = None)).await), SetError::SignatureMissing));
    for wrong in [
        with(&|r| r.signature = Some(Owner::new(2).sign(&at, &next))),
        with(&|r| r.signature = Some(Owner::new(1).sign(&at, &manifest(3)))),
        with(&|r| r.signature = Some(Owner::new(1).sign(&[0; 32], &next))),
        with(&|r| r.signature = Some(vec![])),
        with(&|r| r.signature = Some(vec![7; 5000])),
    ] {
        assert!(
            matches!(refused(one.set(wrong).await), SetError::Signature { latest } if latest == expected)
        );
    }
    let stranger = with(&|r| r.owner_key = Some(Owner::new(2).spki()));
    assert!(matches!(refused(one.set(stranger).await), SetError::NotAnOwner));
    let elsewhere = with(&|r| r.previous = Some([9; 32]));
    assert!(
        matches!(refused(one.set(elsewhere).await), SetError::NotLatest { latest, .. } if latest == expected)
    );
    assert_eq!((latest(&one), one.in_force().unwrap().generation()), (at, 1));
    one.set(with(&|r| {
        r.previous = Some(at);
        r.owner_key = Some(Owner::new(1).spki());
    }))
    .await
    .unwrap();
}

#[tokio::test]
async fn owners_may_be_digests_of_keys() {
    let digest = hex(&Sha256::digest(Owner::new(1).spki()));
    let named = |version| {
        manifest_with(
            version,
            "WorkloadOwnerKeyDigests",
            &format!("[\"{digest}\"]"),
            &[&share_owner(0).pkcs1],
        )
    };
    let one = coordinator(Arc::new(MemoryState::new())).await;
    one.set(first(named(1))).await.unwrap();
    let request = update(&latest(&one), named(2));
    assert!(matches!(refused(one.set(request.clone()).await), SetError::OwnerKeyMissing));
    let key = Some(Owner::new(2).spki());
    let stranger = SetRequest { owner_key: key, ..request.clone() };
    assert!(matches!(refused(one.set(stranger).await), SetError::NotAnOwner));
    one.set(SetRequest { owner_key: Some(Owner::new(1).spki()), ..request }).await.unwrap();
}

#[tokio::test]
async fn who_can_recover_stays_and_who_cannot_update_cannot() {
    let one = coordinator(Arc::new(MemoryState::new())).await;
    one.set(first(manifest(1))).await.unwrap();
    let owners = format!("[\"{}\"]", hex(&Owner::new(1).spki()));
    for share_owners in [&[][..], &[share_owner(1).pkcs1.as_slice()]] {
        let other = manifest_with(2, "WorkloadOwnerPubKeys", &owners, share_owners);
        let request = update(&latest(&one), other);
        assert!(matches!(refused(one.set(request).await), SetError::ShareOwnersChanged));
    }
    // nobody closes the door behind himself: every client would refuse that manifest
    let closed = manifest_with(2, "WorkloadOwnerPubKeys", "[]", &[&share_owner(0).pkcs1]);
    let request = update(&latest(&one), closed.clone());
    assert!(matches!(refused(one.set(request).await), SetError::NotTheFirst));
    let immutable = coordinator(Arc::new(MemoryState::new())).await;
    immutable.set(first(closed)).await.unwrap();
    let request = update(&latest(&immutable), manifest(3));
    assert!(matches!(refused(immutable.set(request).await), SetError::Immutable));
}

#[tokio::test]
async fn a_first_manifest_that_cannot_be() {
    let store = Arc::new(MemoryState::new());
    let one = coordinator(store).await;
    let unsigned = refused(one.set(update(&[0; 32], manifest(1))).await);
    assert!(matches!(unsigned, SetError::NothingToUpdate));
    let based = SetRequest { previous: Some([0; 32]), ..first(manifest(1)) };
    assert!(matches!(refused(one.set(based).await), SetError::NothingToUpdate));
    let no_policies = SetRequest { policies: Vec::new(), ..first(manifest(1)) };
    assert!(matches!(
        refused(one.set(no_policies).await),
        SetError::Deployment(DeploymentError::PolicyMissing { .. })
    ));
    assert!(matches!(
        refused(one.set(first(b"{}".to_vec())).await),
        SetError::Deployment(DeploymentError::Manifest { .. })
    ));
    let strange = manifest_with(1, "WorkloadOwnerPubKeys", "[]", &[b"no key"]);
    assert!(matches!(
        refused(one.set(first(strange)).await),
        SetError::Share(ShareError::Key { index: 0, .. })
    ));
    // nothing of it was kept
    assert_eq!(one.observe().await.unwrap(), Notice::Same);
    assert_eq!(one.in_force().err(), Some(NotInForce::NoManifest));
}

#[tokio::test]
async fn two_first_sets_race_and_one_wins() {
    let store = Arc::new(MemoryState::new());
    let neighbours = Arc::new(Neighbours::default());
    let one = neighbours.start(store.clone()).await;
    let two = neighbours.start(store).await;
    let winner = one.set(first(manifest(1))).await.unwrap();
    // it has not noticed yet
    assert_eq!(two.in_force().err(), Some(NotInForce::NoManifest));
    assert!(matches!(
        two.set(first(manifest(2))).await.err(),
        Some(ChangeError::Set(SetError::NotInForce(NotInForce::NeedsRecovery {
            reason: StaleReason::Advanced
        })))
    ));
    assert!(two.recover_from_peers().await);
    let (a, b) = (one.in_force().unwrap(), two.in_force().unwrap());
    assert_eq!(a.authority().certificates(), b.authority().certificates());
    assert_eq!(winner.in_force.latest(), b.latest());
}

#[tokio::test]
async fn an_update_of_one_makes_the_others_stale_until_they_ask_it() {
    let store = Arc::new(MemoryState::new());
    let neighbours = Arc::new(Neighbours::default());
    let one = neighbours.start(store.clone()).await;
    one.set(first(manifest(1))).await.unwrap();
    let two = neighbours.start(store).await;
    assert!(two.recover_from_peers().await);
    two.set(update(&latest(&two), manifest(2))).await.unwrap();
    assert_eq!(one.observe().await.unwrap(), Notice::Stale);
    let stale = NotInForce::NeedsRecovery { reason: StaleReason::Advanced };
    assert_eq!(one.in_force().err(), Some(stale));
    assert!(matches!(
        one.set(update(&latest(&two), manifest(3))).await.err(),
        Some(ChangeError::Set(SetError::NotInForce(reason))) if reason == stale
    ));
    // only `two` is up: `one` gets the new mesh CA from it
    assert!(one.recover_from_peers().await);
    let (a, b) = (one.in_force().unwrap(), two.in_force().unwrap());
    assert_eq!(a.authority().certificates(), b.authority().certificates());
    assert_eq!((a.latest(), a.generation()), (b.latest(), 2));
}
