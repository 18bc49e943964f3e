//! Whoever remembers claims: in this process, or in etcd.

use privatemode_wire::{
    replay::{Refusal, ReplayKey},
    stream::UnixMillis,
};

use super::ClaimMemory;
use crate::{Cause, StoreFuture};

/// Remembers which requests have run, for everybody who asks it.
pub trait ClaimStore: Send + Sync {
    /// Claims a request: `Ok` once, never again, whoever asks. Whatever else comes back, the request must not be answered;
    /// it may count as claimed or not.
    fn claim_once<'a>(&'a self, key: &'a ReplayKey, sent: UnixMillis) -> StoreFuture<'a, (), ClaimFailure>;

    /// The same for a caller that may have asked another process of the same memory before, and did not hear the answer:
    /// `attempt`, 16 random bytes of that caller's, tells its own claim from a replay. A memory of one process has no other.
    fn claim_for<'a>(
        &'a self,
        key: &'a ReplayKey,
        sent: UnixMillis,
        attempt: [u8; 16],
    ) -> StoreFuture<'a, (), ClaimFailure> {
        let _alone = attempt;
        self.claim_once(key, sent)
    }

    /// This memory's clock.
    fn now(&self) -> UnixMillis;

    /// Requests that this process remembers.
    fn remembered(&self) -> usize;
}

/// Why a request must not be answered.
#[derive(Debug, thiserror::Error)]
pub enum ClaimFailure {
    /// It ran before, or nobody can tell.
    #[error("the request may not run")]
    Refused(#[source] Refusal),
    /// Whoever remembers cannot be asked.
    #[error("the claims' memory cannot be asked")]
    Unavailable(#[source] Cause),
}

impl ClaimStore for ClaimMemory {
    fn claim_once<'a>(&'a self, key: &'a ReplayKey, sent: UnixMillis) -> StoreFuture<'a, (), ClaimFailure> {
        Box::pin(std::future::ready(self.claim(key, sent).map_err(ClaimFailure::Refused)))
    }

    fn now(&self) -> UnixMillis {
        self.now()
    }

    fn remembered(&self) -> usize {
        self.len()
    }
}
