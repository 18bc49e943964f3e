use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode_service::run_main(
        "inference-proxy",
        "Opens sealed requests and seals the answers of one inference engine.",
        privatemode_inference_proxy::run,
    )
}
