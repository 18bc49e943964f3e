//! Genuine evidence and a manifest in; which workload it is, or why not, out.
//!
//! Both appraisals, of a coordinator by a client and of a workload by a coordinator, go through one function, so that there
//! is one list of steps. SNP and TDX are refused with a name of their own until their verification is there.

use privatemode_attest::{EvidenceKind, ReportData, UnixTime};
use thiserror::Error;

use crate::digest::PolicyHash;
use crate::model::{Manifest, PolicyEntry};
use crate::verify::VerifyOptions;

/// A workload whose evidence the manifest accepts. Only [`appraise_workload`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// The policy that it was started with.
    pub policy_hash: PolicyHash,
    /// What the manifest says of it.
    pub entry: PolicyEntry,
}

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
    /// This version cannot verify this kind of evidence.
    #[error("this version cannot verify {kind} evidence yet, and so trusts none; use a newer version")]
    PlatformNotSupported {
        /// Kind of the evidence.
        kind: EvidenceKind,
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

/// Appraises the evidence of a workload that wants to join: which entry of the manifest is it?
pub fn appraise_workload(
    manifest: &Manifest,
    kind: EvidenceKind,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<Workload, AppraiseError> {
    let policy_hash = self::evidence(manifest, kind, evidence, expected, options, now)?;
    let entry =
        manifest.policy(&policy_hash).ok_or(AppraiseError::PolicyNotInManifest { got: policy_hash })?;
    Ok(Workload { policy_hash, entry: entry.clone() })
}

/// Verifies evidence, and holds it against the manifest's reference values. Returns the policy hash that it measured; what
/// that policy may do is the caller's question.
pub(crate) fn evidence(
    manifest: &Manifest,
    kind: EvidenceKind,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    _now: UnixTime,
) -> Result<PolicyHash, AppraiseError> {
    // step 1: a platform that the manifest names
    if !manifest.names_platform(kind) {
        return Err(AppraiseError::PlatformNotInManifest { kind });
    }
    // step 2: no reference value that would be "skip" because it is absent
    if !manifest.expected_missing().is_empty() {
        return Err(AppraiseError::ReferenceValueMissing { names: manifest.expected_missing().to_vec() });
    }
    // step 3: genuine, and made for us; step 4: allowed by the reference values
    match kind {
        EvidenceKind::Snp | EvidenceKind::Tdx => Err(AppraiseError::PlatformNotSupported { kind }),
        EvidenceKind::Simulated => simulated(manifest, evidence, expected, options),
    }
}

#[cfg(not(feature = "simulated"))]
fn simulated(
    _manifest: &Manifest,
    _evidence: &[u8],
    _expected: &ReportData,
    _options: &VerifyOptions,
) -> Result<PolicyHash, AppraiseError> {
    Err(AppraiseError::SimulatedNotBuilt)
}

#[cfg(feature = "simulated")]
fn simulated(
    manifest: &Manifest,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
) -> Result<PolicyHash, AppraiseError> {
    use privatemode_attest::simulated::{EvidenceError, parse_and_verify};

    let switch = options.simulated.ok_or(AppraiseError::SimulatedNotAllowed)?;
    let report = parse_and_verify(evidence, expected, switch).map_err(|error| match error {
        EvidenceError::ReportDataMismatch => AppraiseError::ReportDataMismatch,
        other => AppraiseError::Evidence { kind: EvidenceKind::Simulated, source: Box::new(other) },
    })?;
    let references = &manifest.reference_values().simulated;
    if !references.iter().any(|reference| reference.host_data.as_ref() == Some(report.host_data())) {
        return Err(AppraiseError::HostDataNotAllowed { got: PolicyHash::from(*report.host_data()) });
    }
    Ok(PolicyHash::from(*report.host_data()))
}

#[cfg(test)]
mod tests;
