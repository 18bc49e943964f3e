//! Genuine evidence and a manifest in; which workload it is, or why not, out.
//!
//! Both appraisals, of a coordinator by a client and of a workload by a coordinator, go through one function, so that there
//! is one list of steps: decode, genuine, bound to what we asked, accepted by an entry of the manifest, and which policy.

mod entries;
mod error;
mod evidence;
mod simulated;
pub mod snp;
mod step;
pub mod tdx;

use privatemode_attest::{EvidenceKind, ReportData, UnixTime};

pub use entries::{Appraisal, EntryReport, appraise_snp, appraise_tdx};
pub use error::{AppraiseError, EntryRefusal, Refusal, Refusals};
pub use evidence::EvidenceReport;
pub(crate) use step::chain;
pub use step::{StepReport, Values, Verdict};

use crate::digest::PolicyHash;
use crate::model::{Manifest, PolicyEntry};
use crate::options::VerifyOptions;

/// A workload whose evidence the manifest accepts. Only an appraisal makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// The policy that it was started with.
    pub policy_hash: PolicyHash,
    /// What the manifest says of it.
    pub entry: PolicyEntry,
}

impl Workload {
    fn of(manifest: &Manifest, policy_hash: PolicyHash) -> Result<Self, AppraiseError> {
        let entry =
            manifest.policy(&policy_hash).ok_or(AppraiseError::PolicyNotInManifest { got: policy_hash })?;
        Ok(Self { policy_hash, entry: entry.clone() })
    }
}

/// Appraises the evidence of a workload that wants to join: which entry of the manifest is it?
///
/// # Errors
/// [`AppraiseError`].
pub fn appraise_workload(
    manifest: &Manifest,
    kind: EvidenceKind,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<Workload, AppraiseError> {
    appraise_workload_report(manifest, kind, evidence, expected, options, now).1
}

/// As [`appraise_workload`], with what each step found, up to the first that failed.
pub fn appraise_workload_report(
    manifest: &Manifest,
    kind: EvidenceKind,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    now: UnixTime,
) -> (EvidenceReport, Result<Workload, AppraiseError>) {
    let mut report = EvidenceReport::new(kind, options);
    let policy = self::evidence(manifest, kind, evidence, expected, options, now, &mut report);
    let workload = policy.and_then(|policy_hash| Workload::of(manifest, policy_hash));
    (report, workload)
}

/// Verifies evidence, and holds it against the manifest's reference values. Returns the policy hash that it measured; what
/// that policy may do is the caller's question.
pub(crate) fn evidence(
    manifest: &Manifest,
    kind: EvidenceKind,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    now: UnixTime,
    report: &mut EvidenceReport,
) -> Result<PolicyHash, AppraiseError> {
    demand_complete(manifest, kind)?;
    // genuine, made for us, and allowed by the reference values
    let policy = match kind {
        EvidenceKind::Snp => self::evidence::snp(manifest, evidence, expected, options, now, report),
        EvidenceKind::Tdx => self::evidence::tdx(manifest, evidence, expected, options, now, report),
        EvidenceKind::Simulated => simulated::appraise(manifest, evidence, expected, options),
    }?;
    report.policy = Some(policy.to_string());
    Ok(policy)
}

/// The manifest says all that it must about this kind of evidence.
fn demand_complete(manifest: &Manifest, kind: EvidenceKind) -> Result<(), AppraiseError> {
    // a platform that the manifest names
    if !manifest.names_platform(kind) {
        return Err(AppraiseError::PlatformNotInManifest { kind });
    }
    // no reference value that would be "skip" because it is absent
    if !manifest.expected_missing().is_empty() {
        return Err(AppraiseError::ReferenceValueMissing { names: manifest.expected_missing().to_vec() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
