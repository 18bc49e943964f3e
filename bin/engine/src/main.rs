//! `privatemode-engine`: embedded inference behind an OpenAI-shaped HTTP interface.

use std::process::ExitCode;

fn main() -> ExitCode {
    privatemode_engine::settle_threads();
    privatemode_service::run_main("engine", "Embedded inference, OpenAI-shaped", privatemode_engine::run)
}
