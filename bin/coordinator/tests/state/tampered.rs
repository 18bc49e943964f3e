//! A store that lies: each entry changed, removed, replaced; while a coordinator runs, and before one is recovered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use privatemode_coordinator::coordinator::{ChangeError, Notice};
use privatemode_coordinator::history::HistoryError;
use privatemode_coordinator::reader::ReadError;
use privatemode_coordinator::state::recover::RecoverError;
use privatemode_store::StoreFuture;
use privatemode_store::state::{MemoryState, StateError, StateKey, StateStore, SwapError};

use crate::stand::*;

/// Answers with something else than what was written.
#[derive(Default)]
struct Liar {
    inner: MemoryState,
    lies: Mutex<BTreeMap<StateKey, Option<Vec<u8>>>>,
}

impl Liar {
    fn lie(&self, key: StateKey, answer: Option<Vec<u8>>) {
        *self.lies.lock().unwrap() = BTreeMap::from([(key, answer)]);
    }
}

impl StateStore for Liar {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        match self.lies.lock().unwrap().get(key).cloned() {
            Some(lie) => Box::pin(std::future::ready(Ok(lie))),
            None => self.inner.get(key),
        }
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        self.inner.put(key, value)
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        self.inner.swap(expected, new)
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        self.inner.changed(seen)
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

#[tokio::test]
async fn each_entry_that_is_changed_or_gone_is_named_at_recovery() {
    let store = Arc::new(Liar::default());
    let one = coordinator(store.clone()).await;
    let shares = one.set(first(manifest(1))).await.unwrap().shares.unwrap();
    let oldest = latest(&one);
    one.set(update(&oldest, manifest(2))).await.unwrap();
    let at = latest(&one);
    let keys = [
        StateKey::Manifest(digest(&manifest(1))),
        StateKey::Manifest(digest(&manifest(2))),
        StateKey::Policy(digest(COORDINATOR)),
        StateKey::Transition(oldest),
        StateKey::Transition(at),
    ];
    let recover = async || {
        let restarted = coordinator(store.clone()).await;
        restarted.recover(&share_owner(0).request(&shares, at)).await
    };
    for key in keys {
        let honest = store.inner.get(&key).await.unwrap().unwrap();
        for place in [0, honest.len() / 2, honest.len() - 1] {
            let mut changed = honest.clone();
            changed[place] ^= 1;
            store.lie(key, Some(changed));
            match recover().await.err() {
                Some(ChangeError::Read {
                    source: ReadError::History(HistoryError::Altered { key: named }),
                }) => {
                    assert_eq!(named, key);
                }
                other => panic!("{key}: {other:?}"),
            }
        }
        store.lie(key, Some(honest[1..].to_vec()));
        assert!(matches!(recover().await.err(), Some(ChangeError::Read { .. })), "{key}");
        store.lie(key, None);
        match recover().await.err() {
            Some(ChangeError::Read { source: ReadError::History(HistoryError::Missing { key: named }) }) => {
                assert_eq!(named, key);
            }
            other => panic!("{key}: {other:?}"),
        }
    }
    // the pointer: another hash, another signature, no length at all
    let honest = store.inner.get(&StateKey::Latest).await.unwrap().unwrap();
    let lie = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut latest = honest.clone();
        change(&mut latest);
        store.lie(StateKey::Latest, Some(latest));
    };
    lie(&|latest| latest[0] ^= 1);
    assert!(matches!(
        recover().await.err(),
        Some(ChangeError::Read { source: ReadError::History(HistoryError::Missing { .. }) })
    ));
    lie(&|latest| *latest.last_mut().unwrap() ^= 1);
    assert!(matches!(
        recover().await.err(),
        Some(ChangeError::Recover(RecoverError::WrongSeed { source: HistoryError::Signature { .. } }))
    ));
    lie(&|latest| latest[..32].copy_from_slice(&oldest));
    assert!(matches!(recover().await.err(), Some(ChangeError::Recover(RecoverError::RolledBack { .. }))));
    lie(&|latest| latest.truncate(32));
    assert!(matches!(
        recover().await.err(),
        Some(ChangeError::Read { source: ReadError::History(HistoryError::LatestLength { len: 32 }) })
    ));
}

#[tokio::test]
async fn what_runs_stays_whatever_the_store_says() {
    let store = Arc::new(Liar::default());
    let one = coordinator(store.clone()).await;
    one.set(first(manifest(1))).await.unwrap();
    let old = store.inner.get(&StateKey::Latest).await.unwrap();
    one.set(update(&latest(&one), manifest(2))).await.unwrap();
    let at = latest(&one);
    let foreign = {
        let elsewhere = Arc::new(MemoryState::new());
        coordinator(elsewhere.clone()).await.set(first(manifest(9))).await.unwrap();
        elsewhere.get(&StateKey::Latest).await.unwrap()
    };
    for lie in [None, Some(vec![]), Some(vec![1; 100]), foreign, old] {
        store.lie(StateKey::Latest, lie.clone());
        assert_eq!(one.observe().await.unwrap(), Notice::Tampered, "{lie:?}");
        assert_eq!(latest(&one), at);
        one.attest(&[1; 32]).unwrap();
    }
    store.lies.lock().unwrap().clear();
    assert_eq!(one.observe().await.unwrap(), Notice::Same);
    one.set(update(&at, manifest(3))).await.unwrap();
}
