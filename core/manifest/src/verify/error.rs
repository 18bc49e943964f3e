//! Why a deployment is not trusted.

use privatemode_attest::mesh::{LeafError, MeshCaError};
use privatemode_attest::{EvidenceKind, UnixTime};
use thiserror::Error;

use super::report::Step;
use crate::appraise::{AppraiseError, Refusals};
use crate::digest::{ManifestDigest, PolicyHash};
use crate::reference::SnpProduct;

/// Why a deployment is not trusted: one variant for each way in which a step fails.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Step 1: no manifest at all.
    #[error("cannot trust this deployment: it enforces no manifest")]
    HistoryEmpty,
    /// Step 2: another manifest than the expected one.
    #[error(
        "cannot trust this deployment: it enforces another manifest than the expected one (expected {expected}, got {got}). If it was updated, review the new manifest, then expect that one"
    )]
    ManifestChanged {
        /// Digest of the expected manifest.
        expected: ManifestDigest,
        /// Digest of the manifest in force.
        got: ManifestDigest,
    },
    /// Step 3: an immutable deployment that had other manifests before.
    #[error(
        "cannot trust this deployment: its manifest allows no updates, and yet {entries} manifests were in force; an earlier one may have let in others. The operator must set it up anew"
    )]
    HistoryNotSingle {
        /// Length of the history.
        entries: usize,
    },
    /// Step 4: the document does not say what kind of evidence it has, and nothing else does.
    #[error(
        "cannot trust this deployment: its coordinator does not say what kind of evidence it sends, and it is none of the kinds that the manifest names"
    )]
    EvidenceKindMissing,
    /// Step 5: a policy that the manifest does not name.
    #[error(
        "cannot trust this deployment: policy {got} was sent with its attestation, but the manifest does not name it"
    )]
    PolicyMismatch {
        /// Hash of the policy.
        got: PolicyHash,
    },
    /// Step 5: a policy of the manifest was not sent.
    #[error(
        "cannot trust this deployment: the text of policy {missing}, which the manifest names, was not sent, so nobody can review what runs"
    )]
    PolicyMissing {
        /// Hash of the policy.
        missing: PolicyHash,
    },
    /// Step 6: the evidence is of a platform that the manifest does not name.
    #[error(
        "cannot trust this deployment: its evidence is {kind}, for which the manifest has no reference values"
    )]
    PlatformNotInManifest {
        /// Kind of the evidence.
        kind: EvidenceKind,
    },
    /// Step 6: the manifest is incomplete.
    #[error("cannot trust this deployment: the manifest lacks required reference values: {}. Fill them in; without them nothing can be checked", .names.join(", "))]
    ReferenceValueMissing {
        /// Paths in the manifest.
        names: Vec<String>,
    },
    /// Step 6: simulated, and the build refuses that.
    #[error(
        "cannot trust this deployment: it is SIMULATED, protected by no hardware, and this build refuses that in any case; connect to a real deployment, or use a development build"
    )]
    SimulatedNotBuilt,
    /// Step 6: simulated, and nobody asked for it.
    #[error(
        "cannot trust this deployment: it is SIMULATED, protected by no hardware; for development only, it can be accepted with --danger-simulated"
    )]
    SimulatedNotAllowed,
    /// No entry is for its processor; nobody was asked about it.
    #[error(
        "cannot trust this deployment: its evidence is of a {got} processor, and no reference value of the manifest is for one"
    )]
    ProductNotInManifest {
        /// The report's product line.
        got: SnpProduct,
    },
    /// Step 7: what the vendor publishes is not at hand.
    #[error(
        "cannot verify this deployment: its {kind} evidence does not bring {what}, and it was not fetched either. Let it be fetched from the vendor, or give a bundle that has it"
    )]
    CollateralMissing {
        /// Kind of the evidence.
        kind: EvidenceKind,
        /// What is missing.
        what: &'static str,
    },
    /// Step 7: nothing is known about revocations.
    #[error(
        "cannot trust this deployment: nobody gave AMD's revocation list, so that a revoked key would count. Let it be fetched from kdsintf.amd.com, or give a bundle that has it"
    )]
    RevocationListMissing,
    /// Step 7: the revocation list is too old.
    #[error(
        "cannot trust this deployment: the revocation list was to be renewed on {next_update}: fetch a new one, or allow a grace (now {grace} s)"
    )]
    RevocationListStale {
        /// When the next one was due.
        next_update: UnixTime,
        /// What was allowed beyond, in seconds.
        grace: u64,
    },
    /// Step 7: the evidence does not bind this nonce, history, root CA and mesh CA.
    #[error(
        "cannot trust this deployment: its evidence was made for another nonce, history or CA than was sent: the answer is replayed, or something was exchanged on the way. Try again; if it persists, somebody in between is at work"
    )]
    ReportDataMismatch,
    /// Step 7: the evidence is not genuine.
    #[error("cannot trust this deployment: its {kind} evidence is not genuine")]
    Evidence {
        /// Kind of the evidence.
        kind: EvidenceKind,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Step 7: genuine, and something else than the manifest wants.
    #[error(
        "cannot trust this deployment: its {kind} evidence is genuine, but no reference value of the manifest accepts it: {refusals}"
    )]
    NotAccepted {
        /// Kind of the evidence.
        kind: EvidenceKind,
        /// Why each entry does not, the entry that came closest first.
        refusals: Refusals,
    },
    /// Step 7: the reference values do not allow it.
    #[error(
        "cannot trust this deployment: its evidence claims policy {got}, which the manifest's reference values do not allow"
    )]
    HostDataNotAllowed {
        /// The policy hash in the evidence.
        got: PolicyHash,
    },
    /// Step 8: the evidence is of something that is no coordinator.
    #[error(
        "cannot trust this deployment: what answered runs policy {got}, which the manifest does not make a coordinator"
    )]
    HostDataNotCoordinator {
        /// The policy hash in the evidence.
        got: PolicyHash,
    },
    /// Step 9: the root CA is none.
    #[error("cannot trust this deployment: its root CA is unusable")]
    RootCa {
        /// Why.
        source: MeshCaError,
    },
    /// Step 9: the mesh CA is none.
    #[error("cannot trust this deployment: its mesh CA is unusable")]
    MeshCa {
        /// Why.
        source: MeshCaError,
    },
    /// Step 9: the mesh CA is not valid now.
    #[error("cannot trust this deployment: its mesh CA is not valid now")]
    MeshCaValidity {
        /// Why.
        source: LeafError,
    },
}

impl VerifyError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::HistoryEmpty => Step::History,
            Self::ManifestChanged { .. } => Step::Manifest,
            Self::HistoryNotSingle { .. } => Step::Single,
            Self::EvidenceKindMissing => Step::EvidenceKind,
            Self::PolicyMismatch { .. } | Self::PolicyMissing { .. } => Step::Policies,
            Self::PlatformNotInManifest { .. }
            | Self::ReferenceValueMissing { .. }
            | Self::SimulatedNotBuilt
            | Self::SimulatedNotAllowed
            | Self::ProductNotInManifest { .. } => Step::Platform,
            Self::CollateralMissing { .. }
            | Self::RevocationListMissing
            | Self::RevocationListStale { .. }
            | Self::ReportDataMismatch
            | Self::Evidence { .. }
            | Self::NotAccepted { .. }
            | Self::HostDataNotAllowed { .. } => Step::Evidence,
            Self::HostDataNotCoordinator { .. } => Step::Coordinator,
            Self::RootCa { .. } | Self::MeshCa { .. } | Self::MeshCaValidity { .. } => Step::Authorities,
        }
    }
}

impl From<AppraiseError> for VerifyError {
    fn from(error: AppraiseError) -> Self {
        match error {
            AppraiseError::PlatformNotInManifest { kind } => Self::PlatformNotInManifest { kind },
            AppraiseError::ReferenceValueMissing { names } => Self::ReferenceValueMissing { names },
            AppraiseError::SimulatedNotBuilt => Self::SimulatedNotBuilt,
            AppraiseError::SimulatedNotAllowed => Self::SimulatedNotAllowed,
            AppraiseError::ProductNotInManifest { got } => Self::ProductNotInManifest { got },
            AppraiseError::CollateralMissing { kind, what } => Self::CollateralMissing { kind, what },
            AppraiseError::RevocationListMissing => Self::RevocationListMissing,
            AppraiseError::RevocationListStale { next_update, grace } => {
                Self::RevocationListStale { next_update, grace }
            }
            AppraiseError::NotAccepted { kind, refusals } => Self::NotAccepted { kind, refusals },
            AppraiseError::ReportDataMismatch => Self::ReportDataMismatch,
            AppraiseError::Evidence { kind, source } => Self::Evidence { kind, source },
            AppraiseError::HostDataNotAllowed { got } => Self::HostDataNotAllowed { got },
            AppraiseError::PolicyNotInManifest { got } => Self::HostDataNotCoordinator { got },
        }
    }
}
