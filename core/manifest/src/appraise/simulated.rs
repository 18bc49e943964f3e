//! Simulated evidence: proof of nothing, accepted only in a build, by a switch and by a manifest that all say so.

use privatemode_attest::ReportData;

use super::AppraiseError;
use crate::digest::PolicyHash;
use crate::model::Manifest;
use crate::options::VerifyOptions;

#[cfg(not(feature = "simulated"))]
pub(super) fn appraise(
    _manifest: &Manifest,
    _evidence: &[u8],
    _expected: &ReportData,
    _options: &VerifyOptions,
) -> Result<PolicyHash, AppraiseError> {
    Err(AppraiseError::SimulatedNotBuilt)
}

#[cfg(feature = "simulated")]
pub(super) fn appraise(
    manifest: &Manifest,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
) -> Result<PolicyHash, AppraiseError> {
    use privatemode_attest::EvidenceKind;
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
