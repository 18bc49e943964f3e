//! privatemode-gateway: keys, routing, usage; never sees plaintext.

use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode_service::run_main::<privatemode_gateway::Config>(
        "gateway",
        "The gateway: API keys, relays, routing, usage. Sees ciphertext only.",
        privatemode_gateway::run,
    )
}
