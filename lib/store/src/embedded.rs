//! Secrets in this process's memory.
//!
//! Expired secrets are never returned; they are wiped when they are next asked for, when room is needed, and by
//! [`Embedded::sweep`]. Nothing is written to disk: a restart forgets all secrets, and clients exchange new ones.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use zeroize::Zeroizing;

use crate::{Clock, GetError, MAX_ID_LEN, MAX_SECRET_LEN, PutError, SecretStore, StoreFuture, StoredSecret};

/// A store of at most `capacity` live secrets in memory.
pub struct Embedded {
    clock: Arc<dyn Clock>,
    capacity: usize,
    state: Mutex<State>,
}

/// `records` and `by_expiry` always name the same IDs.
#[derive(Default)]
struct State {
    records: HashMap<Arc<str>, Record>,
    by_expiry: BTreeSet<(Duration, Arc<str>)>,
}

struct Record {
    secret: Zeroizing<Box<[u8]>>,
    expires_at: Duration,
}

impl Embedded {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, capacity: usize) -> Self {
        Self { clock, capacity, state: Mutex::default() }
    }

    /// Wipes what has expired; says how many secrets that were.
    pub fn sweep(&self) -> usize {
        let now = self.clock.now();
        self.lock().sweep(now)
    }

    /// Wipes the secret under `id`; says whether there was a live one.
    pub fn remove(&self, id: &str) -> bool {
        let now = self.clock.now();
        self.lock().remove(id).is_some_and(|record| record.expires_at > now)
    }

    /// How many secrets are in memory, expired ones that were not swept yet among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether no secret is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many live secrets fit.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn put_now(&self, id: &str, secret: &[u8], ttl: Duration) -> Result<(), PutError> {
        // before copying: both lengths come from outside
        if id.is_empty() || id.len() > MAX_ID_LEN {
            return Err(PutError::IdLength { len: id.len() });
        }
        if secret.is_empty() || secret.len() > MAX_SECRET_LEN {
            return Err(PutError::SecretLength { len: secret.len() });
        }
        let now = self.clock.now();
        let mut state = self.lock();
        state.sweep(now);
        state.insert(id, secret, now.saturating_add(ttl), self.capacity)
    }

    fn get_now(&self, id: &str) -> Option<StoredSecret> {
        let now = self.clock.now();
        let mut state = self.lock();
        let record = state.records.get(id)?;
        match record.expires_at.checked_sub(now) {
            Some(expires_in) if !expires_in.is_zero() => {
                Some(StoredSecret { secret: Zeroizing::new(record.secret.as_ref().into()), expires_in })
            }
            _ => {
                state.remove(id);
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // every change below leaves the two collections in step before anything could panic
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(
        &mut self,
        id: &str,
        secret: &[u8],
        expires_at: Duration,
        capacity: usize,
    ) -> Result<(), PutError> {
        let full = self.records.len() >= capacity;
        match self.records.entry(Arc::from(id)) {
            Entry::Occupied(_) => Err(PutError::Exists),
            Entry::Vacant(_) if full => Err(PutError::Full { capacity }),
            Entry::Vacant(slot) => {
                self.by_expiry.insert((expires_at, Arc::clone(slot.key())));
                slot.insert(Record { secret: Zeroizing::new(secret.into()), expires_at });
                Ok(())
            }
        }
    }

    fn remove(&mut self, id: &str) -> Option<Record> {
        let (id, record) = self.records.remove_entry(id)?;
        self.by_expiry.remove(&(record.expires_at, id));
        Some(record)
    }

    fn sweep(&mut self, now: Duration) -> usize {
        let mut wiped = 0;
        while self.by_expiry.first().is_some_and(|(expires_at, _)| *expires_at <= now) {
            if let Some((_, id)) = self.by_expiry.pop_first() {
                self.records.remove(&id);
                wiped += 1;
            }
        }
        wiped
    }
}

impl SecretStore for Embedded {
    fn put<'a>(&'a self, id: &'a str, secret: &'a [u8], ttl: Duration) -> StoreFuture<'a, (), PutError> {
        Box::pin(std::future::ready(self.put_now(id, secret, ttl)))
    }

    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<StoredSecret>, GetError> {
        Box::pin(std::future::ready(Ok(self.get_now(id))))
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded")
            .field("secrets", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
