//! The official OpenAI clients, unchanged: Python and Node, against the demonstration model and against a stub engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Up, logs, skipped};

/// Runs a client script against the stack; `None`, said loudly, when the client is not installed.
fn run(up: &Up, program: &Path, script: &str, environment: &[(&str, &str)]) -> Option<Value> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let output = Command::new(program)
        .arg(clients.join(script))
        .env("BASE_URL", up.endpoint())
        .env("API_KEY", up.api_key())
        .env("NO_PROXY", "127.0.0.1")
        .envs(environment.iter().copied())
        .output();
    let Ok(output) = output else {
        skipped(script, &format!("there is no `{}`", program.display()));
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success()
        && (errors.contains("No module named 'openai'") || errors.contains("Cannot find package"))
    {
        skipped(script, "the official client is not installed (test/stack/clients/install.sh)");
        return None;
    }
    assert!(output.status.success(), "{script}: {errors}\n{}", logs(up.directory()));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients/venv/bin/python");
    if venv.exists() { venv } else { PathBuf::from("python3") }
}

fn programs() -> [(PathBuf, &'static str); 2] {
    [(python(), "chat.py"), (PathBuf::from("node"), "chat.mjs")]
}

fn check_refusals(seen: &Value) {
    assert_eq!(seen["unknown_model"]["status"], 404, "{seen}");
    assert_eq!(seen["unknown_model"]["class"], "NotFoundError", "{seen}");
    assert_eq!(seen["wrong_key"]["status"], 401, "{seen}");
    assert_eq!(seen["wrong_key"]["class"], "AuthenticationError", "{seen}");
    assert_eq!(seen["short_salt"]["status"], 400, "{seen}");
    assert_eq!(seen["short_salt"]["class"], "BadRequestError", "{seen}");
}

#[tokio::test]
async fn official_clients_talk_to_the_demonstration_model() {
    let up = Up::start(&[]);
    for (program, script) in programs() {
        let Some(seen) = run(&up, &program, script, &[("MODEL", "privatemode-demo")]) else { continue };
        assert_eq!(seen["models"], json!(["privatemode-demo"]));
        assert_eq!(seen["model"], "privatemode-demo");
        assert!(!seen["chat"].as_str().unwrap().is_empty(), "{seen}");
        assert_eq!(seen["chat"], seen["stream"], "greedy answers agree, streamed or not");
        assert!(seen["chunks"].as_u64().unwrap() > 3 && seen["usage"].as_u64().unwrap() > 0, "{seen}");
        check_refusals(&seen);
    }
}
