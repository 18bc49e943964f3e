//! Claims in etcd: once over any number of secret services, and over restarts of all of them.
//!
//! A claim is a key `inference-claims/r/<43 characters>` that is created once, under a lease that outlives the time in which
//! any of us would take the request. The value says who created it (the worker's attempt, or this process), so that a
//! transaction that reached etcd twice finds itself, and a worker that did not hear the answer of one secret service gets it
//! from another. Claims of one moment go in one transaction. What is outside the window, was claimed here before, or is too much is
//! refused without asking etcd; while etcd cannot be asked nothing is granted.
//!
//! **What etcd has forgotten.** Claims must not come from an etcd that has lost some. Two more keys tell:
//!
//! | key | holds | lives |
//! | --- | --- | --- |
//! | `inference-claims/floor` | what was sent before is refused (`BeforeStart`) | for good |
//! | `inference-claims/alive` | the clock of whoever was there last | 30 s, renewed every 10 s by each of us |
//!
//! * Neither is there (a new or an emptied etcd), or `alive` is gone (nobody was there for half a minute: we all stopped, or
//!   etcd was restored from a backup): as with a memory that has just begun, what was sent before now + 120 s is refused.
//!   Clients date their next attempt accordingly: an extra round trip for two minutes, no outage.
//! * `alive` differs from our clock by more than a minute: one of us is wrong, or etcd was restored with a key that is about
//!   to end. Nothing is granted until they agree or the key has ended.
//! * etcd's revision goes back, or its cluster is another one, while we look: the floor rises at once, for all of us.
//!
//! What remains: all of us are restarted *and* etcd is restored from a backup that is less than a minute old. Nothing that is
//! left knows of the claims in between; the clocks agree. They are lost: stop the secret services for two minutes after a
//! restore.

mod batch;
mod standing;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use privatemode_wire::{
    replay::{Refusal, ReplayKey, ReplayLimits, ReplayMemory},
    stream::UnixMillis,
};
use tokio::sync::{mpsc, oneshot};

use self::batch::Batcher;
use super::{ClaimFailure, ClaimStore, Now};
use crate::{Clock, StoreFuture, etcd::Etcd};

/// Where claims are.
pub const CLAIMS_PREFIX: &str = "inference-claims/";

/// Claims that wait at most; beyond that their requests wait to wait.
const QUEUE: usize = 4096;
/// How far the clocks of two secret services may differ, in milliseconds.
const CLOCKS_DIFFER: u64 = 60_000;

/// Claims in etcd. A task of its own asks for them, and ends when this is dropped.
pub struct EtcdClaims {
    queue: mpsc::Sender<Pending>,
    shared: Arc<Shared>,
    /// Who this process is, for callers who do not say who they are.
    holder: [u8; 16],
}

/// What the claims and their task see.
struct Shared {
    limits: ReplayLimits,
    now: Now,
    /// What this process claimed: the limits, and replays that come to the same process.
    memory: Mutex<ReplayMemory>,
    /// Why nothing can be granted, in public words.
    trouble: Mutex<Option<String>>,
}

/// One claim that waits for its answer.
struct Pending {
    key: ReplayKey,
    sent: UnixMillis,
    /// Whose claim it is, in etcd's value.
    holder: [u8; 16],
    answer: oneshot::Sender<Result<(), ClaimFailure>>,
}

/// The task is gone: the process ends.
#[derive(Debug, thiserror::Error)]
#[error("the claims are being shut down")]
struct Gone;

impl EtcdClaims {
    /// Claims in `etcd`. `limits` hold for this process, and their capacity for all of etcd as well. `seed`: 32 random bytes.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn begin(etcd: Etcd, limits: ReplayLimits, now: Now, clock: Arc<dyn Clock>, seed: [u8; 32]) -> Self {
        let [memory_seed, holder] = halves(seed);
        // as of the beginning of time: what ran before this process is etcd's to know, not this memory's
        let memory = ReplayMemory::begin(limits, UnixMillis(0), memory_seed);
        let shared = Arc::new(Shared {
            limits,
            now,
            memory: Mutex::new(memory),
            trouble: Mutex::new(Some("the claims' memory in etcd was not asked yet".to_owned())),
        });
        let (queue, waiting) = mpsc::channel(QUEUE);
        let batcher = Batcher::new(etcd, clock, Arc::clone(&shared));
        tokio::spawn(batcher.run(waiting));
        Self { queue, shared, holder }
    }

    /// Why nothing can be granted at present, if so; public.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn claim_inner(
        &self,
        key: ReplayKey,
        sent: UnixMillis,
        holder: [u8; 16],
    ) -> Result<(), ClaimFailure> {
        self.shared.check_window(sent).map_err(ClaimFailure::Refused)?;
        let gone = || ClaimFailure::Unavailable(Gone.into());
        let (answer, answered) = oneshot::channel();
        self.queue.send(Pending { key, sent, holder, answer }).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

impl Shared {
    /// Before anybody is asked.
    fn check_window(&self, sent: UnixMillis) -> Result<(), Refusal> {
        let (server_time, limits) = ((self.now)(), self.limits);
        if sent < server_time.minus(limits.past) {
            return Err(Refusal::TooOld { server_time });
        }
        if sent > server_time.plus(limits.future) {
            return Err(Refusal::FromFuture { server_time });
        }
        Ok(())
    }

    fn memory(&self) -> MutexGuard<'_, ReplayMemory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// How long a claim has to be remembered: while anybody's clock may let its request in.
    fn remember_for(&self) -> Duration {
        let clocks = CLOCKS_DIFFER.saturating_mul(2);
        Duration::from_millis(self.limits.past.saturating_add(self.limits.future).saturating_add(clocks))
    }
}

fn halves(seed: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    for (half, bytes) in halves.iter_mut().zip(seed.chunks_exact(16)) {
        half.copy_from_slice(bytes);
    }
    halves
}

impl ClaimStore for EtcdClaims {
    fn claim_once<'a>(&'a self, key: &'a ReplayKey, sent: UnixMillis) -> StoreFuture<'a, (), ClaimFailure> {
        Box::pin(self.claim_inner(*key, sent, self.holder))
    }

    fn claim_for<'a>(
        &'a self,
        key: &'a ReplayKey,
        sent: UnixMillis,
        attempt: [u8; 16],
    ) -> StoreFuture<'a, (), ClaimFailure> {
        Box::pin(self.claim_inner(*key, sent, attempt))
    }

    fn now(&self) -> UnixMillis {
        (self.shared.now)()
    }

    fn remembered(&self) -> usize {
        self.shared.memory().len()
    }
}

impl fmt::Debug for EtcdClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EtcdClaims({} remembered here)", self.remembered())
    }
}
