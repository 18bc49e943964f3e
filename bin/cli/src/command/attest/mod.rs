//! `privatemode attest snp|tdx|nvidia`: verifies evidence from files, and shows every step.
//!
//! Reads flags and files; asks `privatemode-attest` whether evidence is genuine; compares what it says with `--expect`,
//! and has `privatemode-manifest` compare it with `--manifest`. Checks no signature itself, fetches nothing. For people and scripts: `docs/verification.md`.

pub(crate) mod args;
mod expect;
pub(crate) mod input;
mod manifest;
mod nvidia;
pub(crate) mod render;
mod snp;
mod steps;
mod tdx;
mod verdict;

use std::process::ExitCode;

use crate::output;
use args::{Attest, Platform};
use verdict::{Outcome, Verdict};

/// What is said when nobody says which report data to expect.
const REPLAY: &str =
    "report data: NOT COMPARED (replay possible): --expect report_data= says for whom the evidence was made";

/// Verifies and prints. Exit codes: 0 verified, 1 refused, 2 unusable input.
pub(crate) fn run(attest: &Attest) -> ExitCode {
    let (platform, common, verdict) = match &attest.platform {
        Platform::Snp(arguments) => ("snp", &arguments.common, snp::run(arguments)),
        Platform::Nvidia(arguments) => ("nvidia", &arguments.common, nvidia::run(arguments)),
        Platform::Tdx(arguments) => ("tdx", &arguments.common, tdx::run(arguments)),
    };
    let verdict = match verdict {
        Ok(verdict) if common.json => show_json(verdict),
        Ok(verdict) => {
            output::data(&render::text(&verdict));
            verdict
        }
        Err(unusable) => {
            let verdict = Verdict::unusable(platform, common.at, &unusable);
            output::error(&anyhow::Error::new(unusable));
            if common.json { show_json(verdict) } else { verdict }
        }
    };
    ExitCode::from(match verdict.verdict {
        Outcome::Verified => 0,
        Outcome::Refused => 1,
        Outcome::Unusable => 2,
    })
}

fn show_json(verdict: Verdict) -> Verdict {
    match serde_json::to_string(&verdict) {
        Ok(json) => output::data(&json),
        Err(error) => output::error(&anyhow::Error::new(error)),
    }
    verdict
}
