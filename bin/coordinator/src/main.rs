//! `privatemode-coordinator`.

use std::process::ExitCode;

use privatemode_coordinator::{Config, run};

fn main() -> ExitCode {
    let about = "Attests a deployment and issues its mesh certificates.";
    privatemode_service::run_main::<Config>("coordinator", about, run)
}
