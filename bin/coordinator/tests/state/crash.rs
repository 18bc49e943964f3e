//! A coordinator that is killed, or whose store fails, at each single effect.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use privatemode_coordinator::coordinator::{ChangeError, Notice};
use privatemode_coordinator::peers::{Peers, PeersError};
use privatemode_coordinator::shares::SeedShares;
use privatemode_coordinator::state::recover::PeerState;
use privatemode_coordinator::state::{InForce, State};
use privatemode_manifest::Manifest;
use privatemode_service::BoxFuture;
use privatemode_store::StoreFuture;
use privatemode_store::state::{MemoryState, StateError, StateKey, StateStore, SwapError};

use crate::stand::*;

/// What happens at the effect whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It never happens, and never returns: the process was killed before.
    KilledBefore,
    /// It happens, and never returns.
    KilledAfter,
    /// It does not happen, and says so.
    Refused,
    /// It happens, and says that it failed.
    AnswerLost,
}

/// Counts effects; number `at` fails.
struct Faulty {
    inner: Arc<MemoryState>,
    fault: Fault,
    at: usize,
    count: AtomicUsize,
}

impl Faulty {
    fn down() -> StateError {
        StateError::Unavailable("the test's store is down".into())
    }

    async fn effect<T, E: From<StateError>>(&self, inner: StoreFuture<'_, T, E>) -> Result<T, E> {
        let mine = self.count.fetch_add(1, Ordering::SeqCst) == self.at;
        match (mine, self.fault) {
            (false, _) => inner.await,
            (true, Fault::KilledBefore) => std::future::pending().await,
            (true, Fault::KilledAfter) => {
                let _ = inner.await;
                std::future::pending().await
            }
            (true, Fault::Refused) => Err(Self::down().into()),
            (true, Fault::AnswerLost) => {
                let _ = inner.await;
                Err(Self::down().into())
            }
        }
    }
}

impl StateStore for Faulty {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(self.effect(self.inner.get(key)))
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        Box::pin(self.effect(self.inner.put(key, value)))
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        Box::pin(self.effect(self.inner.swap(expected, new)))
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        self.inner.changed(seen)
    }
}

/// Polls until it is done, or waits for something that never comes.
fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
    }
    None
}

/// The store is usable: a manifest can be set, or the history goes on with the shares that the store itself has.
fn usable(store: &Arc<MemoryState>) -> usize {
    let next = run(coordinator(store.clone())).unwrap();
    match &*next.state() {
        State::NoState => {
            run(next.set(first(manifest(7)))).unwrap().unwrap();
            0
        }
        State::Stale(_) => {
            let stored = run(privatemode_coordinator::reader::read(&**store)).unwrap().unwrap().unwrap();
            let shares = run(next.seed_shares()).unwrap().unwrap();
            if let Some(shares) = shares {
                let shares: SeedShares = serde_json::from_slice(&shares).unwrap();
                run(next.recover(&share_owner(0).request(&shares, stored.latest.hash))).unwrap().unwrap();
                run(next.set(update(&stored.latest.hash, manifest(8)))).unwrap().unwrap();
            }
            stored.steps.len()
        }
        State::InForce(_) => panic!("a restart has no seed"),
    }
}

#[test]
fn a_first_set_that_is_cut_off_anywhere_leaves_a_usable_store() {
    for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::Refused, Fault::AnswerLost] {
        let mut outcomes = Vec::new();
        for at in 1.. {
            let inner = Arc::new(MemoryState::new());
            let faulty = Faulty { inner: inner.clone(), fault, at, count: AtomicUsize::new(0) };
            let faulty = Arc::new(faulty);
            let one = run(coordinator(faulty.clone())).unwrap();
            let done = run(one.set(first(manifest(1))));
            let reached = faulty.count.load(Ordering::SeqCst) > at;
            let in_force = one.in_force().is_ok();
            match (&done, fault) {
                (Some(Ok(_)), _) => assert!(in_force),
                (None, Fault::KilledBefore | Fault::KilledAfter) => assert!(!in_force),
                (Some(Err(ChangeError::Store { .. } | ChangeError::Uncertain { .. })), _) => {}
                (Some(Err(other)), _) => panic!("{fault:?} at {at}: {other:?}"),
                (None, _) => panic!("{fault:?} at {at} hangs"),
            }
            drop(one);
            outcomes.push(usable(&inner));
            if !reached {
                assert!(matches!(done, Some(Ok(_))));
                break;
            }
        }
        // get, two policies, manifest, transition, shares, swap: the fault reached each of them
        assert!(outcomes.len() >= 8, "{fault:?}: {outcomes:?}");
        assert!(outcomes.contains(&1), "{fault:?}: some of them were committed: {outcomes:?}");
    }
}

#[test]
fn an_update_that_is_cut_off_anywhere_leaves_the_old_or_the_new_manifest() {
    for fault in [Fault::KilledBefore, Fault::KilledAfter, Fault::Refused, Fault::AnswerLost] {
        let mut steps = Vec::new();
        for at in 0.. {
            let inner = Arc::new(MemoryState::new());
            let one = run(coordinator(inner.clone())).unwrap();
            let shares = run(one.set(first(manifest(1)))).unwrap().unwrap().shares.unwrap();
            let before = latest(&one);
            // another one of the deployment, whose store fails
            let faulty = Arc::new(Faulty { inner: inner.clone(), fault, at, count: AtomicUsize::new(0) });
            let acknowledged = run(updates(faulty.clone(), one.in_force().unwrap(), &before));
            let reached = faulty.count.load(Ordering::SeqCst) > at;
            let stored = run(privatemode_coordinator::reader::read(&*inner)).unwrap().unwrap().unwrap();
            steps.push(stored.steps.len());
            if acknowledged == Some(true) {
                assert_eq!(stored.steps.len(), 2, "{fault:?} at {at}: acknowledged and lost");
            }
            let next = run(coordinator(inner.clone())).unwrap();
            run(next.recover(&share_owner(0).request(&shares, stored.latest.hash))).unwrap().unwrap();
            run(next.set(update(&stored.latest.hash, manifest(8)))).unwrap().unwrap();
            if !reached {
                break;
            }
        }
        assert!(steps.len() > 10 && steps.contains(&1) && steps.contains(&2), "{fault:?}: {steps:?}");
    }
}

/// Starts, takes the state from a peer, updates; whether the update was acknowledged.
async fn updates(store: Arc<Faulty>, peer: Arc<InForce>, before: &[u8; 32]) -> bool {
    let Ok(own) = open(store).await else { return false };
    let own = own.with_peers(Arc::new(OnlyPeer(peer)));
    own.recover_from_peers().await && own.set(update(before, manifest(2))).await.is_ok()
}

struct OnlyPeer(Arc<InForce>);

impl Peers for OnlyPeer {
    fn ask<'a>(&'a self, _: &'a Manifest) -> BoxFuture<'a, Result<PeerState, PeersError>> {
        Box::pin(std::future::ready(Ok(peer_state(&self.0))))
    }
}

#[test]
fn a_commit_whose_answer_was_lost_counts_when_the_store_is_back() {
    for fault in [Fault::AnswerLost, Fault::Refused] {
        let inner = Arc::new(MemoryState::new());
        // open, observe, two policies, manifest, transition, shares: the next one is the swap
        let faulty = Arc::new(Faulty { inner: inner.clone(), fault, at: 7, count: AtomicUsize::new(0) });
        let one = run(coordinator(faulty)).unwrap();
        let done = run(one.set(first(manifest(1)))).unwrap();
        let committed = run(inner.get(&StateKey::Latest)).unwrap().unwrap().is_some();
        assert_eq!(committed, fault == Fault::AnswerLost);
        match done {
            // it looked, and found it done
            Ok(set) => assert!(committed && set.shares.is_some()),
            Err(ChangeError::Uncertain { .. }) => assert!(!committed),
            Err(other) => panic!("{other:?}"),
        }
        let notice = run(one.observe()).unwrap().unwrap();
        assert_eq!(notice, Notice::Same);
        assert_eq!(one.in_force().is_ok(), committed);
        if !committed {
            // nothing happened, and it can be done again
            run(one.set(first(manifest(1)))).unwrap().unwrap();
        }
    }
}

#[test]
fn a_commit_of_which_nothing_can_be_learnt_is_found_later() {
    struct Deaf(Arc<MemoryState>, AtomicUsize);
    impl StateStore for Deaf {
        fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
            if self.1.load(Ordering::SeqCst) == 1 {
                return Box::pin(std::future::ready(Err(Faulty::down())));
            }
            self.0.get(key)
        }
        fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
            self.0.put(key, value)
        }
        fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
            Box::pin(async move {
                self.0.swap(expected, new).await?;
                self.1.store(1, Ordering::SeqCst);
                Err(SwapError::Store(Faulty::down()))
            })
        }
        fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
            self.0.changed(seen)
        }
    }
    let store = Arc::new(Deaf(Arc::new(MemoryState::new()), AtomicUsize::new(0)));
    let one = run(coordinator(store.clone())).unwrap();
    let refused = run(one.set(first(manifest(1)))).unwrap().err();
    assert!(matches!(refused, Some(ChangeError::Uncertain { .. })), "{refused:?}");
    assert!(one.in_force().is_err());
    store.1.store(0, Ordering::SeqCst);
    assert_eq!(run(one.observe()).unwrap().unwrap(), Notice::Committed);
    assert_eq!(one.in_force().unwrap().manifest().raw(), manifest(1));
}
