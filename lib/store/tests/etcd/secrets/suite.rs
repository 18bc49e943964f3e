//! The cases.

use std::{sync::Arc, time::Duration};

use privatemode_store::{MAX_ID_LEN, MAX_SECRET_LEN, PutError, SecretStore};

const HOUR: Duration = Duration::from_secs(3600);
/// Steps of [`Place::pass`] in which everything short-lived has to be over.
const STEPS: usize = 600;

/// Where the secrets are.
pub(crate) trait Place {
    /// A store with these secrets; in this process each has its own.
    fn store(&self, capacity: usize) -> Arc<dyn SecretStore>;
    /// Some time passes.
    async fn pass(&self);
    /// How many IDs are taken, if that can be asked from outside.
    async fn ids(&self) -> Option<usize>;
}

async fn found(store: &dyn SecretStore, id: &str) -> Option<(Vec<u8>, Duration)> {
    let found = store.get(id).await.unwrap()?;
    Some((found.secret.to_vec(), found.expires_in))
}

pub(crate) async fn a_live_id_is_refused(place: &impl Place) {
    let store = place.store(9);
    assert!(found(&*store, "id").await.is_none());
    store.put("id", b"first", HOUR).await.unwrap();
    assert!(matches!(store.put("id", b"second", HOUR).await, Err(PutError::Exists)));
    // nor with the same secret: an answer to "is it this one?" would be worth something
    assert!(matches!(store.put("id", b"first", HOUR * 2).await, Err(PutError::Exists)));
    let (secret, left) = found(&*store, "id").await.unwrap();
    assert_eq!(secret, b"first");
    assert!(left >= HOUR - Duration::from_secs(60) && left <= HOUR + Duration::from_secs(60), "{left:?}");
    // IDs are what they are, not patterns and not prefixes
    for other in ["i", "id/", "ID", "id\0", "\u{e9}"] {
        assert!(found(&*store, other).await.is_none(), "{other}");
        store.put(other, b"other", HOUR).await.unwrap();
    }
    assert_eq!(found(&*store, "id").await.unwrap().0, b"first");
}

pub(crate) async fn an_expired_secret_is_gone_and_its_id_is_free(place: &impl Place) {
    let store = place.store(9);
    store.put("long", b"stays", HOUR).await.unwrap();
    store.put("id", b"first", Duration::from_secs(2)).await.unwrap();
    assert_eq!(found(&*store, "id").await.unwrap().0, b"first");
    let mut steps = 0;
    while found(&*store, "id").await.is_some() {
        place.pass().await;
        steps += 1;
        assert!(steps < STEPS, "it does not expire");
    }
    // an ID is free when the store has wiped it, which may be a moment later than when it stopped to give it out
    while let Err(error) = store.put("id", b"second", HOUR).await {
        assert!(matches!(error, PutError::Exists), "{error:?}");
        place.pass().await;
        steps += 1;
        assert!(steps < STEPS, "it is not wiped");
    }
    assert_eq!(found(&*store, "id").await.unwrap().0, b"second");
    assert_eq!(found(&*store, "long").await.unwrap().0, b"stays");
    assert!(matches!(place.ids().await, None | Some(2)));
}

pub(crate) async fn of_many_creates_of_one_id_one_wins(place: &impl Place) {
    let one = place.store(100);
    let other = if place.ids().await.is_some() { place.store(100) } else { Arc::clone(&one) };
    for round in 0..5 {
        let id = format!("id-{round}");
        let tasks: Vec<_> = (0..32u8)
            .map(|number| {
                let store = Arc::clone(if number % 2 == 0 { &one } else { &other });
                let id = id.clone();
                tokio::spawn(async move { (number, store.put(&id, &[number; 32], HOUR).await) })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (number, Ok(())) => winners.push(number),
                (_, Err(PutError::Exists)) => {}
                (_, Err(other)) => panic!("{other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(found(&*other, &id).await.unwrap().0, [winners[0]; 32]);
    }
}

pub(crate) async fn capacity_counts_live_secrets(place: &impl Place) {
    let store = place.store(2);
    store.put("a", b"1", Duration::from_secs(2)).await.unwrap();
    store.put("b", b"2", HOUR).await.unwrap();
    assert!(matches!(store.put("c", b"3", HOUR).await, Err(PutError::Full { capacity: 2 })));
    assert!(matches!(store.put("b", b"3", HOUR).await, Err(PutError::Exists)));
    let mut steps = 0;
    while let Err(error) = store.put("c", b"3", HOUR).await {
        assert!(matches!(error, PutError::Full { capacity: 2 }), "{error:?}");
        place.pass().await;
        steps += 1;
        assert!(steps < STEPS, "there is never room again");
    }
    assert!(found(&*store, "a").await.is_none());
    assert_eq!(found(&*store, "c").await.unwrap().0, b"3");
}

pub(crate) async fn hostile_lengths_are_refused(place: &impl Place) {
    let store = place.store(9);
    let long = "x".repeat(MAX_ID_LEN + 1);
    assert!(matches!(store.put(&long, b"1", HOUR).await, Err(PutError::IdLength { len: 129 })));
    assert!(matches!(store.put("", b"1", HOUR).await, Err(PutError::IdLength { len: 0 })));
    assert!(matches!(store.put("a", b"", HOUR).await, Err(PutError::SecretLength { len: 0 })));
    let secret = [0; MAX_SECRET_LEN + 1];
    assert!(matches!(store.put("a", &secret, HOUR).await, Err(PutError::SecretLength { len: 65 })));
    assert!(found(&*store, &long).await.is_none() && found(&*store, "").await.is_none());
    store.put(&long[1..], &secret[1..], HOUR).await.unwrap();
    assert_eq!(found(&*store, &long[1..]).await.unwrap().0, [0; MAX_SECRET_LEN]);
    assert!(matches!(place.ids().await, None | Some(1)), "nothing of the refused ones is there");
}

pub(crate) async fn a_ttl_beyond_the_end_of_time_does_not_wrap(place: &impl Place) {
    let store = place.store(9);
    place.pass().await;
    store.put("a", b"1", Duration::MAX).await.unwrap();
    assert!(found(&*store, "a").await.is_some());
}
