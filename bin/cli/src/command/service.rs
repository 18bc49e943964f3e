//! `privatemode service PART …`: one part in the foreground, exactly as its own program runs it.

use std::ffi::OsString;
use std::process::ExitCode;

use privatemode_service::run_main_from;

const ABOUT: &str = "One part of the Privatemode stack.";
const PARTS: [&str; 6] = ["coordinator", "secret-service", "inference-proxy", "gateway", "proxy", "engine"];

/// Runs the part that `arguments` name; `None` when they are of another command.
pub(crate) fn dispatch(arguments: &[OsString]) -> Option<ExitCode> {
    if arguments.get(1)?.to_str()? != "service" {
        return None;
    }
    // The part's own arguments, with its name where a program's name stands.
    let rest = arguments.get(2..)?.to_vec();
    let code = match arguments.get(2)?.to_str()? {
        "coordinator" => run_main_from(rest, "coordinator", ABOUT, privatemode_coordinator::run),
        "secret-service" => run_main_from(rest, "secret-service", ABOUT, privatemode_secret_service::run),
        "inference-proxy" => run_main_from(rest, "inference-proxy", ABOUT, privatemode_inference_proxy::run),
        "gateway" => run_main_from(rest, "gateway", ABOUT, privatemode_gateway::run),
        "proxy" => run_main_from(rest, "proxy", ABOUT, privatemode_proxy::run),
        "engine" => {
            // Before any thread exists: it may run this program again with the number of threads in its environment.
            privatemode_engine::settle_threads();
            run_main_from(rest, "engine", ABOUT, privatemode_engine::run)
        }
        _ => return None,
    };
    Some(code)
}

/// What may be asked for.
pub(crate) fn usage(asked: Option<&str>) -> String {
    let parts = PARTS.join(", ");
    match asked {
        Some(asked) => format!("`{asked}` is no part of the stack; the parts are: {parts}"),
        None => format!("say which part: {parts}"),
    }
}
