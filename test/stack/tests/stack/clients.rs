//! The official OpenAI clients, unchanged: Python and Node, against the demonstration model and against a stub engine.

use std::path::{Path, PathBuf};
use std::process::Command;

use privatemode_test_kit::{Reply, StubUpstream};
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

/// A stub engine that calls the first tool it is offered, and embeds.
async fn engine_with_tools() -> StubUpstream {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub", "stub-embed"]));
    upstream.on("/v1/embeddings", Reply::embeddings(&[&[0.25, -0.5, 1.0], &[0.0, 0.125, -1.0]]));
    upstream.on_each("/v1/chat/completions", |request| {
        let asked = request.json();
        if asked["stream"] == true {
            return Reply::chat_stream(&["It is", " sunny", "."], true);
        }
        let Some(tool) = asked["tools"][0]["function"]["name"].as_str() else { return Reply::chat("It is sunny.") };
        let call = json!({"id": "call-1", "type": "function", "function": {"name": tool, "arguments": "{\"town\":\"Bern\"}"}});
        let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        let choice = json!({"index": 0, "message": message, "finish_reason": "tool_calls"});
        let usage = json!({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12});
        let answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stub",
            "choices": [choice], "usage": usage});
        Reply::json(200, answer.to_string())
    });
    upstream
}

#[tokio::test(flavor = "multi_thread")]
async fn official_clients_get_tools_embeddings_and_streams_from_any_engine() {
    let upstream = engine_with_tools().await;
    let up = Up::start(&["--upstream", &upstream.url()]);
    for (program, script) in programs() {
        let environment = [("MODEL", "stub"), ("EMBEDDING_MODEL", "stub-embed")];
        let seen = tokio::task::block_in_place(|| run(&up, &program, script, &environment));
        let Some(seen) = seen else { continue };
        assert_eq!(seen["models"], json!(["stub", "stub-embed"]));
        assert_eq!(seen["tool_calls"], json!([{"name": "weather", "arguments": "{\"town\":\"Bern\"}"}]));
        assert_eq!(seen["usage"], 12);
        assert_eq!(seen["stream"], "It is sunny.");
        assert_eq!(seen["embeddings"], json!([3, 3]));
        check_refusals(&seen);
        let chats = upstream.requests().into_iter().filter(|request| request.path == "/v1/chat/completions");
        let tools = chats.filter_map(|request| {
            request.json()["tools"][0]["function"]["description"].as_str().map(str::to_owned)
        });
        assert!(tools.into_iter().all(|description| description == "Weather of a town"));
    }
}
