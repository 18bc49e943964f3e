//! `privatemode`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode::main(std::env::args_os().collect())
}
