use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode_service::run_main(
        "secret-service",
        "Agrees on secrets with clients and gives them to workers.",
        privatemode_secret_service::run,
    )
}
