//! The verdict on a deployment. The order of members is the order of the JSON (`docs/verification.md`).

use std::error::Error as StdError;

use privatemode_attest::UnixTime;
use privatemode_collateral::{Found, State};
use privatemode_manifest::appraise::{EvidenceReport, Values, Verdict as StepVerdict};
use privatemode_manifest::verify::Report;
use privatemode_manifest::{Manifest, Role, VerifiedDeployment};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What came out.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    #[serde(rename = "verdict")]
    pub(super) outcome: Outcome,
    pub(super) target: String,
    pub(super) at: String,
    /// No hardware protects it, whatever the verdict.
    pub(super) simulated: bool,
    /// What makes the verdict prove nothing.
    pub(super) danger: Vec<String>,
    /// SHA-256 of the expected manifest.
    pub(super) manifest: String,
    pub(super) policies: Vec<Policy>,
    pub(super) platform: Option<String>,
    pub(super) coordinator_policy: Option<String>,
    /// PEM.
    pub(super) mesh_ca: Option<String>,
    /// SHA-256 of the PEM, as the evidence binds it.
    pub(super) mesh_ca_sha256: Option<String>,
    pub(super) steps: Vec<Row>,
    pub(super) evidence: Option<EvidenceReport>,
    pub(super) collateral: Vec<Document>,
    pub(super) warnings: Vec<String>,
    pub(super) refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Verified,
    Refused,
    Unusable,
}

/// A workload of the manifest.
#[derive(Debug, Serialize)]
pub(super) struct Policy {
    pub(super) hash: String,
    pub(super) names: Vec<String>,
    pub(super) coordinator: bool,
}

/// One step.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) verdict: StepVerdict,
    pub(super) proved_by: &'static str,
    pub(super) values: Values,
    pub(super) simulated: bool,
}

/// A document of a vendor.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) document: String,
    pub(super) from: String,
    pub(super) fetched_at: Option<String>,
    pub(super) state: String,
}

/// What, why, what next.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal {
    pub(crate) step: Option<u8>,
    pub(crate) what: String,
    pub(crate) why: Vec<String>,
    pub(crate) next: String,
}

impl Verdict {
    /// Nothing proved yet.
    pub(super) fn new(target: &str, at: UnixTime, manifest: &Manifest) -> Self {
        let policies = manifest.policies().map(|(hash, entry)| Policy {
            hash: hash.to_string(),
            names: entry.sans.clone(),
            coordinator: entry.role == Role::Coordinator,
        });
        Self {
            outcome: Outcome::Refused,
            target: target.to_owned(),
            at: at.to_string(),
            simulated: manifest.is_simulated(),
            danger: Vec::new(),
            manifest: manifest.digest().to_string(),
            policies: policies.collect(),
            platform: None,
            coordinator_policy: None,
            mesh_ca: None,
            mesh_ca_sha256: None,
            steps: Vec::new(),
            evidence: None,
            collateral: Vec::new(),
            warnings: Vec::new(),
            refusal: None,
        }
    }

    /// Takes over the steps.
    pub(super) fn fill(&mut self, report: Report) {
        let simulated = self.simulated;
        let test_root = report.evidence.as_ref().is_some_and(|evidence| !evidence.production_roots);
        self.steps = report
            .steps
            .into_iter()
            .map(|step| Row {
                number: step.number,
                name: step.name,
                verdict: step.verdict,
                proved_by: proof(step.name, simulated, test_root),
                values: step.values,
                simulated,
            })
            .collect();
        self.warnings.extend(report.evidence.iter().flat_map(|evidence| evidence.notes.clone()));
        self.evidence = report.evidence;
    }

    pub(super) fn verified(&mut self, deployment: &VerifiedDeployment) {
        self.outcome = Outcome::Verified;
        self.platform = Some(deployment.platform().to_string());
        self.coordinator_policy = Some(deployment.coordinator_policy().to_string());
        self.mesh_ca = Some(deployment.mesh_ca_pem().to_owned());
        self.mesh_ca_sha256 = Some(hex::encode(Sha256::digest(deployment.mesh_ca_pem())));
    }

    /// Refuses before the first step.
    pub(super) fn refuse(&mut self, what: &str, error: &dyn StdError, next: &str) {
        let why = std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string);
        self.outcome = Outcome::Refused;
        self.refusal =
            Some(Refusal { step: None, what: what.to_owned(), why: why.collect(), next: next.to_owned() });
    }

    pub(super) fn documents(&mut self, documents: &[Found]) {
        self.collateral = documents
            .iter()
            .map(|Found { provenance, .. }| Document {
                document: provenance.key.to_string(),
                from: provenance.origin.to_string(),
                fetched_at: provenance.fetched_at.map(|time| time.to_string()),
                state: match provenance.state {
                    State::Current => "current".to_owned(),
                    State::Unknown => "of unknown end".to_owned(),
                    State::Grace { since } => format!("ended {since}, within the grace"),
                    State::Past { since } => format!("ended {since}"),
                },
            })
            .collect();
    }
}

/// What the outcome of a step rests on.
fn proof(step: &str, simulated: bool, test_root: bool) -> &'static str {
    match step {
        "history" => "the coordinator's answer",
        "manifest" => "byte for byte against the expected manifest",
        "single" => "the history in the answer, which step 7 binds",
        "evidence_kind" => "the coordinator's answer, which step 7 checks",
        "policies" => "SHA-256 of each policy text, as in the manifest",
        "platform" => "the manifest's reference values",
        "evidence" if simulated => "NOTHING: simulated evidence, anybody can make it",
        "evidence" if test_root => {
            "a signature to a TEST ROOT, over our nonce, the history and both CAs: whoever has its key can make it"
        }
        "evidence" => {
            "the hardware's signature, to its vendor's root, over our nonce, the history and both CAs"
        }
        "coordinator" => "the policy hash in the evidence, and its role in the manifest",
        "authorities" => "the CAs that the evidence binds",
        _ => "",
    }
}
