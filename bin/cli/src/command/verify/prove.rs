//! The same verification for other commands: has a coordinator prove that exactly one manifest is in force, now.

use anyhow::{Context as _, Result};
use privatemode_attest::UnixTime;
use privatemode_collateral::CollateralPlan;
use privatemode_manifest::Manifest;
use reqwest::Url;

use super::ask::{self, Kind, Whom};
use super::judge::{self, Case, Judged};
use super::verdict::{Outcome, Refusal, Verdict};

/// What came of it.
pub(crate) struct Proof {
    /// Why it is no proof; none: it is one.
    pub(crate) refusal: Option<Refusal>,
    /// No hardware protects the deployment.
    pub(crate) simulated: bool,
    /// What makes the verdict prove nothing.
    pub(crate) danger: Vec<String>,
    /// The coordinator's attestation document, as it was sent and judged.
    pub(crate) document: Option<Vec<u8>>,
}

/// Asks and judges. Fails only where nothing could be asked or judged.
pub(crate) async fn prove(
    url: Url,
    manifest: &Manifest,
    plan: &CollateralPlan,
    now: UnixTime,
    danger_simulated: bool,
) -> Result<Proof> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).context("the operating system gave no random numbers")?;
    let target = url.origin().ascii_serialization();
    let whom = Whom { url, kind: Kind::Coordinator, certificate: None, key: None };
    let document = match ask::document(&whom, nonce).await {
        Ok(document) => document,
        Err(error) => {
            let mut verdict = Verdict::new(&target, now, manifest);
            verdict.refuse("the coordinator gave no evidence", &error, error.next());
            return Ok(of(verdict, None));
        }
    };
    let case =
        Case { target, at: now, nonce, document: &document, manifest, danger_simulated, repeated: false };
    let Judged { mut verdict, .. } = judge::judge(&case, plan).await?;
    verdict.danger.extend(plan.danger().map(str::to_owned));
    Ok(of(verdict, Some(document)))
}

fn of(verdict: Verdict, document: Option<Vec<u8>>) -> Proof {
    let Verdict { outcome, simulated, danger, refusal, .. } = verdict;
    // a verdict that is not "verified" and has no reason refuses all the same
    let unsaid = || Refusal {
        step: None,
        what: "the coordinator's evidence does not hold".to_owned(),
        why: Vec::new(),
        next: "verify it with `privatemode verify`".to_owned(),
    };
    let refusal = if outcome == Outcome::Verified { refusal } else { refusal.or_else(|| Some(unsaid())) };
    Proof { refusal, simulated, danger, document }
}
