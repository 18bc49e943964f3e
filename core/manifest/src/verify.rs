//! Does this attestation document prove the deployment that we expect? The client's whole trust decision, in order.
//!
//! Does not fetch anything. Specification: `protocol.md` §8.

use privatemode_attest::mesh::{LeafError, MeshCa, MeshCaError};
use privatemode_attest::{EvidenceKind, SimulatedAllowed, UnixTime};
use thiserror::Error;

use crate::appraise::{self, AppraiseError};
use crate::digest::{ManifestDigest, PolicyHash};
use crate::document::AttestationDocument;
use crate::history;
use crate::model::{Manifest, Role};

/// The platform that protects a deployment: the kind of its coordinator's evidence.
pub type Platform = EvidenceKind;

/// Tolerances. The default tolerates nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyOptions {
    /// Accept simulated evidence, if the manifest names it as well.
    pub simulated: Option<SimulatedAllowed>,
}

/// A deployment that was verified. Only [`verify_deployment`] makes one; the mesh CA cannot be had without it.
#[derive(Debug, Clone)]
pub struct VerifiedDeployment {
    manifest_digest: ManifestDigest,
    platform: Platform,
    coordinator_policy: PolicyHash,
    mesh_ca: MeshCa,
    root_ca: MeshCa,
}

/// Why a deployment is not trusted: one variant for each step of [`verify_deployment`].
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
    /// Step 4: the document does not say what kind of evidence it has.
    #[error(
        "cannot trust this deployment: its coordinator does not say what kind of evidence it sends, it is too old for this version"
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
    /// Step 6: evidence that this version cannot verify.
    #[error(
        "cannot trust this deployment: this version cannot verify {kind} evidence yet; use a newer version"
    )]
    PlatformNotSupported {
        /// Kind of the evidence.
        kind: EvidenceKind,
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

/// Verifies that `document` answers `nonce` for a deployment that enforces exactly `expected`. Cheapest checks first; the
/// mesh CA is taken only when everything that vouches for it has been checked.
pub fn verify_deployment(
    document: &AttestationDocument,
    nonce: &[u8; 32],
    expected: &Manifest,
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<VerifiedDeployment, VerifyError> {
    // step 1: something is in force
    let in_force = document.manifests.last().ok_or(VerifyError::HistoryEmpty)?;
    let transition = history::transition(&document.manifests).ok_or(VerifyError::HistoryEmpty)?;
    // step 2: byte for byte what we expect; from here on only `expected` is read, never what was sent
    if in_force != expected.raw() {
        return Err(VerifyError::ManifestChanged {
            expected: expected.digest(),
            got: ManifestDigest::of(in_force),
        });
    }
    // step 3: nobody else was in charge before; an earlier manifest could have handed out the same root
    if expected.is_immutable() && document.manifests.len() != 1 {
        return Err(VerifyError::HistoryNotSingle { entries: document.manifests.len() });
    }
    // step 4: evidence of a known kind; guessing it from the bytes would let the sender choose the check
    let kind = document.attestation_type.ok_or(VerifyError::EvidenceKindMissing)?;
    // step 5: the policies are those that the manifest hashes
    check_policies(document, expected)?;
    // steps 6 and 7: the platform is allowed, the evidence genuine and bound to nonce, history and both CAs
    let bound = history::report_data(nonce, &transition, &document.root_ca, &document.mesh_ca);
    let policy = appraise::evidence(expected, kind, &document.raw_attestation_doc, &bound, options, now)?;
    // step 8: what answered is a coordinator; any other workload has genuine evidence, too
    if expected.policy(&policy).is_none_or(|entry| entry.role != Role::Coordinator) {
        return Err(VerifyError::HostDataNotCoordinator { got: policy });
    }
    // step 9: only now the CAs, whose bytes step 7 bound
    let root_ca = MeshCa::parse_pem(&document.root_ca).map_err(|source| VerifyError::RootCa { source })?;
    let mesh_ca = MeshCa::parse_pem(&document.mesh_ca).map_err(|source| VerifyError::MeshCa { source })?;
    mesh_ca.check_validity(now).map_err(|source| VerifyError::MeshCaValidity { source })?;
    Ok(VerifiedDeployment {
        manifest_digest: expected.digest(),
        platform: kind,
        coordinator_policy: policy,
        mesh_ca,
        root_ca,
    })
}

/// Every policy of the manifest must have been sent, so that what runs can be reviewed. One that the manifest does not name
/// is refused too, unless there were earlier manifests that it may belong to; it gives nobody a right either way.
fn check_policies(document: &AttestationDocument, expected: &Manifest) -> Result<(), VerifyError> {
    let sent: Vec<PolicyHash> = document.policies.iter().map(|policy| PolicyHash::of(policy)).collect();
    let foreign = sent.iter().find(|hash| expected.policy(hash).is_none());
    if let (Some(&got), 1) = (foreign, document.manifests.len()) {
        return Err(VerifyError::PolicyMismatch { got });
    }
    match expected.policies().find(|(hash, _)| !sent.contains(hash)) {
        Some((&missing, _)) => Err(VerifyError::PolicyMissing { missing }),
        None => Ok(()),
    }
}

impl VerifiedDeployment {
    /// The attested mesh CA.
    pub fn mesh_ca(&self) -> &MeshCa {
        &self.mesh_ca
    }

    /// The attested mesh CA as PEM.
    pub fn mesh_ca_pem(&self) -> &str {
        self.mesh_ca.pem()
    }

    /// The attested root CA as PEM.
    pub fn root_ca_pem(&self) -> &str {
        self.root_ca.pem()
    }

    /// Digest of the manifest that is enforced.
    pub fn manifest_digest(&self) -> ManifestDigest {
        self.manifest_digest
    }

    /// The platform that protects the coordinator.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The coordinator's policy.
    pub fn coordinator_policy(&self) -> PolicyHash {
        self.coordinator_policy
    }

    /// Whether no hardware protects it.
    pub fn simulated(&self) -> bool {
        self.platform == EvidenceKind::Simulated
    }
}

impl From<AppraiseError> for VerifyError {
    fn from(error: AppraiseError) -> Self {
        match error {
            AppraiseError::PlatformNotInManifest { kind } => Self::PlatformNotInManifest { kind },
            AppraiseError::ReferenceValueMissing { names } => Self::ReferenceValueMissing { names },
            AppraiseError::PlatformNotSupported { kind } => Self::PlatformNotSupported { kind },
            AppraiseError::SimulatedNotBuilt => Self::SimulatedNotBuilt,
            AppraiseError::SimulatedNotAllowed => Self::SimulatedNotAllowed,
            AppraiseError::ReportDataMismatch => Self::ReportDataMismatch,
            AppraiseError::Evidence { kind, source } => Self::Evidence { kind, source },
            AppraiseError::HostDataNotAllowed { got } => Self::HostDataNotAllowed { got },
            AppraiseError::PolicyNotInManifest { got } => Self::HostDataNotCoordinator { got },
        }
    }
}

#[cfg(test)]
mod tests;
