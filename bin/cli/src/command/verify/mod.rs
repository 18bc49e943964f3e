//! `privatemode verify`: verifies a deployment, or a verification that was saved, and shows what was proved by what.
//!
//! Asks the deployment, fetches what its evidence needs, and lets `privatemode-manifest` judge. For people and scripts:
//! `docs/verification.md`.

pub(crate) mod args;
mod ask;
mod bundle;
mod judge;
mod prove;
mod render;
mod subject;
mod verdict;

use std::process::ExitCode;

use anyhow::{Context, Result};
use privatemode_attest::UnixTime;

use crate::directory::DataDirectory;
use crate::output;
use args::Verify;
use bundle::Recorded;
use judge::{Case, Judged};
pub(crate) use prove::{Proof, prove};
use subject::Subject;
use verdict::{Outcome, Verdict};

const VERIFIED: u8 = 0;
const REFUSED: u8 = 1;
const UNUSABLE: u8 = 2;

/// What a bundle with a manifest of its own proves.
const OWN_MANIFEST: &str = "the manifest is the bundle's own: whoever made the bundle chose it. Compare its digest with a manifest \
                            that you reviewed, or give that one with --manifest";

/// Verifies and prints. Exit codes: 0 verified, 1 refused, 2 unusable input.
pub(crate) fn run(arguments: &Verify) -> ExitCode {
    match verify(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::error(&error);
            if arguments.json {
                let why: Vec<String> = error.chain().map(ToString::to_string).collect();
                output::data(
                    &serde_json::json!({"verdict": Outcome::Unusable, "refusal": {"why": why}}).to_string(),
                );
            }
            ExitCode::from(UNUSABLE)
        }
    }
}

/// Errors are unusable input.
fn verify(arguments: &Verify) -> Result<u8> {
    let directory = DataDirectory::locate(arguments.directory.dir.as_deref()).ok();
    let subject = subject::find(arguments, directory.as_ref())?;
    let at = subject::time(arguments, &subject);
    let folder = directory.as_ref().map(|directory| directory.proxy().join("collateral"));
    // a folder is made where `up` has its own, and nowhere else unless a flag names it
    let plan = arguments.collateral.plan(folder.filter(|folder| folder.exists()).as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (verdict, recorded) = runtime.block_on(judged(arguments, subject, at, plan))?;
    if arguments.json {
        output::data(&serde_json::to_string(&verdict)?);
    } else {
        output::data(&render::text(&verdict));
    }
    if let (Some(path), Some(recorded)) = (&arguments.save, &recorded) {
        recorded.write(path).with_context(|| format!("cannot write --save `{}`", path.display()))?;
    }
    Ok(if verdict.outcome == Outcome::Verified { VERIFIED } else { REFUSED })
}

/// The verdict, and what can be saved of it.
async fn judged(
    arguments: &Verify,
    subject: Subject,
    at: UnixTime,
    mut plan: privatemode_collateral::CollateralPlan,
) -> Result<(Verdict, Option<Recorded>)> {
    let (target, nonce, document, manifest, warning, repeated) = match subject {
        Subject::Live { whom, manifest } => {
            let mut nonce = [0; 32];
            getrandom::fill(&mut nonce).context("the operating system gave no random numbers")?;
            let target = whom.url.origin().ascii_serialization();
            match ask::document(&whom, nonce).await {
                Ok(document) => (target, nonce, document, manifest, None, false),
                Err(error) => {
                    let mut verdict = Verdict::new(&target, at, &manifest);
                    verdict.refuse("the deployment gave no evidence", &error, error.next());
                    return Ok((verdict, None));
                }
            }
        }
        Subject::Bundle { recorded, manifest, own_manifest } => {
            judge::offline(&mut plan, recorded.collateral, at);
            let warning = own_manifest.then_some(OWN_MANIFEST);
            (recorded.target, recorded.nonce, recorded.document, manifest, warning, true)
        }
    };
    let danger_simulated = arguments.danger_simulated;
    let case =
        Case { target, at, nonce, document: &document, manifest: &manifest, danger_simulated, repeated };
    let Judged { mut verdict, collateral } = judge::judge(&case, &plan).await?;
    verdict.danger.extend(plan.danger().map(str::to_owned));
    verdict.warnings.extend(warning.map(str::to_owned));
    verdict.warnings.extend(arguments.collateral.downgrade());
    let target = case.target;
    let recorded = Recorded { target, at, nonce, manifest: manifest.raw().to_vec(), document, collateral };
    Ok((verdict, Some(recorded)))
}
