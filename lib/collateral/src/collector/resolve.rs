//! The sources, one after the other.

use std::sync::Arc;

use privatemode_attest::UnixTime;

use super::{Extras, Inner, Outcome};
use crate::{
    cache::{Cache, Entry},
    document::{Document, Freshness, check},
    error::FetchError,
    found::{Found, Origin, Provenance, State},
    http::Answer,
    key::Key,
    nvidia::OcspRequest,
};

/// What the vendor's answer gives, and what of it is to be kept.
type Arrival = Result<(Found, Option<Entry>), FetchError>;

/// What evidence and bundle have.
pub(super) enum Given {
    Current(Found),
    /// Past its next update since then.
    Past(Found, UnixTime),
    Nothing,
}

impl Inner {
    /// Evidence first, then the bundle; a current document of the second goes before a past one of the first.
    pub(super) fn given(&self, key: &Key, extras: &Extras) -> Given {
        let evidence = extras.get(key).and_then(|document| match check(key, document) {
            Ok(()) => Some((Origin::Evidence, Arc::new(document.clone()), None)),
            Err(error) => {
                tracing::warn!(%key, %error, "the evidence brought an unusable document; other sources are asked");
                None
            }
        });
        let bundle = self
            .bundle
            .as_ref()
            .and_then(|bundle| bundle.kept(key))
            .map(|kept| (Origin::Bundle, Arc::clone(&kept.document), kept.fetched_at));
        let mut past = Given::Nothing;
        for (origin, document, fetched_at) in evidence.into_iter().chain(bundle) {
            let freshness = self.freshness(key, &document, fetched_at);
            let found = found(key, origin, document, fetched_at, state_of(freshness));
            match freshness.ended(self.timing.now()) {
                None => return Given::Current(found),
                Some(since) => match &past {
                    Given::Past(_, latest) if *latest >= since => {}
                    _ => past = Given::Past(found, since),
                },
            }
        }
        past
    }

    /// Runs once for all who want the same.
    pub(super) async fn cached_or_fetched(self: Arc<Self>, key: &Key, body: &[u8]) -> Outcome {
        let name = key.clone();
        let cached = self.in_cache(move |cache| cache.load(&name)).await.flatten();
        let now = self.timing.now();
        let cached = cached.map(|entry| self.bounded(key, entry));
        match &cached {
            Some(entry) if entry.freshness != Freshness::Unknown && entry.freshness.ended(now).is_none() => {
                return Ok(from_cache(key, entry, State::Current));
            }
            _ if self.offline => return self.offline(key, cached.as_ref()),
            _ => {}
        }
        // "Not modified" cannot mend what has itself run out. An old list beside the version of the new one, put into the cache by
        // whoever writes there, would be confirmed as unchanged for ever.
        let lasts = |entry: &&Entry| self.freshness(key, &entry.document, Some(now)).ended(now).is_none();
        let etag = cached.as_ref().filter(lasts).and_then(|entry| entry.etag.as_deref());
        let arrival = match (self.fetcher.fetch(key, body, etag).await, &cached) {
            (Ok(Answer::New { document, etag }), cached) => {
                self.arrived(key, document, etag, cached.as_ref())
            }
            (Ok(Answer::NotModified), Some(entry)) => self.not_modified(key, entry),
            // not modified against nothing: a muddled mirror
            (Ok(Answer::NotModified), None) => {
                Err(FetchError::NotFound { key: key.clone(), host: self.fetcher.host(key) })
            }
            (Err(error), _) => Err(error),
        };
        let (found, entry) = match arrival {
            Ok(arrived) => arrived,
            Err(failed) => return self.stand_in(key, cached.as_ref(), failed),
        };
        // an answer to a nonce is never asked for again, and many of them would push out what is
        if let Some(entry) = entry.filter(|_| !OcspRequest { der: body }.has_nonce()) {
            self.keep(key, entry).await;
        }
        Ok(found)
    }

    /// A cached document counts no longer than it says itself: the file beside it is nobody's word. An old revocation list that is
    /// said to last for ever would otherwise keep the vendor from being asked.
    fn bounded(&self, key: &Key, mut entry: Entry) -> Entry {
        let fetched_at = entry.fetched_at.min(self.timing.now());
        entry.freshness = match (self.freshness(key, &entry.document, Some(fetched_at)), entry.freshness) {
            (Freshness::Until(own), Freshness::Until(kept)) => Freshness::Until(own.min(kept)),
            (own @ Freshness::Until(_), Freshness::Forever) | (own @ Freshness::Forever, _) => own,
            (Freshness::Unknown, Freshness::Forever) => Freshness::Unknown,
            (Freshness::Until(_) | Freshness::Unknown, kept) => kept,
        };
        entry
    }

    fn offline(&self, key: &Key, cached: Option<&Entry>) -> Outcome {
        let Some(entry) = cached else { return Err(FetchError::Offline { key: key.clone() }) };
        match entry.freshness.ended(self.timing.now()) {
            None => Ok(from_cache(key, entry, state_of(entry.freshness))),
            Some(since) if self.in_grace(since) => Ok(from_cache(key, entry, State::Grace { since })),
            Some(since) => Err(FetchError::OfflineExpired { key: key.clone(), since }),
        }
    }

    /// A document from the vendor, to be kept unless it is past its next update.
    fn arrived(
        &self,
        key: &Key,
        document: Document,
        etag: Option<String>,
        cached: Option<&Entry>,
    ) -> Arrival {
        let now = self.timing.now();
        let freshness = self.freshness(key, &document, Some(now));
        let origin = Origin::Network { host: self.fetcher.host(key) };
        let entry = Entry { document, fetched_at: now, freshness, etag };
        let document = Arc::new(entry.document.clone());
        let found = found(key, origin, document, Some(now), state_of(freshness));
        let Some(since) = freshness.ended(now) else { return Ok((found, Some(entry))) };
        // Not kept, as it would be fetched again in any case; and never in place of a newer one, or a mirror gone back
        // in time could undo a revocation.
        let newer = cached.and_then(|entry| entry.freshness.ended(now)).is_some_and(|ended| ended >= since);
        if self.in_grace(since) && !newer {
            return Ok((marked(found, State::Grace { since }), None));
        }
        Err(self.stale(key, since))
    }

    /// The vendor has nothing newer than what is cached. That is then still past its next update, or unconfirmed.
    fn not_modified(&self, key: &Key, entry: &Entry) -> Arrival {
        let now = self.timing.now();
        let freshness = match self.freshness(key, &entry.document, Some(now)) {
            Freshness::Unknown => entry.freshness, // what verification confirmed
            declared => declared,                  // a manifest's age counts from when it was last asked for
        };
        if let Some(since) = freshness.ended(now) {
            return Err(self.stale(key, since));
        }
        let entry = Entry { fetched_at: now, freshness, ..entry.clone() };
        Ok((from_cache(key, &entry, state_of(freshness)), Some(entry)))
    }

    fn stale(&self, key: &Key, since: UnixTime) -> FetchError {
        FetchError::Stale { key: key.clone(), host: self.fetcher.host(key), since }
    }

    /// What was cached stands in for what could not be fetched, for as long as the grace is.
    fn stand_in(&self, key: &Key, cached: Option<&Entry>, failed: FetchError) -> Outcome {
        let ended = cached.and_then(|entry| Some((entry, entry.freshness.ended(self.timing.now())?)));
        match ended {
            None => Err(failed),
            Some((entry, since)) if self.in_grace(since) => {
                tracing::warn!(%key, %since, error = %failed, "collateral past its next update is used, within the grace");
                Ok(from_cache(key, entry, State::Grace { since }))
            }
            Some((_, since)) => {
                Err(FetchError::Expired { key: key.clone(), since, source: Arc::new(failed) })
            }
        }
    }

    async fn keep(&self, key: &Key, entry: Entry) {
        let key = key.clone();
        self.in_cache(move |cache| {
            if let Err(error) = cache.store(&key, &entry) {
                tracing::warn!(%key, %error, "a document cannot be kept; it will be fetched again");
            }
        })
        .await;
    }

    /// Files are read and written beside the threads that serve.
    pub(super) async fn in_cache<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cache) -> T + Send + 'static,
    ) -> Option<T> {
        let cache = Arc::clone(self.cache.as_ref()?);
        tokio::task::spawn_blocking(move || work(&cache)).await.ok()
    }
}

fn state_of(freshness: Freshness) -> State {
    if freshness == Freshness::Unknown { State::Unknown } else { State::Current }
}

pub(super) fn marked(mut found: Found, state: State) -> Found {
    found.provenance.state = state;
    found
}

fn from_cache(key: &Key, entry: &Entry, state: State) -> Found {
    found(key, Origin::Cache, Arc::new(entry.document.clone()), Some(entry.fetched_at), state)
}

fn found(
    key: &Key,
    origin: Origin,
    document: Arc<Document>,
    fetched_at: Option<UnixTime>,
    state: State,
) -> Found {
    Found { document, provenance: Provenance { key: key.clone(), origin, fetched_at, state } }
}
