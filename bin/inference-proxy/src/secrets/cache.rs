//! Keeps secrets in memory until they expire, and asks for each missing one only once at a time.
//!
//! That a secret does not exist is never remembered: a client uses a new secret the moment it was exchanged. Secrets also
//! come and go by themselves where the source is watched (`watch`): a lookup that was under way when its secret changed
//! is not kept. Expiry is by the monotonic clock alone: setting the machine's clock neither revives nor kills a secret.

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
    flights: HashMap<SecretId, InFlight>,
    /// The number of the present reading of all secrets.
    generation: u32,
}

struct Cached {
    secret: Arc<Secret>,
    /// Milliseconds on the cache's clock: half the size of a [`Duration`], and there are many.
    expires_at: u64,
    /// The reading of all secrets that it was in; [`LOOKED_UP`]: in none.
    generation: u32,
}

const LOOKED_UP: u32 = 0;

struct InFlight {
    flight: Flight,
    /// Something is known that its answer may not know.
    outdated: bool,
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
        state.secrets.retain(|_, cached| !cached.is_over(now));
        self.0.show_size(&state);
    }

    /// Takes a secret that the source has told of, in place of one that was there. Beyond the capacity it is looked up
    /// when it is needed.
    pub fn insert(&self, id: SecretId, Found { secret, expires_in }: Found) {
        let expires_at = millis(self.0.clock.now().saturating_add(expires_in));
        let mut state = self.0.lock();
        state.outdate(&id);
        let cached = Cached { secret: Arc::new(secret), expires_at, generation: state.generation };
        if state.secrets.len() < self.0.capacity || state.secrets.contains_key(&id) {
            state.secrets.insert(id, cached);
        }
        self.0.show_size(&state);
    }

    /// Wipes a secret that the source has no more.
    pub fn remove(&self, id: &SecretId) {
        let mut state = self.0.lock();
        state.outdate(id);
        state.secrets.remove(id);
        self.0.show_size(&state);
    }

    /// All secrets are about to be read anew, and inserted.
    pub fn begin_reading(&self) {
        let mut state = self.0.lock();
        state.generation = state.generation.checked_add(1).unwrap_or(LOOKED_UP + 1);
    }

    /// All were: wipes those that were not among them.
    pub fn end_reading(&self) {
        let mut state = self.0.lock();
        let generation = state.generation;
        state.secrets.retain(|_, cached| cached.generation == generation);
        // their answers may be older than what was read
        state.flights.values_mut().for_each(|flight| flight.outdated = true);
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
            if !cached.is_over(now) {
                return Ok(Arc::clone(&cached.secret));
            }
            state.secrets.remove(id);
            self.0.show_size(&state);
        }
        if let Some(flight) = state.flights.get(id) {
            return Err(flight.flight.clone());
        }
        // the task cannot land before the lock is free, so it finds its flight
        let task = tokio::spawn(Arc::clone(&self.0).fly(id.clone()));
        let flight = async move { task.await.unwrap_or_else(|_| Err(Arc::new(LookupError::Aborted))) };
        let flight = flight.boxed().shared();
        state.flights.insert(id.clone(), InFlight { flight: flight.clone(), outdated: false });
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
        if state.flights.get(id).is_some_and(|flight| flight.outdated) {
            return secret;
        }
        if state.secrets.len() >= self.capacity {
            state.secrets.retain(|_, cached| !cached.is_over(now));
        }
        if state.secrets.len() < self.capacity {
            let expires_at = millis(now.saturating_add(expires_in));
            let cached = Cached { secret: Arc::clone(&secret), expires_at, generation: LOOKED_UP };
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

impl Cached {
    fn is_over(&self, now: Duration) -> bool {
        self.expires_at <= millis(now)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl State {
    fn outdate(&mut self, id: &SecretId) {
        if let Some(flight) = self.flights.get_mut(id) {
            flight.outdated = true;
        }
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
