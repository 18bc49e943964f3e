use std::sync::atomic::{AtomicUsize, Ordering};

use privatemode_service::metrics::Registry;
use privatemode_store::ManualClock;
use tokio::sync::Semaphore;

use super::*;

/// Answers one lookup per permit: even numbers find, odd ones do not, the third kind fails.
struct Scripted {
    lookups: AtomicUsize,
    permits: Semaphore,
    answer: Mutex<Vec<Result<bool, LookupError>>>,
}

impl SecretSource for Scripted {
    fn lookup<'a>(&'a self, _: &'a SecretId) -> BoxFuture<'a, Result<Option<Found>, LookupError>> {
        Box::pin(async move {
            self.lookups.fetch_add(1, Ordering::SeqCst);
            self.permits.acquire().await.unwrap().forget();
            let found = self.answer.lock().unwrap().remove(0)?;
            let secret = Secret::from_slice(&[1; 32]).unwrap();
            Ok(found.then_some(Found { secret, expires_in: Duration::from_secs(60) }))
        })
    }
}

struct Fixture {
    source: Arc<Scripted>,
    clock: Arc<ManualClock>,
    cache: SecretCache,
}

fn fixture(answers: Vec<Result<bool, LookupError>>, permits: usize, capacity: usize) -> Fixture {
    let source = Arc::new(Scripted {
        lookups: AtomicUsize::new(0),
        permits: Semaphore::new(permits),
        answer: Mutex::new(answers),
    });
    let clock = Arc::new(ManualClock::new());
    let cache = SecretCache::new(source.clone(), clock.clone(), capacity, Metrics::new(&Registry::new()));
    Fixture { source, clock, cache }
}

fn id(text: &str) -> SecretId {
    SecretId::parse(text).unwrap()
}

#[tokio::test]
async fn a_secret_is_asked_for_once_until_it_expires() {
    let Fixture { source, clock, cache } = fixture(vec![Ok(true), Ok(true)], 9, 9);
    for _ in 0..3 {
        assert!(cache.get(&id("a")).await.unwrap().is_some());
    }
    clock.advance(Duration::from_secs(59));
    assert!(cache.get(&id("a")).await.unwrap().is_some());
    assert_eq!(source.lookups.load(Ordering::SeqCst), 1);
    clock.advance(Duration::from_secs(1));
    assert!(cache.get(&id("a")).await.unwrap().is_some());
    assert_eq!(source.lookups.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn absence_and_failure_are_not_remembered() {
    let failure = LookupError::Status { status: 503 };
    let Fixture { source, cache, .. } = fixture(vec![Ok(false), Err(failure), Ok(true)], 9, 9);
    assert!(cache.get(&id("a")).await.unwrap().is_none());
    let error = cache.get(&id("a")).await.unwrap_err();
    assert!(matches!(*error, LookupError::Status { status: 503 }));
    assert!(cache.get(&id("a")).await.unwrap().is_some());
    assert_eq!(source.lookups.load(Ordering::SeqCst), 3);
    assert!(cache.0.lock().flights.is_empty());
}

#[tokio::test]
async fn equal_requests_share_one_lookup_even_if_the_first_gives_up() {
    let Fixture { source, cache, .. } = fixture(vec![Ok(true)], 0, 9);
    let id = id("a");
    let first = cache.clone();
    let first = tokio::spawn({
        let id = id.clone();
        async move { first.get(&id).await }
    });
    while source.lookups.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..10)
        .map(|_| {
            let (cache, id) = (cache.clone(), id.clone());
            tokio::spawn(async move { cache.get(&id).await })
        })
        .collect();
    tokio::task::yield_now().await;
    first.abort();
    source.permits.add_permits(1);
    for other in others {
        assert!(other.await.unwrap().unwrap().is_some());
    }
    assert_eq!(source.lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_full_cache_still_answers_and_makes_room_when_it_can() {
    let Fixture { source, clock, cache } = fixture(vec![Ok(true), Ok(true), Ok(true), Ok(true)], 9, 1);
    assert!(cache.get(&id("a")).await.unwrap().is_some());
    assert!(cache.get(&id("b")).await.unwrap().is_some());
    assert!(cache.get(&id("b")).await.unwrap().is_some());
    assert_eq!((source.lookups.load(Ordering::SeqCst), cache.len()), (3, 1));
    clock.advance(Duration::from_secs(60));
    assert!(cache.get(&id("b")).await.unwrap().is_some());
    assert_eq!(cache.len(), 1);
    clock.advance(Duration::from_secs(60));
    cache.sweep();
    assert!(cache.is_empty());
}

fn told(byte: u8, seconds: u64) -> Found {
    Found { secret: Secret::from_slice(&[byte; 32]).unwrap(), expires_in: Duration::from_secs(seconds) }
}

#[tokio::test]
async fn what_the_source_tells_needs_no_lookup_and_expires_by_itself() {
    let Fixture { source, clock, cache } = fixture(vec![Ok(false)], 9, 2);
    cache.insert(id("a"), told(1, 60));
    cache.insert(id("a"), told(2, 90));
    assert_eq!(cache.get(&id("a")).await.unwrap().unwrap().expose(), [2; 32]);
    cache.insert(id("b"), told(3, 60));
    cache.insert(id("c"), told(4, 60));
    assert_eq!(cache.len(), 2, "beyond the capacity they are looked up");
    cache.remove(&id("b"));
    assert_eq!(cache.len(), 1);
    assert_eq!(source.lookups.load(Ordering::SeqCst), 0);
    // nobody tells of its end
    clock.advance(Duration::from_secs(90));
    assert!(cache.get(&id("a")).await.unwrap().is_none());
    assert!(cache.is_empty());
    assert_eq!(source.lookups.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_lookup_that_was_overtaken_is_not_kept() {
    for overtake in [
        (|cache| cache.remove(&id("a"))) as fn(&SecretCache),
        |cache| cache.insert(id("a"), told(9, 60)),
        |cache| {
            cache.begin_reading();
            cache.end_reading();
        },
    ] {
        let Fixture { source, cache, .. } = fixture(vec![Ok(true)], 0, 9);
        let waiting = tokio::spawn({
            let cache = cache.clone();
            async move { cache.get(&id("a")).await }
        });
        while source.lookups.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        overtake(&cache);
        let before = cache.len();
        source.permits.add_permits(1);
        assert!(waiting.await.unwrap().unwrap().is_some(), "who waits is answered");
        assert_eq!(cache.len(), before);
        let kept = cache.0.lock().secrets.get(&id("a")).map(|cached| cached.secret.expose().to_vec());
        assert!(kept.is_none_or(|kept| kept == [9; 32]));
    }
}

#[tokio::test]
async fn a_reading_of_all_drops_what_it_did_not_find() {
    let Fixture { cache, .. } = fixture(vec![Ok(true)], 9, 9);
    cache.begin_reading();
    cache.insert(id("a"), told(1, 60));
    cache.insert(id("b"), told(2, 60));
    cache.end_reading();
    assert!(cache.get(&id("looked-up")).await.unwrap().is_some());
    assert_eq!(cache.len(), 3);
    cache.begin_reading();
    cache.insert(id("b"), told(3, 60));
    assert_eq!(cache.len(), 3, "until all is read, everything stays");
    cache.end_reading();
    assert_eq!(cache.len(), 1);
    assert_eq!(cache.get(&id("b")).await.unwrap().unwrap().expose(), [3; 32]);
}
