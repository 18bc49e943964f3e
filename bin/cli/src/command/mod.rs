//! One file for each command.

pub(crate) mod attest;
mod keys;
pub(crate) mod manifest;
mod models;
pub(crate) mod receipt;
pub(crate) mod service;
mod usage;
pub(crate) mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Arguments, Command};
use crate::{output, up};

/// Runs the command that was asked for; a command whose exit code is a verdict gives it.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Keys(arguments) => keys::run(arguments.action),
        Command::Models(arguments) => models::run(&arguments),
        Command::Usage(arguments) => usage::run(&arguments.action),
        Command::Attest(arguments) => return Ok(attest::run(&arguments)),
        Command::Manifest(arguments) => return Ok(manifest::run(&arguments)),
        Command::Receipt(arguments) => return Ok(receipt::run(&arguments)),
        Command::Verify(arguments) => return Ok(verify::run(&arguments)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "privatemode", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => {
            clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout()).map_err(Into::into)
        }
        Command::Service { part } => {
            output::say(&service::usage(part.first().map(String::as_str)));
            anyhow::bail!("there is no such part")
        }
    }?;
    Ok(ExitCode::SUCCESS)
}
