//! What a person sees while documents are fetched.

use std::time::Duration;

use crate::{found::Origin, key::Key};

/// A step of getting one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A vendor is being asked.
    Fetching {
        /// For what.
        key: Key,
        /// Who.
        host: String,
        /// Counted from 1.
        attempt: u32,
    },
    /// An attempt failed; there will be another.
    Waiting {
        /// For what.
        key: Key,
        /// Who did not answer.
        host: String,
        /// Until the next attempt.
        delay: Duration,
    },
    /// It is there.
    Found {
        /// What.
        key: Key,
        /// From where.
        origin: Origin,
    },
    /// It cannot be had.
    Failed {
        /// What.
        key: Key,
    },
}

/// Is told of every step; must not block.
pub type Progress = std::sync::Arc<dyn Fn(&Event) + Send + Sync>;
