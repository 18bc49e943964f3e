//! Fetches what the evidence needs, verifies, and puts together what is shown. Holds no logic of verification: the steps are
//! `privatemode-manifest`'s.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use privatemode_attest::{EvidenceKind, SimulatedAllowed, UnixTime};
use privatemode_collateral::{
    Bundle as Collateral, CollateralPlan, FetchError, Found, Gathered, SetupError, Timing,
};
use privatemode_manifest::{
    AttestationDocument, Manifest, Needs, VerifyError, VerifyOptions, document_needs,
    verify_deployment_report,
};

use super::verdict::{Outcome, Refusal, Verdict};

/// What is judged, and by what.
pub(super) struct Case<'a> {
    pub(super) target: String,
    pub(super) at: UnixTime,
    pub(super) nonce: [u8; 32],
    pub(super) document: &'a [u8],
    pub(super) manifest: &'a Manifest,
    pub(super) danger_simulated: bool,
    /// Whether an earlier verification is repeated.
    pub(super) repeated: bool,
}

/// The verdict, and the documents of the vendors that it took.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) collateral: Collateral,
}

/// Judges. Fails only where nothing could be set up.
pub(super) async fn judge(case: &Case<'_>, plan: &CollateralPlan) -> Result<Judged, SetupError> {
    let mut verdict = Verdict::new(&case.target, case.at, case.manifest);
    let document = match AttestationDocument::parse(case.document) {
        Ok(document) => document,
        Err(error) => {
            verdict.refuse("answer", &error, "what answered is no coordinator: check the URL");
            return Ok(Judged { verdict, collateral: Collateral::new() });
        }
    };
    verdict.simulated |= document.attestation_type == Some(EvidenceKind::Simulated);
    let needs = document_needs(&document, case.manifest);
    let (gathered, failed) = match needs {
        Needs::Nothing => (Gathered::default(), None),
        needs => fetched(plan, &needs).await?,
    };
    let options = VerifyOptions {
        simulated: case.danger_simulated.then(SimulatedAllowed::danger_accept_simulated),
        collateral: gathered.collateral.clone(),
        ..plan.options()
    };
    let (report, result) = verify_deployment_report(&document, &case.nonce, case.manifest, &options, case.at);
    verdict.fill(report);
    match &result {
        Ok(deployment) => verdict.verified(deployment),
        Err(error) => {
            verdict.outcome = Outcome::Refused;
            verdict.refusal = Some(refusal(error, failed.as_ref(), case.repeated));
        }
    }
    verdict.documents(&gathered.documents);
    confirm_or_reject(plan, &gathered, result.as_ref().err()).await?;
    Ok(Judged { verdict, collateral: bundle(&gathered.documents) })
}

/// What could be had. A failure is shown with the step that it makes fail; evidence that brings everything needs nothing.
async fn fetched(plan: &CollateralPlan, needs: &Needs) -> Result<(Gathered, Option<FetchError>), SetupError> {
    Ok(match plan.collector()?.gather(needs).await {
        Ok(gathered) => (gathered, None),
        Err(error) => (Gathered::default(), Some(error)),
    })
}

async fn confirm_or_reject(
    plan: &CollateralPlan,
    gathered: &Gathered,
    refused: Option<&VerifyError>,
) -> Result<(), SetupError> {
    if gathered.documents.is_empty() {
        return Ok(());
    }
    let collector = plan.collector()?;
    match refused {
        None => collector.confirm_all(gathered).await,
        Some(error) => collector.reject_faulty(gathered, error).await,
    }
    Ok(())
}

fn bundle(documents: &[Found]) -> Collateral {
    let mut bundle = Collateral::new();
    documents.iter().for_each(|found| bundle.add(found));
    bundle
}

fn refusal(error: &VerifyError, failed: Option<&FetchError>, repeated: bool) -> Refusal {
    let mut why: Vec<String> = chain(error).collect();
    let lacks_collateral = matches!(
        error,
        VerifyError::CollateralMissing { .. }
            | VerifyError::RevocationListMissing
            | VerifyError::RevocationListStale { .. }
    );
    if let (Some(failed), true) = (failed, lacks_collateral) {
        why.extend(chain(failed));
    }
    let step = error.step();
    Refusal {
        step: Some(step.number()),
        what: format!("step {}, {}", step.number(), step.name().replace('_', " ")),
        why,
        next: next(error, repeated).to_owned(),
    }
}

fn chain(error: &dyn StdError) -> impl Iterator<Item = String> {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string)
}

fn next(error: &VerifyError, repeated: bool) -> &'static str {
    match error {
        VerifyError::ManifestChanged { .. } => {
            "get the manifest that is in force from the operator, review what changed, and only then expect it with --manifest"
        }
        VerifyError::SimulatedNotAllowed => {
            "for development, --danger-simulated accepts it; nothing confidential may be sent to it"
        }
        VerifyError::CollateralMissing { .. }
        | VerifyError::RevocationListMissing
        | VerifyError::RevocationListStale { .. } => {
            "let it be fetched (network, --amd-kds-url, --intel-pcs-url), or hand in what was saved (--collateral-bundle); \
             --crl-grace HOURS accepts outdated lists"
        }
        VerifyError::ReportDataMismatch if repeated => {
            "the bundle was changed after it was saved, or is of two verifications: save it again"
        }
        VerifyError::ReportDataMismatch => {
            "ask again; if it persists, somebody in between is at work: tell the operator"
        }
        VerifyError::ReferenceValueMissing { .. } => {
            "fill the values in, or ask the operator for a complete manifest"
        }
        VerifyError::NotAccepted { .. } => {
            "ask the operator whether the machines were updated or exchanged; accept no other values unseen"
        }
        _ => "do not use this deployment; tell its operator what is said here",
    }
}

/// The clock of a verification that is repeated: documents count as they did then.
#[derive(Debug)]
struct Then(UnixTime);

impl Timing for Then {
    fn now(&self) -> UnixTime {
        self.0
    }

    fn jitter(&self, _: Duration) -> Duration {
        Duration::ZERO
    }

    fn pause(&self, span: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(span))
    }
}

/// Verifies with the documents of a bundle alone, as they were at its time.
pub(super) fn offline(plan: &mut CollateralPlan, collateral: Collateral, at: UnixTime) {
    plan.settings.offline = true;
    plan.settings.folder = None;
    plan.settings.bundle = Some(Arc::new(collateral));
    plan.settings.timing = Arc::new(Then(at));
}
