//! Secrets in etcd, for any number of secret services and workers.
//!
//! The key is `inference-secrets/<id>` and the value the secret itself, as existing workers expect; so the time of expiry
//! cannot stand beside it, and comes from the lease that the key hangs on. A change of etcd's leader lets leases begin anew:
//! etcd may then keep a secret for up to twice its time. Whoever has seen a lease once ([`EtcdSecrets::get`], and the
//! workers' watch) counts down by its own monotonic clock, and does not believe in a longer life later.
//!
//! What is put is there or not, never by half: one transaction writes it if its ID is free.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    Cause, Clock, GetError, MAX_ID_LEN, MAX_SECRET_LEN, PutError, SecretStore, StoreFuture, StoredSecret,
    etcd::{
        Etcd, EtcdError,
        messages::{Compare, KeyValue, PutRequest, RangeRequest, TxnRequest, TxnResponse},
    },
    leases::{SharedLease, SharedLeases},
};

/// Where secrets are.
pub const SECRETS_PREFIX: &str = "inference-secrets/";

/// Without a lease (an older service could write those) a secret is believed in for so long, and then asked for again.
const WITHOUT_LEASE: Duration = Duration::from_secs(86_400);
/// How old the number of secrets may be: beyond the capacity come at most as many as all replicas take in this time.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// And when the store seems to be full.
const COUNT_FULL_EVERY: Duration = Duration::from_secs(1);
/// Leases whose end is remembered. A deployment of several replicas has some hundreds.
const MAX_LEASES: usize = 100_000;

/// Secrets in etcd. Keeps nothing that matters in this process: any number of them may share one etcd.
pub struct EtcdSecrets {
    etcd: Etcd,
    clock: Arc<dyn Clock>,
    capacity: usize,
    leases: SharedLeases,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    count: Option<Count>,
    /// When leases end, at the latest.
    ends: HashMap<i64, Duration>,
}

/// How many secrets there are.
#[derive(Clone, Copy)]
struct Count {
    at: Duration,
    counted: usize,
    /// By this process since.
    added: usize,
}

/// Whether a number is still believed.
struct Fresh(bool);

/// What etcd holds is not what belongs there.
#[derive(Debug, thiserror::Error)]
#[error("what etcd holds under the secret's ID has {len} bytes and is no secret")]
struct NotASecret {
    len: usize,
}

/// Written, but perhaps not for as long as was promised.
#[derive(Debug, thiserror::Error)]
#[error("etcd took too long to write the secret")]
struct TooLate;

impl EtcdSecrets {
    /// Secrets in `etcd`, about `capacity` of them at most: the replicas count them every few seconds.
    #[must_use]
    pub fn new(etcd: Etcd, clock: Arc<dyn Clock>, capacity: usize) -> Self {
        let leases = SharedLeases::new(etcd.clone(), Arc::clone(&clock));
        Self { etcd, clock, capacity, leases, state: Mutex::default() }
    }

    /// How many secrets there are, by etcd's own count.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn count(&self) -> Result<usize, EtcdError> {
        let mut request = RangeRequest::prefix(SECRETS_PREFIX.as_bytes());
        request.count_only = true;
        let counted = self.etcd.range(&request).await?.count;
        let counted = usize::try_from(counted).unwrap_or(usize::MAX);
        self.lock().count = Some(Count { at: self.clock.now(), counted, added: 0 });
        Ok(counted)
    }

    /// How long a key on that lease will live: counted down from when the lease was first seen. None: it has ended.
    ///
    /// # Errors
    /// [`EtcdError`].
    pub async fn left(&self, lease: i64) -> Result<Option<Duration>, EtcdError> {
        if lease == 0 {
            return Ok(Some(WITHOUT_LEASE));
        }
        let now = self.clock.now();
        let known = self.lock().ends.get(&lease).copied();
        if let Some(end) = known {
            return Ok(end.checked_sub(now).filter(|left| !left.is_zero()));
        }
        let ttl = match self.etcd.lease_time_to_live(lease).await {
            Ok(left) => Duration::from_secs(u64::try_from(left.ttl).unwrap_or(0)),
            Err(EtcdError::NoLease) => return Ok(None),
            Err(error) => return Err(error),
        };
        // from before the question: rather a moment too short
        let end = now.saturating_add(ttl);
        let mut state = self.lock();
        if state.ends.len() >= MAX_LEASES {
            state.ends.retain(|_, end| *end > now);
        }
        if state.ends.len() < MAX_LEASES {
            state.ends.insert(lease, end);
        }
        Ok(Some(ttl).filter(|ttl| !ttl.is_zero()))
    }

    async fn put_inner(&self, id: &str, secret: &[u8], ttl: Duration) -> Result<(), PutError> {
        // before copying: both lengths come from outside
        if id.is_empty() || id.len() > MAX_ID_LEN {
            return Err(PutError::IdLength { len: id.len() });
        }
        if secret.is_empty() || secret.len() > MAX_SECRET_LEN {
            return Err(PutError::SecretLength { len: secret.len() });
        }
        let key = key(id);
        if self.is_full().await.map_err(unavailable)? {
            return Err(self.full_or_taken(&key).await);
        }
        let (lease, done) = match self.create(&key, secret, ttl).await {
            // ended early by somebody, or the machine slept
            Err((lease, EtcdError::NoLease)) => {
                self.leases.forget(lease);
                self.create(&key, secret, ttl).await
            }
            done => done,
        }
        .map_err(|(_, error)| unavailable(error))?;
        if !done.succeeded && !is_ours(&done, secret, lease.id) {
            return Err(PutError::Exists);
        }
        if self.clock.now() > lease.good_until {
            return Err(PutError::Unavailable(TooLate.into()));
        }
        if let Some(count) = &mut self.lock().count {
            count.added = count.added.saturating_add(1);
        }
        Ok(())
    }

    /// Writes it if its ID is free. May reach etcd twice: what is found then may be our own.
    async fn create(
        &self,
        key: &[u8],
        secret: &[u8],
        ttl: Duration,
    ) -> Result<(SharedLease, TxnResponse), (i64, EtcdError)> {
        let lease = self.leases.lease(ttl).await.map_err(|error| (0, error))?;
        let put = PutRequest { key: key.to_vec(), value: secret.to_vec(), lease: lease.id };
        let create = TxnRequest {
            compare: vec![Compare::absent(key)],
            success: vec![put.into()],
            failure: vec![RangeRequest::one(key).into()],
        };
        match self.etcd.txn_repeatable(&create).await {
            Ok(done) => Ok((lease, done)),
            Err(error) => Err((lease.id, error)),
        }
    }

    async fn is_full(&self) -> Result<bool, EtcdError> {
        let seems = match self.known_fullness() {
            Some((full, Fresh(true))) => return Ok(full),
            Some((full, Fresh(false))) => Some(full),
            None => None,
        };
        match (self.count().await, seems) {
            (Ok(counted), _) => Ok(counted >= self.capacity),
            // nobody is refused, and nobody let in, for a count that failed
            (Err(EtcdError::Unavailable(_)), Some(full)) => Ok(full),
            (Err(error), _) => Err(error),
        }
    }

    /// Whether the store was full by the last count, and whether that still counts; none: never counted. Of several who ask
    /// when it is out of date one is told so, to count while the others go on.
    fn known_fullness(&self) -> Option<(bool, Fresh)> {
        let now = self.clock.now();
        let mut state = self.lock();
        let count = state.count.as_mut()?;
        let full = count.counted.saturating_add(count.added) >= self.capacity;
        let fresh = now.saturating_sub(count.at) < if full { COUNT_FULL_EVERY } else { COUNT_EVERY };
        if !fresh {
            count.at = now;
        }
        Some((full, Fresh(fresh)))
    }

    async fn full_or_taken(&self, key: &[u8]) -> PutError {
        let request = RangeRequest { keys_only: true, ..RangeRequest::one(key) };
        match self.etcd.range(&request).await {
            Ok(found) if found.kvs.is_empty() => PutError::Full { capacity: self.capacity },
            Ok(_) => PutError::Exists,
            Err(error) => unavailable(error),
        }
    }

    async fn get_inner(&self, id: &str) -> Result<Option<StoredSecret>, GetError> {
        if id.is_empty() || id.len() > MAX_ID_LEN {
            return Ok(None);
        }
        let failed = |error: EtcdError| GetError::Unavailable(error.into());
        let found = self.etcd.range(&RangeRequest::one(key(id))).await.map_err(failed)?;
        let Some(kv) = found.kvs.first() else { return Ok(None) };
        let secret = secret_of(kv).map_err(GetError::Unavailable)?;
        let left = self.left(kv.lease).await.map_err(failed)?;
        Ok(left.map(|expires_in| StoredSecret { secret, expires_in }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(id: &str) -> Vec<u8> {
    [SECRETS_PREFIX.as_bytes(), id.as_bytes()].concat()
}

fn unavailable(error: EtcdError) -> PutError {
    PutError::Unavailable(error.into())
}

fn secret_of(kv: &KeyValue) -> Result<Zeroizing<Box<[u8]>>, Cause> {
    match kv.value.len() {
        1..=MAX_SECRET_LEN => Ok(Zeroizing::new(kv.value.as_slice().into())),
        len => Err(NotASecret { len }.into()),
    }
}

/// Whether what is there was written by the first attempt of this very put.
fn is_ours(done: &TxnResponse, secret: &[u8], lease: i64) -> bool {
    let found =
        done.responses.first().and_then(|response| response.range()).and_then(|found| found.kvs.first());
    found.is_some_and(|kv| kv.lease == lease && bool::from(kv.value.as_slice().ct_eq(secret)))
}

impl SecretStore for EtcdSecrets {
    fn put<'a>(&'a self, id: &'a str, secret: &'a [u8], ttl: Duration) -> StoreFuture<'a, (), PutError> {
        Box::pin(self.put_inner(id, secret, ttl))
    }

    fn get<'a>(&'a self, id: &'a str) -> StoreFuture<'a, Option<StoredSecret>, GetError> {
        Box::pin(self.get_inner(id))
    }
}

impl fmt::Debug for EtcdSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { etcd, capacity, .. } = self;
        f.debug_struct("EtcdSecrets").field("etcd", etcd).field("capacity", capacity).finish_non_exhaustive()
    }
}
