//! Why evidence is not acceptable.

use std::fmt;

use privatemode_attest::{EvidenceKind, UnixTime};
use thiserror::Error;

use super::snp::SnpRefusal;
use super::tdx::TdxRefusal;
use crate::digest::PolicyHash;
use crate::reference::SnpProduct;

/// Entries that a message names; the report has all of them.
const SHOWN: usize = 8;

/// Why evidence is not acceptable under a manifest.
#[derive(Debug, Error)]
pub enum AppraiseError {
    /// The manifest has no reference values for this kind of evidence.
    #[error(
        "the evidence is {kind}, but the manifest has no reference values for it: the workload runs on another platform than the manifest allows"
    )]
    PlatformNotInManifest {
        /// Kind of the evidence.
        kind: EvidenceKind,
    },
    /// The manifest is incomplete.
    #[error("the manifest lacks required reference values: {}. Fill them in; without them nothing can be checked", .names.join(", "))]
    ReferenceValueMissing {
        /// Paths in the manifest.
        names: Vec<String>,
    },
    /// The build cannot accept simulated evidence.
    #[error(
        "the deployment is SIMULATED, protected by no hardware, and this build refuses that in any case; connect to a real deployment, or use a development build"
    )]
    SimulatedNotBuilt,
    /// Nobody asked to accept simulated evidence.
    #[error(
        "the deployment is SIMULATED, protected by no hardware; for development only, it can be accepted with --danger-simulated"
    )]
    SimulatedNotAllowed,
    /// Said where its certificate was not even asked for: the vendor need not learn of machines that are refused anyway.
    #[error("the evidence is of a {got} processor, and no reference value of the manifest is for one")]
    ProductNotInManifest {
        /// The report's product line.
        got: SnpProduct,
    },
    /// What the vendor publishes is not at hand.
    #[error(
        "the {kind} evidence does not bring {what}, and it was not fetched either; fetch it from the vendor, or give a bundle that has it"
    )]
    CollateralMissing {
        /// Kind of the evidence.
        kind: EvidenceKind,
        /// What is missing.
        what: &'static str,
    },
    /// Nothing is known about revocations.
    #[error(
        "nobody gave AMD's revocation list, so that a revoked key would count; fetch it from kdsintf.amd.com, or give a bundle that has it"
    )]
    RevocationListMissing,
    /// The revocation list is too old.
    #[error(
        "the revocation list was to be renewed on {next_update}: fetch a new one, or allow a grace (now {grace} s)"
    )]
    RevocationListStale {
        /// When the next one was due.
        next_update: UnixTime,
        /// What was allowed beyond, in seconds.
        grace: u64,
    },
    /// The evidence was made for something else.
    #[error(
        "the evidence was made for another nonce, manifest, key or CA than these: it is replayed, or something was exchanged on the way. Try again; if it persists, somebody in between is at work"
    )]
    ReportDataMismatch,
    /// The evidence is not genuine.
    #[error("the {kind} evidence is not genuine")]
    Evidence {
        /// Kind of the evidence.
        kind: EvidenceKind,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Genuine, and something else than the manifest wants.
    #[error("the {kind} evidence is genuine, but no reference value accepts it: {refusals}")]
    NotAccepted {
        /// Kind of the evidence.
        kind: EvidenceKind,
        /// Why each entry does not, the entry that came closest first.
        refusals: Refusals,
    },
    /// The platform's reference values do not list the host data.
    #[error("the evidence claims policy {got}, which the manifest's reference values do not allow")]
    HostDataNotAllowed {
        /// The policy hash in the evidence.
        got: PolicyHash,
    },
    /// The workload is not in the manifest.
    #[error(
        "the evidence is of policy {got}, which is not in the manifest: this workload does not belong to the deployment. Add it to the manifest, or start the right one"
    )]
    PolicyNotInManifest {
        /// The policy hash in the evidence.
        got: PolicyHash,
    },
}

/// The refusals of all entries of a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals(pub Vec<EntryRefusal>);

/// One entry's refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRefusal {
    /// Place in the manifest's list, from 0.
    pub entry: usize,
    /// What to call it: `Genoa entry 2`.
    pub label: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why an entry refuses.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Of AMD SEV-SNP.
    #[error(transparent)]
    Snp(SnpRefusal),
    /// Of Intel TDX.
    #[error(transparent)]
    Tdx(TdxRefusal),
}

impl Refusals {
    /// Puts the entry that came closest first: it is most likely the one that was meant.
    pub(super) fn closest_first(mut refusals: Vec<EntryRefusal>) -> Self {
        refusals.sort_by_key(|refusal| std::cmp::Reverse(refusal.refusal.place()));
        Self(refusals)
    }
}

impl Refusal {
    /// Steps that were passed.
    fn place(&self) -> Option<usize> {
        match self {
            Self::Snp(refusal) => super::snp::Step::ALL.iter().position(|step| *step == refusal.step()),
            Self::Tdx(refusal) => super::tdx::Step::ALL.iter().position(|step| *step == refusal.step()),
        }
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, EntryRefusal { label, refusal, .. }) in self.0.iter().take(SHOWN).enumerate() {
            let between = if place == 0 { "" } else { "; " };
            write!(f, "{between}{label}: {refusal}")?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
