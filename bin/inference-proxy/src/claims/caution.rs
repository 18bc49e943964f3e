//! When the engine may begin before a request's claim is granted, and when it had better wait.
//!
//! A claim normally overlaps the engine's first work. But a memory that has just begun refuses every request once for its
//! date, and the client sends it again at once: the engine would run each of them twice. So the first claim is waited for,
//! and so are all others while the memory is known to be young.

use std::sync::atomic::{AtomicU64, Ordering};

use privatemode_wire::{replay::Refusal, stream::UnixMillis};

use super::ClaimError;

/// Nothing is known of the memory.
const UNKNOWN: u64 = u64::MAX;

/// Until when claims are waited for, in milliseconds since 1970.
pub(crate) struct Caution(AtomicU64);

impl Caution {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(UNKNOWN))
    }

    /// Whether the engine has to wait for the claim.
    pub(crate) fn waits(&self, now: UnixMillis) -> bool {
        now.0 < self.0.load(Ordering::Relaxed)
    }

    /// Draws its conclusion from a claim of a request sent at `sent`.
    pub(crate) fn learn(&self, sent: UnixMillis, claimed: &Result<(), ClaimError>) {
        let update = |known: u64| match claimed {
            // It takes what was sent then: it is no younger than that.
            Ok(()) => (known == UNKNOWN).then_some(sent.0),
            Err(ClaimError::Refused(Refusal::BeforeStart { not_before, .. })) => {
                Some(if known == UNKNOWN { not_before.0 } else { known.max(not_before.0) })
            }
            Err(ClaimError::Refused(_)) => None,
            // Gone, and perhaps about to begin anew.
            Err(ClaimError::Unreachable(_) | ClaimError::Answer { .. }) => Some(UNKNOWN),
        };
        let _ = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_memory_is_waited_for() {
        let (caution, at) = (Caution::new(), UnixMillis);
        assert!(caution.waits(at(1000)), "nothing is known yet");
        caution.learn(at(900), &Ok(()));
        assert!(!caution.waits(at(1000)));
        let young = Refusal::BeforeStart { server_time: at(1000), not_before: at(5000) };
        caution.learn(at(900), &Err(ClaimError::Refused(young)));
        assert!(caution.waits(at(4999)) && !caution.waits(at(5000)));
        // What is dated ahead is taken, which says nothing about the present.
        caution.learn(at(5000), &Ok(()));
        caution.learn(at(900), &Err(ClaimError::Refused(Refusal::Replayed)));
        assert!(caution.waits(at(4999)) && !caution.waits(at(5000)));
        caution.learn(at(900), &Err(ClaimError::Answer { status: 500 }));
        assert!(caution.waits(at(9000)));
        caution.learn(at(9500), &Ok(()));
        assert!(
            caution.waits(at(9499)) && !caution.waits(at(9500)),
            "dated ahead by a client that was told to"
        );
    }
}
