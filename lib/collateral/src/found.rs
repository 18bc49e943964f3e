//! A document with where it came from: reports and status pages show this.

use std::{fmt, sync::Arc};

use privatemode_attest::UnixTime;

use crate::{document::Document, key::Key};

/// Where a document came from, in the order in which sources are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The evidence brought it.
    Evidence,
    /// The bundle that was handed in.
    Bundle,
    /// The workspace.
    Cache,
    /// The vendor, or the operator's mirror.
    Network {
        /// Who answered, as host and port.
        host: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evidence => f.write_str("evidence"),
            Self::Bundle => f.write_str("bundle"),
            Self::Cache => f.write_str("cache"),
            Self::Network { host } => f.write_str(host),
        }
    }
}

/// How a document stands to its next update. Declared, not verified: verification decides with its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It changes never, or not yet.
    Current,
    /// Its next update is not known before it has been verified.
    Unknown,
    /// Past its next update; a newer one could not be had, and the grace covers it.
    Grace {
        /// When its next update was due.
        since: UnixTime,
    },
    /// Past its next update, from evidence or a bundle, with the network off: for verification at an earlier time.
    Past {
        /// When its next update was due.
        since: UnixTime,
    },
}

/// What a report says about a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Which document.
    pub key: Key,
    /// Where it came from.
    pub origin: Origin,
    /// When the vendor was asked for it; unknown for evidence.
    pub fetched_at: Option<UnixTime>,
    /// How it stands to its next update.
    pub state: State,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Found {
    /// The bytes.
    pub document: Arc<Document>,
    /// Where it came from.
    pub provenance: Provenance,
}
