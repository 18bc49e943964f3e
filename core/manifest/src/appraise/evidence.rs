//! From evidence as it travels to the policy hash that genuine, accepted hardware measured.

use std::error::Error;

use privatemode_attest::encoding::{sevsnp, tdx as tdx_encoding};
use privatemode_attest::snp::{CrlState, Endorsement, Report, Signer};
use privatemode_attest::tdx::{Freshness, Grace, Quote};
use privatemode_attest::x509::Crl;
use privatemode_attest::{EvidenceKind, ReportData, UnixTime, snp as amd, tdx as intel};

use super::entries::{self, EntryReport};
use super::error::AppraiseError;
use super::step::{StepReport, Values, Verdict, passed_until};
use super::tdx as tdx_steps;
use crate::digest::PolicyHash;
use crate::model::Manifest;
use crate::needs::unnamed_product;
use crate::options::{SnpCollateral, VerifyOptions};

/// What was found out about evidence, step by step; for people and for machines, never for decisions.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct EvidenceReport {
    /// Kind of the evidence: `snp`, `tdx` or `simulated`.
    pub kind: &'static str,
    /// Whether the vendors' own roots were the measure. If not, nothing here says anything about hardware.
    pub production_roots: bool,
    /// The steps that decide whether it is genuine, and whether it was made for us.
    pub genuine: Vec<StepReport>,
    /// How each entry of the manifest judged it, in their order, up to the first that accepts it.
    pub entries: Vec<EntryReport>,
    /// The policy hash that was measured, if an entry accepted the evidence.
    pub policy: Option<String>,
    /// What was tolerated, or is worth knowing.
    pub notes: Vec<String>,
}

impl EvidenceReport {
    pub(crate) fn new(kind: EvidenceKind, options: &VerifyOptions) -> Self {
        Self {
            kind: kind.name(),
            production_roots: options.roots.is_production(),
            genuine: Vec::new(),
            entries: Vec::new(),
            policy: None,
            notes: Vec::new(),
        }
    }

    fn bound(&mut self, number: u8, verdict: Verdict, expected: &ReportData) {
        let values = Values::default().with("expected", hex::encode(expected.as_bytes()));
        self.genuine.push(StepReport::new((number, "report_data"), verdict, values));
    }

    fn snp(&mut self, failed: Option<(amd::Step, &dyn Error)>) {
        self.genuine = passed_until(amd::Step::ALL, |step| (step.number(), step.name()), failed);
    }

    fn tdx(&mut self, failed: Option<(intel::Step, &dyn Error)>) {
        self.genuine = passed_until(intel::Step::ALL, |step| (step.number(), step.name()), failed);
    }
}

/// AMD SEV-SNP, `attestation.md` §3.
pub(super) fn snp(
    manifest: &Manifest,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    now: UnixTime,
    report: &mut EvidenceReport,
) -> Result<PolicyHash, AppraiseError> {
    // steps 1 to 5: genuine
    let genuine = snp_genuine(manifest, evidence, options, now).inspect_err(|failed| {
        report.snp(Some((failed.step, failed.shown())));
        report.bound(6, Verdict::NotReached, expected);
    });
    let genuine = genuine.map_err(|failed| failed.error)?;
    report.snp(None);
    note_revocations(genuine.crl, report);
    // step 6: all 64 bytes of the report data
    let verified = genuine.bound_to(expected).map_err(|_| {
        report.bound(6, Verdict::Failed, expected);
        AppraiseError::ReportDataMismatch
    })?;
    report.bound(6, Verdict::Passed, expected);
    // steps 2 to 4 as the manifest has them, 7, and 9 to 15: one entry suffices
    let policy = entries::snp(manifest, &verified, &mut report.entries)?;
    // step 8: host data is the policy hash; which policy may do what is the caller's question
    let known = manifest.policy(&policy).is_some();
    let verdict = if known { Verdict::Passed } else { Verdict::Failed };
    let step = StepReport::new((8, "host_data"), verdict, Values::default().with("host_data", policy));
    if let Some(entry) = report.entries.last_mut() {
        let after = entry.steps.iter().position(|step| step.number > 8).unwrap_or(entry.steps.len());
        entry.steps.insert(after, step);
    }
    Ok(policy)
}

/// Intel TDX, `attestation.md` §4.
pub(super) fn tdx(
    manifest: &Manifest,
    evidence: &[u8],
    expected: &ReportData,
    options: &VerifyOptions,
    now: UnixTime,
    report: &mut EvidenceReport,
) -> Result<PolicyHash, AppraiseError> {
    // steps 1 to 7: genuine, at a status that one of the entries tolerates
    let genuine = tdx_genuine(manifest, evidence, options, now).inspect_err(|failed| {
        report.tdx(Some((failed.step, failed.shown())));
        report.bound(8, Verdict::NotReached, expected);
    });
    let genuine = genuine.map_err(|failed| failed.error)?;
    report.tdx(None);
    if let Freshness::Grace { since, overdue } = genuine.freshness {
        report.notes.push(format!(
            "Intel's collateral was to be renewed on {since}, {overdue} s before; the grace covers it"
        ));
    }
    if genuine.tolerated {
        report.notes.push(format!("the TCB status is {}, which the manifest tolerates", genuine.tcb_status));
    }
    // step 8: report data, all 64 bytes
    let verified = genuine.bound_to(expected).map_err(|_| {
        report.bound(8, Verdict::Failed, expected);
        AppraiseError::ReportDataMismatch
    })?;
    report.bound(8, Verdict::Passed, expected);
    // steps 2 and 7 as the manifest has them, 8 and 9: one entry suffices
    entries::tdx(manifest, &verified, &mut report.entries)
}

/// A step of core/attest that failed, and what the caller is told.
struct NotGenuine<S> {
    step: S,
    error: AppraiseError,
}

impl<S> NotGenuine<S> {
    fn new(step: S, kind: EvidenceKind, source: impl Error + Send + Sync + 'static) -> Self {
        Self { step, error: AppraiseError::Evidence { kind, source: Box::new(source) } }
    }

    /// The reason itself, without the sentence around it.
    fn shown(&self) -> &dyn Error {
        match &self.error {
            AppraiseError::Evidence { source, .. } => &**source,
            other => other,
        }
    }
}

fn snp_genuine(
    manifest: &Manifest,
    evidence: &[u8],
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<privatemode_attest::Genuine<amd::Evidence>, NotGenuine<amd::Step>> {
    let kind = EvidenceKind::Snp;
    let at = |step| move |error| NotGenuine { step, error };
    let given = sevsnp::decode(evidence).map_err(|error| NotGenuine::new(amd::Step::Report, kind, error))?;
    let parsed =
        Report::parse(&given.report[..]).map_err(|error| NotGenuine::new(amd::Step::Report, kind, error))?;
    let signer = parsed.signer;
    let none = SnpCollateral::default();
    let fetched = options.collateral.snp.as_deref().unwrap_or(&none);
    // the evidence's own certificates first: those that were fetched may be for another chip
    let (own, what) = match signer {
        Signer::Vcek => (given.vcek.as_ref(), "the chip's certificate (VCEK)"),
        Signer::Vlek => (given.vlek.as_ref(), "the cloud's certificate (VLEK)"),
    };
    let vek = own.or(fetched.vek.as_ref()).ok_or_else(|| match unnamed_product(&parsed, manifest) {
        // it was not fetched on purpose
        Some(got) => AppraiseError::ProductNotInManifest { got },
        None => AppraiseError::CollateralMissing { kind, what },
    });
    let vek = vek.map_err(at(amd::Step::EndorsementKey))?;
    let ask = given.ask.as_ref().or(fetched.ask.as_ref());
    let lists = newest_first(given.crl.as_deref(), fetched.crl.as_deref());
    if lists.is_empty() && options.require_crl {
        return Err(at(amd::Step::RevocationList)(AppraiseError::RevocationListMissing));
    }
    // bounded as Intel's: a grace of years would keep every revocation away
    Grace::seconds(options.crl_grace)
        .map_err(|error| NotGenuine::new(amd::Step::RevocationList, kind, error))?;
    let roots = options.roots.snp();
    let verify = |crl: Option<&[u8]>| {
        let endorsement = Endorsement {
            vek,
            ask: ask.map_or(&[], Vec::as_slice),
            // never the evidence's: the root is pinned
            ark: &[],
            crl,
            crl_grace: options.crl_grace,
        };
        amd::verify(&given.report[..], &endorsement, &roots, now)
    };
    let newest = verify(lists.first().copied());
    let verified = match (newest, lists.get(1)) {
        // who made up a list with a late date has not made the other one worse
        (Err(error), Some(other)) if is_no_list_of_the_root(&error) => verify(Some(other))
            .map_err(|of_other| if is_no_list_of_the_root(&of_other) { error } else { of_other }),
        (newest, _) => newest,
    };
    verified.map_err(|error| match error {
        amd::VerifyError::CrlStale { next_update, grace } => {
            at(amd::Step::RevocationList)(AppraiseError::RevocationListStale { next_update, grace })
        }
        other => NotGenuine::new(other.step(), kind, other),
    })
}

/// The host chooses what its evidence brings, and would choose a list from before its key was revoked; so the newer one
/// counts, of those that the root signed. Dates are read before signatures: see [`is_no_list_of_the_root`].
fn newest_first<'a>(own: Option<&'a [u8]>, fetched: Option<&'a [u8]>) -> Vec<&'a [u8]> {
    let made = |list| Crl::parse_der(list).ok().map(|list| list.this_update());
    // the fetched one of two of the same time
    let mut lists: Vec<&[u8]> = fetched.into_iter().chain(own).collect();
    lists.sort_by_key(|list| std::cmp::Reverse(made(list)));
    lists
}

/// Whether it failed because the list is not the root's, so that its date was nobody's word. A list of the root's that revokes,
/// has ended or is yet to come stays the newest.
fn is_no_list_of_the_root(error: &amd::VerifyError) -> bool {
    use amd::VerifyError;
    matches!(
        error,
        VerifyError::Crl { .. } | VerifyError::CrlNotIssued { .. } | VerifyError::CrlNotApplicable
    )
}

fn note_revocations(crl: CrlState, report: &mut EvidenceReport) {
    match crl {
        CrlState::NotGiven => report.notes.push("revocations were not checked: there was no list".to_owned()),
        CrlState::Grace { ended, until } => report.notes.push(format!(
            "the revocation list was to be renewed on {ended}; the grace covers it until {until}"
        )),
        CrlState::Fresh { until } => report.notes.push(format!("the revocation list counts until {until}")),
    }
}

fn tdx_genuine(
    manifest: &Manifest,
    evidence: &[u8],
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<privatemode_attest::Genuine<intel::Evidence>, NotGenuine<intel::Step>> {
    use intel::Step;
    let kind = EvidenceKind::Tdx;
    let quote =
        tdx_encoding::decode(evidence).map_err(|error| NotGenuine::new(Step::Structure, kind, error))?;
    Quote::parse(&quote).map_err(|error| NotGenuine::new(Step::Structure, kind, error))?;
    let what = "Intel's collateral (TCB info, enclave identity, revocation lists)";
    let collateral = options.collateral.tdx.as_ref().ok_or(AppraiseError::CollateralMissing { kind, what });
    let collateral = collateral.map_err(|error| NotGenuine { step: Step::Collateral, error })?;
    let grace =
        Grace::seconds(options.crl_grace).map_err(|error| NotGenuine::new(Step::Collateral, kind, error))?;
    let collateral = collateral
        .verify_with_grace(&options.roots.tdx(), grace, now)
        .map_err(|error| NotGenuine::new(Step::Collateral, kind, error))?;
    let tolerance = tdx_steps::tolerance(&manifest.reference_values().tdx)
        .map_err(|error| NotGenuine::new(Step::TcbStatus, kind, error))?;
    intel::verify(&quote, &collateral, &tolerance, now)
        .map_err(|error| NotGenuine::new(error.step(), kind, error))
}
