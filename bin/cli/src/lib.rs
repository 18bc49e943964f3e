//! The `privatemode` command: brings the whole stack up on one machine, and manages it.
//!
//! It is the only crate that links several binaries. `up` starts each of them as a process of its own — one process per
//! trust domain — by running itself again as `privatemode service NAME`.

mod args;
mod command;
mod directory;
mod output;
mod up;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

/// Runs the command line `arguments` (the first is the program's name).
///
/// Exit codes: 0 done (or verified), 1 failed (or refused), 2 wrong usage (or unusable input).
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if let Some(code) = command::service::dispatch(&arguments) {
        return code;
    }
    let arguments = args::Arguments::parse_from(arguments);
    // An error means that there is one already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match command::run(arguments) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
