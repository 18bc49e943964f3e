//! One file for each command.

mod keys;
mod models;
pub(crate) mod service;

use anyhow::Result;
use clap::CommandFactory;

use crate::args::{Arguments, Command};
use crate::{output, up};

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    match arguments.command {
        Command::Up(arguments) => up::run(&arguments),
        Command::Keys(arguments) => keys::run(arguments.action),
        Command::Models(arguments) => models::run(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "privatemode", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => Ok(clap_mangen::Man::new(Arguments::command()).render(&mut std::io::stdout())?),
        Command::Service { part } => {
            output::say(&service::usage(part.first().map(String::as_str)));
            anyhow::bail!("there is no such part")
        }
    }
}
