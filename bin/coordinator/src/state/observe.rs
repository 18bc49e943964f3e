//! What it means when the store's latest transition is another one than ours.
//!
//! Only what our own key signed counts: whoever can write to the store must not be able to stop a coordinator.

use super::InForce;
use crate::history::{HistoryError, Latest, Stored};

/// What the store says beside what is in force here.
#[derive(Debug)]
pub enum Observation {
    /// The same.
    Same,
    /// Signed by our key, and built on ours: another coordinator advanced the history.
    Advanced,
    /// Signed by our key, and older than ours: somebody has rolled the store back. What is in force here stays.
    RolledBack,
    /// Signed by our key, and neither built on ours nor the other way round: two updates won one swap, which a store must
    /// not let happen.
    Forked,
    /// Nothing of ours: the store was changed by somebody who has no key. What is in force here stays.
    Foreign(HistoryError),
    /// The entry is gone. What is in force here stays.
    Gone,
}

/// Compares the bytes of latest alone: most calls end here.
pub fn is_same(in_force: &InForce, latest: Option<&[u8]>) -> bool {
    latest.is_some_and(|latest| latest == in_force.latest.to_bytes())
}

/// Judges a history that was read whole.
pub fn judge(in_force: &InForce, stored: &Stored) -> Observation {
    if stored.latest.hash == in_force.latest.hash {
        return Observation::Same;
    }
    if let Err(refused) = stored.verify(&in_force.seed) {
        return Observation::Foreign(refused);
    }
    if stored.contains(&in_force.latest.hash) {
        Observation::Advanced
    } else if in_force.steps.iter().any(|step| step.transition == stored.latest.hash) {
        Observation::RolledBack
    } else {
        Observation::Forked
    }
}

/// Whether `latest` could be ours at all, before anything else of the store is read.
pub fn is_signed(in_force: &InForce, latest: &[u8]) -> Result<(), HistoryError> {
    Latest::parse(latest)?.verify(&in_force.seed)
}
