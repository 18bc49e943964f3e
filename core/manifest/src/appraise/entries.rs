//! Evidence that was verified elsewhere, held against the entries of a manifest: one that accepts suffices.
//!
//! Takes only [`Verified`] evidence, genuine and made for the asker: under a replayed report all of this would hold as well.

use privatemode_attest::{EvidenceKind, Verified, snp as amd, tdx as intel};

use super::error::{AppraiseError, EntryRefusal, Refusal, Refusals};
use super::step::StepReport;
use super::{Workload, demand_complete, snp as snp_steps, tdx as tdx_steps};
use crate::digest::PolicyHash;
use crate::model::Manifest;

/// How an entry of the manifest judged the evidence.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EntryReport {
    /// Place in the manifest's list, from 0.
    pub entry: usize,
    /// What to call it: `Genoa entry 2`.
    pub label: String,
    /// Whether it accepts the evidence.
    pub accepted: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Its steps.
    pub steps: Vec<StepReport>,
}

/// What a manifest makes of verified evidence.
#[derive(Debug)]
#[must_use]
pub struct Appraisal {
    /// How each entry judged it, in their order, up to the first that accepts it.
    pub entries: Vec<EntryReport>,
    /// The policy hash that was measured, if an entry accepts the evidence.
    pub policy: Option<PolicyHash>,
    /// Which workload it is.
    pub workload: Result<Workload, AppraiseError>,
}

/// Holds an SEV-SNP report against the manifest: `attestation.md` §3, steps 7 to 15, and 2 to 4 as far as the manifest
/// decides them.
pub fn appraise_snp(manifest: &Manifest, evidence: &Verified<amd::Evidence>) -> Appraisal {
    appraisal(manifest, EvidenceKind::Snp, |entries| snp(manifest, evidence, entries))
}

/// Holds a TDX quote against the manifest: `attestation.md` §4, steps 8 and 9, and 2 and 7 as far as the manifest decides
/// them. [`tdx::tolerance`](super::tdx::tolerance) is what its verification should have tolerated; each entry judges again.
pub fn appraise_tdx(manifest: &Manifest, evidence: &Verified<intel::Evidence>) -> Appraisal {
    appraisal(manifest, EvidenceKind::Tdx, |entries| tdx(manifest, evidence, entries))
}

fn appraisal(
    manifest: &Manifest,
    kind: EvidenceKind,
    judge: impl FnOnce(&mut Vec<EntryReport>) -> Result<PolicyHash, AppraiseError>,
) -> Appraisal {
    let mut entries = Vec::new();
    match demand_complete(manifest, kind).and_then(|()| judge(&mut entries)) {
        Ok(policy) => Appraisal { entries, policy: Some(policy), workload: Workload::of(manifest, policy) },
        Err(error) => Appraisal { entries, policy: None, workload: Err(error) },
    }
}

/// Steps 2 to 4 as the manifest has them, 7, and 9 to 15 of SEV-SNP. What is returned is step 8's: host data is the policy
/// hash; which policy may do what is the caller's question.
pub(super) fn snp(
    manifest: &Manifest,
    evidence: &Verified<amd::Evidence>,
    reports: &mut Vec<EntryReport>,
) -> Result<PolicyHash, AppraiseError> {
    let entries = &manifest.reference_values().snp;
    accept(entries, EvidenceKind::Snp, reports, |place, entry| {
        let product = entry.product_name.map_or("", amd::Product::name);
        let (steps, refusal) = snp_steps::appraise(evidence, entry);
        (label(product, place), steps, refusal.map(Refusal::Snp))
    })?;
    Ok(PolicyHash::from(evidence.report.host_data))
}

/// Steps 2 and 7 as the manifest has them, 8 and 9 of TDX. Returns the policy hash.
pub(super) fn tdx(
    manifest: &Manifest,
    evidence: &Verified<intel::Evidence>,
    reports: &mut Vec<EntryReport>,
) -> Result<PolicyHash, AppraiseError> {
    let entries = &manifest.reference_values().tdx;
    let kind = EvidenceKind::Tdx;
    accept(entries, kind, reports, |place, entry| {
        let (steps, refusal) = tdx_steps::appraise(evidence, entry);
        (label("TDX", place), steps, refusal.map(Refusal::Tdx))
    })?;
    // step 8: MRCONFIGID is policy hash and zeros: each entry demands that
    let policy = tdx_steps::policy_hash(&evidence.body.mr_config_id).ok_or_else(|| {
        let got = Box::new(evidence.body.mr_config_id);
        AppraiseError::Evidence { kind, source: Box::new(tdx_steps::TdxRefusal::ConfigId { got }) }
    })?;
    Ok(PolicyHash::from(policy))
}

/// Tries the entries in order; the first that accepts suffices.
fn accept<R>(
    entries: &[R],
    kind: EvidenceKind,
    reports: &mut Vec<EntryReport>,
    judge: impl Fn(usize, &R) -> (String, Vec<StepReport>, Option<Refusal>),
) -> Result<(), AppraiseError> {
    let mut refusals = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let (label, steps, refusal) = judge(place, entry);
        let reason = refusal.as_ref().map(Refusal::to_string);
        reports.push(EntryReport {
            entry: place,
            label: label.clone(),
            accepted: refusal.is_none(),
            reason,
            steps,
        });
        match refusal {
            None => return Ok(()),
            Some(refusal) => refusals.push(EntryRefusal { entry: place, label, refusal }),
        }
    }
    Err(AppraiseError::NotAccepted { kind, refusals: Refusals::closest_first(refusals) })
}

/// As people count.
fn label(platform: &str, place: usize) -> String {
    format!("{platform} entry {}", place.saturating_add(1))
}
