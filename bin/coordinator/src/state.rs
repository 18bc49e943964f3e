//! What a coordinator knows, and how it comes to know it: nothing, an outdated state, or a manifest in force.
//!
//! ```text
//!  NoState ──first set──▶ InForce ──somebody else advanced the store──▶ Stale
//!     │                      ▲  └──update──▶ InForce                       │
//!     └──restart with a store──────────▶ Stale ──recovery by owner or peer─┘
//! ```
//!
//! Everything here and below is pure: it takes requests, what the store holds, randomness and time, and says what to write
//! and what comes then ([`set`], [`recover`], [`observe`]). [`crate::coordinator`] does it. `attestation.md` §2.

pub mod observe;
pub mod recover;
pub mod set;

use std::collections::BTreeMap;
use std::sync::Arc;

use privatemode_manifest::{Manifest, PolicyHash};
use thiserror::Error;

use crate::authority::Authority;
use crate::challenge::ChallengeKey;
use crate::deployment::Deployment;
use crate::history::{Latest, Step};
use crate::seed::Seed;

/// The state of one coordinator. Swapped as a whole.
#[derive(Clone)]
pub enum State {
    /// No manifest was ever set.
    NoState,
    /// There is a history that this coordinator is not part of.
    Stale(StaleReason),
    /// A manifest is in force.
    InForce(Arc<InForce>),
}

/// Why a coordinator must be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleReason {
    /// It started, and found a history.
    Restarted,
    /// Another coordinator advanced the history.
    Advanced,
}

impl StaleReason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Restarted => "it restarted and has no seed",
            Self::Advanced => "another coordinator has advanced the history",
        }
    }
}

/// A manifest in force, with everything that follows from it. Immutable.
pub struct InForce {
    pub(crate) seed: Arc<Seed>,
    pub(crate) challenge_key: ChallengeKey,
    pub(crate) deployment: Deployment,
    pub(crate) authority: Authority,
    /// All of the history, oldest first; the last one is in force.
    pub(crate) steps: Vec<Step>,
    /// The policies of all manifests.
    pub(crate) policies: BTreeMap<PolicyHash, Vec<u8>>,
    pub(crate) latest: Latest,
}

/// Why there is nothing to serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotInForce {
    /// Nothing was set.
    #[error("no manifest is set yet; set one with `privatemode manifest set`")]
    NoManifest,
    /// It has to be recovered.
    #[error("this coordinator must be recovered: {}; it asks its peers by itself, or a share owner recovers it with `privatemode manifest recover`", .reason.text())]
    NeedsRecovery {
        /// Why.
        reason: StaleReason,
    },
}

impl State {
    /// What is in force.
    pub fn in_force(&self) -> Result<&Arc<InForce>, NotInForce> {
        match self {
            Self::InForce(in_force) => Ok(in_force),
            Self::NoState => Err(NotInForce::NoManifest),
            Self::Stale(reason) => Err(NotInForce::NeedsRecovery { reason: *reason }),
        }
    }

    /// In one word, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoState => "no manifest",
            Self::Stale(_) => "stale",
            Self::InForce(_) => "ok",
        }
    }
}

impl InForce {
    /// The manifest in force.
    pub fn manifest(&self) -> &Manifest {
        self.deployment.manifest()
    }

    /// The manifest in force with its policies.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// The certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// All manifests, oldest first.
    pub fn manifests(&self) -> impl Iterator<Item = &[u8]> {
        self.steps.iter().map(|step| step.manifest.as_slice())
    }

    /// The policies of all manifests, in the order of their hashes.
    pub fn all_policies(&self) -> impl Iterator<Item = &[u8]> {
        self.policies.values().map(Vec::as_slice)
    }

    /// How many manifests were in force, this one included.
    pub fn generation(&self) -> usize {
        self.steps.len()
    }

    /// The latest transition, signed.
    pub fn latest(&self) -> &Latest {
        &self.latest
    }

    /// The seed.
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    fn earlier_bytes(&self) -> usize {
        self.steps.iter().map(|step| step.manifest.len()).sum()
    }
}
