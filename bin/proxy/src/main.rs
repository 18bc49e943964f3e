//! The process. All of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode_service::run_main::<privatemode_proxy::Config>(
        "privatemode-proxy",
        "Verifies a Privatemode deployment and encrypts every request to it, behind an OpenAI-compatible endpoint.",
        privatemode_proxy::run,
    )
}
