use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode_service::run_main(
        "attestation-agent",
        "Collects the evidence of this machine's GPUs.",
        privatemode_attestation_agent::run,
    )
}
