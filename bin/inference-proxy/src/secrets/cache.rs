//! Keeps secrets in memory until they expire, and asks for each missing one only once at a time.
//!
//! That a secret does not exist is never remembered: a client uses a new secret the moment it was exchanged.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use privatemode_store::Clock;
use privatemode_wire::{Secret, SecretId};

use super::{Found, LookupError, SecretSource};
use crate::metrics::{Lookup, Metrics};

type Outcome = Result<Option<Arc<Secret>>, Arc<LookupError>>;
type Flight = Shared<BoxFuture<'static, Outcome>>;

/// A bounded cache in front of a [`SecretSource`]. Clones share it.
#[derive(Clone)]
pub struct SecretCache(Arc<Inner>);

struct Inner {
    source: Arc<dyn SecretSource>,
    clock: Arc<dyn Clock>,
    capacity: usize,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secrets: HashMap<SecretId, Cached>,
    flights: HashMap<SecretId, Flight>,
}

struct Cached {
    secret: Arc<Secret>,
    expires_at: Duration,
}

impl SecretCache {
    /// A cache of at most `capacity` secrets; beyond that, secrets are looked up each time.
    #[must_use]
    pub fn new(
        source: Arc<dyn SecretSource>,
        clock: Arc<dyn Clock>,
        capacity: usize,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Inner { source, clock, capacity, metrics, state: Mutex::default() }))
    }

    /// The live secret of that ID; none if there is none. Equal requests at the same time share one lookup, which goes
    /// on even if the request that began it is given up.
    ///
    /// # Errors
    /// [`LookupError`] when the source could not be asked.
    pub async fn get(&self, id: &SecretId) -> Outcome {
        match self.cached_or_flight(id) {
            Ok(secret) => {
                self.0.metrics.lookup(Lookup::Cached);
                Ok(Some(secret))
            }
            Err(flight) => flight.await,
        }
    }

    /// Wipes expired secrets.
    pub fn sweep(&self) {
        let now = self.0.clock.now();
        let mut state = self.0.lock();
        state.secrets.retain(|_, cached| cached.expires_at > now);
        self.0.show_size(&state);
    }

    /// How many secrets are in memory.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().secrets.len()
    }

    /// Whether no secret is in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn cached_or_flight(&self, id: &SecretId) -> Result<Arc<Secret>, Flight> {
        let now = self.0.clock.now();
        let mut state = self.0.lock();
        if let Some(cached) = state.secrets.get(id) {
            if cached.expires_at > now {
                return Ok(Arc::clone(&cached.secret));
            }
            state.secrets.remove(id);
            self.0.show_size(&state);
        }
        if let Some(flight) = state.flights.get(id) {
            return Err(flight.clone());
        }
        // the task cannot land before the lock is free, so it finds its flight
        let task = tokio::spawn(Arc::clone(&self.0).fly(id.clone()));
        let flight = async move { task.await.unwrap_or_else(|_| Err(Arc::new(LookupError::Aborted))) };
        let flight = flight.boxed().shared();
        state.flights.insert(id.clone(), flight.clone());
        Err(flight)
    }
}

impl Inner {
    async fn fly(self: Arc<Self>, id: SecretId) -> Outcome {
        let _landed = Landed { inner: &self, id: &id };
        match self.source.lookup(&id).await {
            Ok(Some(found)) => {
                self.metrics.lookup(Lookup::Found);
                Ok(Some(self.keep(&id, found)))
            }
            Ok(None) => {
                self.metrics.lookup(Lookup::Unknown);
                Ok(None)
            }
            Err(error) => {
                self.metrics.lookup(Lookup::Failed);
                Err(Arc::new(error))
            }
        }
    }

    fn keep(&self, id: &SecretId, Found { secret, expires_in }: Found) -> Arc<Secret> {
        let now = self.clock.now();
        let secret = Arc::new(secret);
        let mut state = self.lock();
        if state.secrets.len() >= self.capacity {
            state.secrets.retain(|_, cached| cached.expires_at > now);
        }
        if state.secrets.len() < self.capacity {
            let cached = Cached { secret: Arc::clone(&secret), expires_at: now.saturating_add(expires_in) };
            state.secrets.insert(id.clone(), cached);
        }
        self.show_size(&state);
        secret
    }

    fn show_size(&self, state: &State) {
        self.metrics.cached_secrets.set(i64::try_from(state.secrets.len()).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a flight however its lookup ends, so that the next request starts a new one.
struct Landed<'a> {
    inner: &'a Inner,
    id: &'a SecretId,
}

impl Drop for Landed<'_> {
    fn drop(&mut self) {
        self.inner.lock().flights.remove(self.id);
    }
}

impl fmt::Debug for SecretCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretCache({} secrets)", self.len())
    }
}

#[cfg(test)]
mod tests;
