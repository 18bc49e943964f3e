//! Why a command did not do what it was asked for, and its exit code.

use std::process::ExitCode;

use serde_json::json;

use crate::command::attest::input::Unusable;
use crate::command::attest::render::printable;
use crate::output;

/// Why not.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was looked at, and refused: exit code 1.
    Refused {
        error: anyhow::Error,
        /// What to do about it.
        next: String,
    },
    /// There was nothing to look at: exit code 2.
    Unusable(anyhow::Error),
}

impl Failure {
    pub(super) fn refused(error: impl Into<anyhow::Error>, next: impl Into<String>) -> Self {
        Self::Refused { error: error.into(), next: next.into() }
    }

    /// Says it, on standard error, and as JSON where that is wanted.
    pub(super) fn show(self, json: bool) -> ExitCode {
        let (verdict, error, next, code) = match &self {
            Self::Refused { error, next } => ("refused", error, Some(next), 1),
            Self::Unusable(error) => ("unusable", error, None, 2),
        };
        // a coordinator's words are a stranger's
        let why: Vec<String> = error.chain().map(|cause| printable(&cause.to_string())).collect();
        for (place, cause) in why.iter().enumerate() {
            output::say(&format!("{}: {cause}", if place == 0 { "error" } else { "  because" }));
        }
        if let Some(next) = next {
            output::say(&format!("  next: {next}"));
        }
        if json {
            output::data(&json!({"verdict": verdict, "why": why, "next": next}).to_string());
        }
        ExitCode::from(code)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unusable(error)
    }
}

impl From<Unusable> for Failure {
    fn from(error: Unusable) -> Self {
        Self::Unusable(error.into())
    }
}
