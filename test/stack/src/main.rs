//! The `privatemode` command as the tests start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode::main(std::env::args_os().collect())
}
