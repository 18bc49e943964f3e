//! `privatemode-initializer`.

use std::process::ExitCode;

use privatemode_coordinator::initializer::{InitializerArgs, run};

fn main() -> ExitCode {
    let about =
        "Gets a workload's mesh certificate and secret from the coordinator, and writes them to files.";
    privatemode_service::run_main::<InitializerArgs>("initializer", about, run)
}
