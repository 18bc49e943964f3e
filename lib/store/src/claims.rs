//! Which requests have run: the memory behind "once over all workers", and how workers ask for it.
//!
//! [`ClaimMemory`] is `core/wire`'s replay memory with a clock and a lock. One lives in the secret service, for all workers
//! that share its secrets; a worker that stands alone has its own. Nothing is written down: after a restart the memory
//! refuses what was sent before (its floor). [`EtcdClaims`] keeps claims in etcd, for several secret services. Both are a
//! [`ClaimStore`]. protocol.md, section 9.

mod etcd;
mod message;
mod store;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use privatemode_wire::{
    replay::{Refusal, ReplayKey, ReplayLimits, ReplayMemory},
    stream::UnixMillis,
};

pub use etcd::{CLAIMS_PREFIX, EtcdClaims};
pub use message::{ClaimMessage, ClaimMessageError, RefusalMessage};
pub use store::{ClaimFailure, ClaimStore};

/// A wall clock: sending times are compared between machines.
pub type Now = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

/// The machine's wall clock.
#[must_use]
pub fn system_now() -> Now {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    })
}

/// The requests that ran within the window, in this process.
pub struct ClaimMemory {
    memory: Mutex<ReplayMemory>,
    now: Now,
}

impl ClaimMemory {
    /// An empty memory that begins now. `seed`: 16 random bytes.
    #[must_use]
    pub fn begin(limits: ReplayLimits, now: Now, seed: [u8; 16]) -> Self {
        let memory = Mutex::new(ReplayMemory::begin(limits, now(), seed));
        Self { memory, now }
    }

    /// Claims a request: `Ok` once, never again.
    ///
    /// # Errors
    /// [`Refusal`]: the request must not be answered.
    pub fn claim(&self, key: &ReplayKey, sent: UnixMillis) -> Result<(), Refusal> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock is read under the lock: two claims see it in one order.
        memory.claim(key, sent, (self.now)())
    }

    /// Requests remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// This memory's clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.now)()
    }
}

#[cfg(test)]
mod tests;
