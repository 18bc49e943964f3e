//! `privatemode receipt`: what workers signed, shown, verified offline, and held against a bill.
//!
//! Exit codes: 0 it holds, 1 it does not, 2 wrong usage or input that cannot be read.

pub(crate) mod args;
mod files;
mod reconcile;
mod show;
mod verify;

use std::process::ExitCode;

use args::{Action, Receipt};

use crate::output;

/// What a command came to.
pub(crate) enum Verdict {
    /// It holds.
    Good,
    /// It was looked at, and does not hold.
    Bad,
}

pub(crate) fn run(arguments: &Receipt) -> ExitCode {
    let outcome = match &arguments.action {
        Action::Show(arguments) => show::run(arguments),
        Action::Verify(arguments) => verify::run(arguments),
        Action::Reconcile(arguments) => reconcile::run(arguments),
    };
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            output::error(&error);
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests;
