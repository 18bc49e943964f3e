use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::ManualClock;

const HOUR: Duration = Duration::from_secs(3600);

fn store(capacity: usize) -> (Arc<ManualClock>, Arc<Embedded>) {
    let clock = Arc::new(ManualClock::new());
    (Arc::clone(&clock), Arc::new(Embedded::new(clock, capacity)))
}

#[tokio::test]
async fn a_secret_lives_until_its_time() {
    let (clock, store) = store(4);
    store.put("id", b"0123456789abcdef", HOUR).await.unwrap();
    clock.advance(HOUR - Duration::from_secs(1));
    let found = store.get("id").await.unwrap().unwrap();
    assert_eq!(found.secret.as_ref(), b"0123456789abcdef");
    assert_eq!(found.expires_in, Duration::from_secs(1));
    clock.advance(Duration::from_secs(1));
    assert!(store.get("id").await.unwrap().is_none());
    assert!(store.is_empty(), "an expired secret is wiped when it is asked for");
}

#[tokio::test]
async fn a_live_id_is_refused_and_an_expired_one_is_free() {
    let (clock, store) = store(4);
    store.put("id", b"first", HOUR).await.unwrap();
    assert!(matches!(store.put("id", b"second", HOUR).await, Err(PutError::Exists)));
    assert_eq!(store.get("id").await.unwrap().unwrap().secret.as_ref(), b"first");
    clock.advance(HOUR);
    store.put("id", b"second", HOUR).await.unwrap();
    assert_eq!(store.get("id").await.unwrap().unwrap().secret.as_ref(), b"second");
}

#[tokio::test]
async fn capacity_counts_live_secrets_only() {
    let (clock, store) = store(2);
    store.put("a", b"1", HOUR).await.unwrap();
    store.put("b", b"2", HOUR * 2).await.unwrap();
    assert!(matches!(store.put("c", b"3", HOUR).await, Err(PutError::Full { capacity: 2 })));
    assert!(matches!(store.put("a", b"3", HOUR).await, Err(PutError::Exists)));
    clock.advance(HOUR);
    store.put("c", b"3", HOUR).await.unwrap();
    assert_eq!(store.len(), 2);
}

#[tokio::test]
async fn lengths_are_bounded() {
    let (_, store) = store(2);
    let long = "x".repeat(MAX_ID_LEN + 1);
    assert!(matches!(store.put(&long, b"1", HOUR).await, Err(PutError::IdLength { len: 129 })));
    assert!(matches!(store.put("", b"1", HOUR).await, Err(PutError::IdLength { len: 0 })));
    assert!(matches!(store.put("a", b"", HOUR).await, Err(PutError::SecretLength { len: 0 })));
    let long = [0; MAX_SECRET_LEN + 1];
    assert!(matches!(store.put("a", &long, HOUR).await, Err(PutError::SecretLength { len: 65 })));
}

#[tokio::test]
async fn a_ttl_beyond_the_end_of_time_does_not_wrap() {
    let (clock, store) = store(2);
    clock.advance(HOUR);
    store.put("a", b"1", Duration::MAX).await.unwrap();
    assert!(store.get("a").await.unwrap().is_some());
    store.put("b", b"1", Duration::ZERO).await.unwrap();
    assert!(store.get("b").await.unwrap().is_none());
}

#[test]
fn debug_shows_no_secret() {
    let found = StoredSecret { secret: Zeroizing::new(Box::from(*b"hunter2hunter2")), expires_in: HOUR };
    assert_eq!(format!("{found:?}"), "StoredSecret { expires_in: 3600s, .. }");
    let (_, store) = store(3);
    assert_eq!(format!("{store:?}"), "Embedded { secrets: 0, capacity: 3, .. }");
}

#[derive(Debug, Clone)]
enum Action {
    Put { id: u8, secret: Vec<u8>, ttl: u64 },
    Get { id: u8 },
    Remove { id: u8 },
    Advance { by: u64 },
    Sweep,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..8u8, prop::collection::vec(any::<u8>(), 1..40), 0..50u64)
            .prop_map(|(id, secret, ttl)| Action::Put { id, secret, ttl }),
        4 => (0..8u8).prop_map(|id| Action::Get { id }),
        1 => (0..8u8).prop_map(|id| Action::Remove { id }),
        3 => (0..30u64).prop_map(|by| Action::Advance { by }),
        1 => Just(Action::Sweep),
    ]
}

/// What the store should hold, with nothing but a map: ID to (secret, time of expiry).
#[derive(Default)]
struct Model(HashMap<String, (Vec<u8>, u64)>);

impl Model {
    fn live(&self, id: &str, now: u64) -> Option<&(Vec<u8>, u64)> {
        self.0.get(id).filter(|(_, expires_at)| *expires_at > now)
    }
}

fn invariant_two_collections_name_the_same_ids(store: &Embedded) {
    let state = store.lock();
    assert_eq!(state.records.len(), state.by_expiry.len());
    for (expires_at, id) in &state.by_expiry {
        assert_eq!(state.records.get(id).map(|record| record.expires_at), Some(*expires_at));
    }
}

proptest! {
    #[test]
    fn it_behaves_like_a_map_with_times(actions in prop::collection::vec(action(), 0..120)) {
        const CAPACITY: usize = 5;
        let (clock, store) = store(CAPACITY);
        let mut model = Model::default();
        let mut now = 0;
        for action in actions {
            match action {
                Action::Put { id, secret, ttl } => {
                    let id = id.to_string();
                    let live = model.0.values().filter(|(_, expires_at)| *expires_at > now).count();
                    match store.put_now(&id, &secret, Duration::from_secs(ttl)) {
                        Ok(()) => {
                            prop_assert!(model.live(&id, now).is_none() && live < CAPACITY);
                            model.0.insert(id, (secret, now + ttl));
                        }
                        Err(PutError::Exists) => prop_assert!(model.live(&id, now).is_some()),
                        Err(PutError::Full { .. }) => prop_assert!(live >= CAPACITY),
                        Err(other) => prop_assert!(false, "{other}"),
                    }
                }
                Action::Get { id } => {
                    let found = store.get_now(&id.to_string());
                    let found = found.map(|found| (found.secret.to_vec(), now + found.expires_in.as_secs()));
                    prop_assert_eq!(found.as_ref(), model.live(&id.to_string(), now));
                }
                Action::Remove { id } => {
                    let was_live = model.live(&id.to_string(), now).is_some();
                    model.0.remove(&id.to_string());
                    prop_assert_eq!(store.remove(&id.to_string()), was_live);
                }
                Action::Advance { by } => {
                    clock.advance(Duration::from_secs(by));
                    now += by;
                }
                Action::Sweep => {
                    store.sweep();
                    let live = model.0.values().filter(|(_, expires_at)| *expires_at > now).count();
                    prop_assert_eq!(store.len(), live);
                }
            }
            prop_assert!(store.len() <= CAPACITY);
            invariant_two_collections_name_the_same_ids(&store);
        }
    }
}
