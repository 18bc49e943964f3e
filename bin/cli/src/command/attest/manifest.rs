//! `--manifest`: does a deployment's manifest accept the evidence, by which entry, and which of its workloads is it?
//!
//! `privatemode-manifest` decides, as it does for clients and coordinators; this reads the file and fills the verdict. On
//! refusal there is one row for each entry, its first failing step, the entry that came closest first.

use std::path::Path;

use privatemode_attest::ReportData;
use privatemode_manifest::appraise::{
    Appraisal, EntryReport, Refusals, StepReport, Verdict as Found, Workload, snp, tdx,
};
use privatemode_manifest::{AppraiseError, Manifest, Role};

use super::expect::Expectations;
use super::input::{Files, Unusable, wrong_form};
use super::steps::Refused;
use super::verdict::{Judged, JudgedWorkload, Values, Verdict};

/// The step that says of what kind evidence is.
const PLATFORM: (u8, &str) = (1, "platform_allowed");
/// Host data of SEV-SNP and MRCONFIGID of TDX are step 8 of either.
const POLICY: (u8, &str) = (8, "policy");

/// What the flag names, and whom the evidence must be for.
pub(crate) struct Given {
    pub(crate) manifest: Manifest,
    report_data: ReportData,
}

/// Reads the manifest that the flag names, if there is one.
pub(crate) fn read<E>(
    files: &mut Files,
    path: Option<&Path>,
    expectations: &Expectations<E>,
) -> Result<Option<Given>, Unusable> {
    let flag = "--manifest";
    let Some(path) = path else { return Ok(None) };
    // a manifest says what may run, not for whom evidence was made: a replayed report would pass
    let report_data = expectations.bytes("report_data").and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let report_data = report_data.ok_or(Unusable::ManifestWithoutReportData)?;
    let bytes = files.read(flag, path, Manifest::MAX_LEN)?;
    let manifest =
        Manifest::parse(&bytes).map_err(|source| wrong_form(flag, path, "a manifest", &bytes, source))?;
    if !manifest.expected_missing().is_empty() {
        let source = AppraiseError::ReferenceValueMissing { names: manifest.expected_missing().to_vec() };
        return Err(Unusable::Form {
            flag,
            path: path.to_owned(),
            what: "a complete manifest",
            looks_like: None,
            source: Box::new(source),
        });
    }
    Ok(Some(Given { manifest, report_data: ReportData::from(report_data) }))
}

impl Given {
    /// Whom the evidence must be for.
    pub(crate) fn report_data(&self) -> &ReportData {
        &self.report_data
    }

    /// Says what a reader of the manifest should know, whatever the evidence is.
    pub(crate) fn note(&self, verdict: &mut Verdict) {
        let unknown = self.manifest.unknown_members();
        if !unknown.is_empty() {
            verdict
                .warn(format!("manifest: members that this version does not know: {}", unknown.join(", ")));
        }
        let digest = self.manifest.digest().to_string();
        verdict.manifest = Some(Judged { digest, policy: None, workload: None, entries: Vec::new() });
    }

    /// Adds what the manifest makes of the evidence.
    pub(crate) fn judge(&self, verdict: &mut Verdict, appraisal: Appraisal) {
        let Appraisal { entries, policy, workload } = appraisal;
        let named = |verdict: &mut Verdict| verdict.passed(PLATFORM.0, PLATFORM.1, Values::default());
        match &workload {
            Ok(workload) => {
                named(verdict);
                accepted(verdict, &entries);
                verdict.passed(POLICY.0, POLICY.1, workload_values(workload));
            }
            Err(error @ AppraiseError::PolicyNotInManifest { got }) => {
                named(verdict);
                accepted(verdict, &entries);
                let values = Values::default().text("policy_hash", got);
                verdict.failed(POLICY.0, POLICY.1, values, error, NEXT_POLICY);
            }
            Err(AppraiseError::NotAccepted { refusals, .. }) => {
                named(verdict);
                refused(verdict, &entries, refusals);
            }
            Err(error) => verdict.failed(PLATFORM.0, PLATFORM.1, Values::default(), error, NEXT_PLATFORM),
        }
        let digest = self.manifest.digest().to_string();
        let policy = policy.map(|policy| policy.to_string());
        let workload = workload.ok().map(JudgedWorkload::from);
        verdict.manifest = Some(Judged { digest, policy, workload, entries });
    }
}

/// Adds the steps that were not reached, because an SEV-SNP report is not genuine or for somebody else.
pub(crate) fn no_snp_reached(verdict: &mut Verdict) {
    none_reached(verdict, snp::Step::ALL.iter().map(|step| (step.number(), step.name())));
}

/// As [`no_snp_reached`], for a TDX quote.
pub(crate) fn no_tdx_reached(verdict: &mut Verdict) {
    none_reached(verdict, tdx::Step::ALL.iter().map(|step| (step.number(), step.name())));
}

fn none_reached(verdict: &mut Verdict, steps: impl Iterator<Item = (u8, &'static str)>) {
    for (number, name) in std::iter::once(PLATFORM).chain(steps).chain([POLICY]) {
        verdict.not_reached(number, name);
    }
}

/// All steps of the entry that accepts.
fn accepted(verdict: &mut Verdict, entries: &[EntryReport]) {
    let Some(entry) = entries.iter().find(|entry| entry.accepted) else { return };
    for step in &entry.steps {
        let values = values(step);
        match step.verdict {
            Found::Passed => verdict.passed(step.number, step.name, values),
            Found::NotDemanded => verdict.not_compared(step.number, step.name, values),
            Found::NotReached => verdict.not_reached(step.number, step.name),
            // an entry with a failing step does not accept; if one ever did, nothing may pass
            Found::Failed => {
                let error = Refused(entry.reason.clone().unwrap_or_default());
                verdict.failed(step.number, step.name, values, &error, NEXT_ENTRY);
            }
        }
        verdict.of_entry(&entry.label);
    }
}

/// The failing step of each entry.
fn refused(verdict: &mut Verdict, entries: &[EntryReport], refusals: &Refusals) {
    let decides = verdict.refusal.is_none();
    let mut why = Vec::new();
    for refusal in &refusals.0 {
        let entry = entries.iter().find(|entry| entry.entry == refusal.entry);
        let failed = entry.and_then(|entry| entry.steps.iter().find(|step| step.verdict == Found::Failed));
        let text = refusal.refusal.to_string();
        why.push(format!("{}: {text}", refusal.label));
        // a refusal without its step still refuses
        let (number, name) = failed.map_or(PLATFORM, |step| (step.number, step.name));
        verdict.failed(number, name, failed.map(values).unwrap_or_default(), &Refused(text), NEXT_ENTRY);
        verdict.of_entry(&refusal.label);
    }
    if let Some(refusal) = verdict.refusal.as_mut().filter(|_| decides) {
        refusal.why = why;
    }
}

fn values(step: &StepReport) -> Values {
    step.values.iter().fold(Values::default(), |values, (name, value)| values.text(name, value))
}

fn workload_values(Workload { policy_hash, entry, .. }: &Workload) -> Values {
    Values::default()
        .text("policy_hash", policy_hash)
        .text("role", role(entry.role))
        .list("sans", &entry.sans)
        .optional(entry.workload_secret_id.as_deref(), |values, id| values.text("workload_secret_id", id))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Workload => "workload",
        Role::Coordinator => "coordinator",
    }
}

impl From<Workload> for JudgedWorkload {
    fn from(Workload { entry, .. }: Workload) -> Self {
        Self { role: role(entry.role), sans: entry.sans, workload_secret_id: entry.workload_secret_id }
    }
}

const NEXT_ENTRY: &str = "the evidence is genuine and was made for you, but the manifest does not accept it: find out which of the \
                          two is wrong before you trust it";
const NEXT_POLICY: &str = "start a workload that is in the manifest, or give the manifest that has this one";
const NEXT_PLATFORM: &str = "give the manifest of a deployment that runs on this platform";
