//! `privatemode manifest`: makes manifests, compares them, signs them, puts them in force, and brings coordinators back.
//!
//! Judges nothing itself: what a manifest says, what changes, and whether a deployment enforces it is `privatemode-manifest`'s
//! to say. Exit codes: 0 done; 1 refused: by the coordinator, by a check, or it cannot be reached; 2 unusable: flags, or
//! a file that cannot be read or is not in its form. Specification: `attestation.md` §1 and §2.

mod api;
pub(crate) mod args;
mod diff;
mod failure;
mod files;
mod generate;
mod history;
mod keys;
mod recover;
mod set;
mod sign;
mod verify;
mod workspace;

use std::process::ExitCode;

use serde::Serialize;

use crate::output;
use args::{Action, Manifest};
use failure::Failure;

/// What a command came to: done, or why not.
type Done = Result<(), Failure>;

/// Does it. Exit codes: 0 done, 1 refused, 2 unusable input.
pub(crate) fn run(arguments: &Manifest) -> ExitCode {
    let (json, done) = match &arguments.action {
        Action::Generate(arguments) => (arguments.json, generate::run(arguments)),
        Action::Verify(arguments) => (arguments.json, verify::run(arguments)),
        Action::Diff(arguments) => (arguments.json, diff::run(arguments)),
        Action::Sign(arguments) => (arguments.json, sign::run(arguments)),
        Action::Set(arguments) => (arguments.json, set::run(arguments)),
        Action::History(arguments) => (arguments.json, history::run(arguments)),
        Action::Recover(arguments) => (arguments.json, recover::run(arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.show(json),
    }
}

/// Prints one line of JSON.
fn print(value: &impl Serialize) -> Done {
    output::data(&serde_json::to_string(value).map_err(anyhow::Error::from)?);
    Ok(())
}

/// Waits for something on the network.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(anyhow::Error::from)?;
    runtime.block_on(work)
}
