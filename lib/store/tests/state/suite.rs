//! What every backend must do. A backend makes an empty store, and opens it for one coordinator after the other.

use std::{sync::Arc, time::Duration};

use privatemode_store::state::{MAX_ENTRY, StateError, StateKey, StateStore, SwapError};

/// A coordinator's own handle.
pub(crate) type Handle = Arc<dyn StateStore>;

/// One store.
pub(crate) trait Backend {
    fn open(&self) -> Handle;
}

/// Nothing here takes so long; a case that hangs shall say so.
const LIMIT: Duration = Duration::from_secs(120);

/// All cases, each on a store of its own.
pub(crate) async fn run<B: Backend>(fresh: impl AsyncFn() -> B) {
    in_time("nothing is there", nothing_is_there(&fresh().await)).await;
    in_time("entries are kept", entries_are_kept(&fresh().await)).await;
    in_time("lengths", lengths(&fresh().await)).await;
    in_time("swaps", swaps(&fresh().await)).await;
    in_time("one of many wins", one_of_many_wins(&fresh().await)).await;
    in_time("no swap is lost", no_swap_is_lost(&fresh().await)).await;
    in_time("changes are seen", changes_are_seen(&fresh().await)).await;
}

async fn in_time(what: &str, case: impl Future<Output = ()>) {
    assert!(tokio::time::timeout(LIMIT, case).await.is_ok(), "`{what}` does not end");
}

fn keys() -> [StateKey; 5] {
    let hash = [0xa5; 32];
    [
        StateKey::Manifest(hash),
        StateKey::Policy(hash),
        StateKey::Transition(hash),
        StateKey::SeedShares(hash),
        StateKey::Latest,
    ]
}

async fn latest(store: &Handle) -> Option<Vec<u8>> {
    store.get(&StateKey::Latest).await.unwrap()
}

async fn nothing_is_there(backend: &impl Backend) {
    let store = backend.open();
    for key in keys() {
        assert_eq!(store.get(&key).await.unwrap(), None, "{key}");
    }
    let changed = store.changed(Some(b"something")).await.unwrap();
    assert_eq!(changed, None, "what was seen is gone");
}

async fn entries_are_kept(backend: &impl Backend) {
    let (one, other) = (backend.open(), backend.open());
    let entries = keys().into_iter().filter(|key| *key != StateKey::Latest);
    for (number, key) in entries.clone().enumerate() {
        let value = [u8::try_from(number).unwrap(), 0, 255, b'\n'];
        one.put(&key, &value).await.unwrap();
        assert_eq!(other.get(&key).await.unwrap().as_deref(), Some(&value[..]), "{key}");
    }
    for (number, key) in entries.enumerate() {
        // what is there stays
        other.put(&key, b"another").await.unwrap();
        let kept = one.get(&key).await.unwrap().unwrap();
        assert_eq!(usize::from(kept[0]), number, "{key}: entries of the same hash are different ones");
    }
    assert_eq!(latest(&one).await, None);
}

async fn lengths(backend: &impl Backend) {
    let store = backend.open();
    let key = StateKey::Manifest([1; 32]);
    let longest: Vec<u8> = (0..MAX_ENTRY).map(|place| u8::try_from(place % 251).unwrap()).collect();
    store.put(&key, &longest).await.unwrap();
    assert!(store.get(&key).await.unwrap().unwrap() == longest, "the longest entry comes back as it was");

    let too_long = [longest, vec![0]].concat();
    let policy = StateKey::Policy([1; 32]);
    let refused = store.put(&policy, &too_long).await.unwrap_err();
    let StateError::TooLong { key, len, max } = refused else { panic!("{refused}") };
    assert_eq!((key, len, max), (policy, MAX_ENTRY + 1, MAX_ENTRY));
    assert_eq!(store.get(&policy).await.unwrap(), None);

    for expected in [None, Some(&b"first"[..])] {
        let refused = store.swap(expected, &too_long).await.unwrap_err();
        assert!(
            matches!(refused, SwapError::Store(StateError::TooLong { key: StateKey::Latest, .. })),
            "{refused}"
        );
        if expected.is_none() {
            store.swap(None, b"first").await.unwrap();
        }
    }
    assert_eq!(latest(&store).await.as_deref(), Some(&b"first"[..]));
}

async fn swaps(backend: &impl Backend) {
    let (one, other) = (backend.open(), backend.open());
    let lost = |outcome: Result<(), SwapError>| matches!(outcome, Err(SwapError::Lost));
    drop(one.swap(None, b"z"));
    assert!(lost(one.swap(Some(b"a"), b"b").await), "there is nothing yet: nobody waited for the first one");
    one.swap(None, b"a").await.unwrap();
    assert!(lost(other.swap(None, b"b").await), "there is something");
    assert!(lost(other.swap(Some(b"b"), b"c").await), "there is something else");
    assert!(lost(other.swap(Some(b""), b"c").await), "nothing is something else than no bytes");
    assert_eq!(latest(&one).await.as_deref(), Some(&b"a"[..]));
    other.swap(Some(b"a"), b"b").await.unwrap();
    assert!(lost(one.swap(Some(b"a"), b"c").await), "somebody was faster");
    assert_eq!(latest(&one).await.as_deref(), Some(&b"b"[..]));
    one.swap(Some(b"b"), b"b").await.unwrap();
    one.swap(Some(b"b"), b"a").await.unwrap();
    assert_eq!(latest(&other).await.as_deref(), Some(&b"a"[..]));
}

/// From the same state, one of many callers wins, and what it wrote is there.
async fn one_of_many_wins(backend: &impl Backend) {
    const CALLERS: u8 = 8;
    let mut expected: Option<Vec<u8>> = None;
    for round in 0..4 {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (store, expected) = (backend.open(), expected.clone());
                tokio::spawn(async move {
                    let new = [round, caller];
                    match store.swap(expected.as_deref(), &new).await {
                        Ok(()) => Some(new.to_vec()),
                        Err(SwapError::Lost) => None,
                        Err(error) => panic!("{error:?}"),
                    }
                })
            })
            .collect();
        let mut winners = Vec::new();
        for caller in callers {
            winners.extend(caller.await.unwrap());
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        expected = winners.pop();
        assert_eq!(latest(&backend.open()).await, expected);
    }
}

/// Coordinators that count together do not lose a number.
async fn no_swap_is_lost(backend: &impl Backend) {
    const EACH: u32 = 5;
    const COORDINATORS: u32 = 4;
    let coordinators: Vec<_> = (0..COORDINATORS)
        .map(|_| {
            let store = backend.open();
            tokio::spawn(async move {
                let mut done = 0;
                while done < EACH {
                    let seen = latest(&store).await;
                    let count =
                        seen.as_deref().map_or(0, |seen| u32::from_be_bytes(seen.try_into().unwrap()));
                    match store.swap(seen.as_deref(), &(count + 1).to_be_bytes()).await {
                        Ok(()) => done += 1,
                        Err(SwapError::Lost) => {}
                        Err(error) => panic!("{error:?}"),
                    }
                }
            })
        })
        .collect();
    for coordinator in coordinators {
        coordinator.await.unwrap();
    }
    let count = latest(&backend.open()).await.unwrap();
    assert_eq!(u32::from_be_bytes(count.try_into().unwrap()), EACH * COORDINATORS);
}

async fn changes_are_seen(backend: &impl Backend) {
    let (writer, reader) = (backend.open(), backend.open());
    let watching = |seen: Option<&'static [u8]>| {
        let reader = Arc::clone(&reader);
        tokio::spawn(async move { reader.changed(seen).await.unwrap() })
    };
    // watched before it is there, and while it is there
    let (first, dropped) = (watching(None), watching(None));
    dropped.abort();
    tokio::task::yield_now().await;
    writer.put(&StateKey::Manifest([7; 32]), b"no change of the latest").await.unwrap();
    writer.swap(None, b"a").await.unwrap();
    assert_eq!(first.await.unwrap().as_deref(), Some(&b"a"[..]));
    for (old, new) in [(&b"a"[..], &b"b"[..]), (b"b", b"c"), (b"c", b"a")] {
        let change = watching(Some(old));
        tokio::task::yield_now().await;
        writer.swap(Some(old), new).await.unwrap();
        assert_eq!(change.await.unwrap().as_deref(), Some(new));
    }
    // what differs already is said at once
    assert_eq!(reader.changed(None).await.unwrap().as_deref(), Some(&b"a"[..]));
    assert_eq!(reader.changed(Some(b"z")).await.unwrap().as_deref(), Some(&b"a"[..]));
}
