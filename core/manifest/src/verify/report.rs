//! What a tool shows of a verification: every step with its verdict and values, also when it failed.

use privatemode_attest::UnixTime;

use super::VerifyError;
use crate::appraise::{EvidenceReport, StepReport, Values, Verdict, chain};
use crate::digest::ManifestDigest;

/// The steps of [`verify_deployment`](super::verify_deployment), in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A manifest is in force.
    History,
    /// It is the expected one, byte for byte.
    Manifest,
    /// An immutable deployment never had another.
    Single,
    /// The evidence is of a known kind.
    EvidenceKind,
    /// The policies are those of the manifest.
    Policies,
    /// The manifest names the platform.
    Platform,
    /// The evidence is genuine, made for us, and accepted by the manifest.
    Evidence,
    /// What answered is a coordinator.
    Coordinator,
    /// Its authorities can be used.
    Authorities,
}

impl Step {
    /// All steps, in order.
    pub const ALL: &[Self] = &[
        Self::History,
        Self::Manifest,
        Self::Single,
        Self::EvidenceKind,
        Self::Policies,
        Self::Platform,
        Self::Evidence,
        Self::Coordinator,
        Self::Authorities,
    ];

    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::History => 1,
            Self::Manifest => 2,
            Self::Single => 3,
            Self::EvidenceKind => 4,
            Self::Policies => 5,
            Self::Platform => 6,
            Self::Evidence => 7,
            Self::Coordinator => 8,
            Self::Authorities => 9,
        }
    }

    /// Name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Manifest => "manifest",
            Self::Single => "single",
            Self::EvidenceKind => "evidence_kind",
            Self::Policies => "policies",
            Self::Platform => "platform",
            Self::Evidence => "evidence",
            Self::Coordinator => "coordinator",
            Self::Authorities => "authorities",
        }
    }
}

/// What a verification found. For people and for machines; a decision is made from the `Result` beside it only.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Whether every step passed.
    pub trusted: bool,
    /// Why not, with everything behind it.
    pub reason: Option<String>,
    /// When this was asked, as the caller said: RFC 3339.
    pub verified_at: String,
    /// Digest of the expected manifest.
    pub manifest: String,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// The steps of the evidence, once they were reached.
    pub evidence: Option<EvidenceReport>,
}

/// Collects values while the steps are taken.
#[derive(Debug, Default)]
pub(super) struct Trace {
    passed: Vec<(Step, Values)>,
    pub(super) evidence: Option<EvidenceReport>,
}

impl Trace {
    pub(super) fn passed<const N: usize>(&mut self, step: Step, values: [(&'static str, String); N]) {
        let values = values.into_iter().fold(Values::default(), |all, (name, value)| all.with(name, value));
        self.passed.push((step, values));
    }

    /// The report, given the error of the first step that failed.
    pub(super) fn finish(
        self,
        manifest: ManifestDigest,
        now: UnixTime,
        error: Option<&VerifyError>,
    ) -> Report {
        let failed = error.map(VerifyError::step);
        let reason = error.map(|error| chain(error));
        let position = |step: Step| Step::ALL.iter().position(|each| *each == step);
        let report = |&step: &Step| {
            let values =
                self.passed.iter().find(|(passed, _)| *passed == step).map(|(_, values)| values.clone());
            let verdict = match failed {
                Some(failed) if failed == step => Verdict::Failed,
                Some(failed) if position(step) > position(failed) => Verdict::NotReached,
                _ => Verdict::Passed,
            };
            let values = match (verdict, &reason) {
                (Verdict::Failed, Some(reason)) => Values::default().with("reason", reason),
                _ => values.unwrap_or_default(),
            };
            StepReport::new((step.number(), step.name()), verdict, values)
        };
        Report {
            trusted: error.is_none(),
            steps: Step::ALL.iter().map(report).collect(),
            reason,
            verified_at: now.to_string(),
            manifest: manifest.to_string(),
            evidence: self.evidence,
        }
    }
}
