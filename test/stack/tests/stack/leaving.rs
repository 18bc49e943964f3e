//! Callers that have read enough and leave: what was produced for them is billed all the same, over the whole path.

use std::time::Duration;

use privatemode_test_kit::{Reply, StubUpstream, wait_until};
use serde_json::{Value, json};

use crate::harness::{PRIVATEMODE, Up};

const CHAT: &str = "/v1/chat/completions";
const LIMIT: Duration = Duration::from_secs(60);
/// Events that the caller reads before it leaves.
const READ: u64 = 40;
/// Words that the engine would write.
const WORDS: usize = 5_000;

/// What the stack's one key has used: prompt and completion tokens.
fn usage(up: &Up) -> (u64, u64) {
    let output = std::process::Command::new(PRIVATEMODE)
        .args(["keys", "list", "--json", "--dir"])
        .arg(up.directory())
        .output()
        .unwrap();
    let keys: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let sum = |name: &str| keys.iter().filter_map(|key| key[name].as_u64()).sum();
    (sum("prompt_tokens"), sum("completion_tokens"))
}

/// An event as engines send it that count in each, or that do not count at all.
fn events(counting: bool) -> Vec<String> {
    let event = |number: usize| {
        let usage =
            json!({"prompt_tokens": 1234, "completion_tokens": number, "total_tokens": 1234 + number});
        let choices = json!([{"index": 0, "delta": {"content": "word "}}]);
        format!(
            "data: {}\n\n",
            json!({"choices": choices, "usage": if counting { usage } else { Value::Null }})
        )
    };
    (1..=WORDS).map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_a_stream_is_billed_for_what_was_produced() {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url()]);
    up.settled().await;
    wait_until("the first request is billed", LIMIT, async || usage(&up).1 > 0).await;

    let body = json!({"model": "stub", "stream": true,
        "messages": [{"role": "user", "content": "hi ".repeat(4_000)}]});
    for (counting, prompts) in [(true, 1234..=1234), (false, 3_000..=3_200)] {
        let (abandoned, before) = (upstream.abandoned(), usage(&up));
        let pace = Duration::from_millis(5);
        upstream.on(CHAT, Reply::stream(events(counting)).paced(pace));
        let mut answer = up.post("/chat/completions", body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut read = 0;
        while read < READ {
            let chunk = answer.chunk().await.unwrap().expect("the stream goes on");
            read += chunk.windows(2).filter(|window| window == b"\n\n").count() as u64;
        }
        drop(answer);
        wait_until("the caller that left is billed", LIMIT, async || usage(&up) != before).await;
        let after = usage(&up);
        let (prompt, completion) = (after.0 - before.0, after.1 - before.1);
        assert!(prompts.contains(&prompt), "counting {counting}: {prompt} tokens of the prompt");
        // What was on its way when it left is produced, too.
        assert!(
            (read..WORDS as u64).contains(&completion),
            "counting {counting}: {completion} of {read} read"
        );
        wait_until("the engine is hung up on", LIMIT, async || upstream.abandoned() > abandoned).await;
        let line = format!(
            "\nleft after {read} events, billed {completion} completion and {prompt} prompt tokens\n"
        );
        // Past the capture of a passing test: how close they are is for the reader.
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), line.as_bytes());
    }
}
