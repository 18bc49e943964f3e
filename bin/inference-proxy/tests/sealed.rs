//! Sealed bodies: every endpoint, unary and streamed, and what the gateway and the receipt get to know.

mod common;

use std::time::Duration;

use common::{
    NOW, SALT, Stack,
    sealed::{Opened, head},
};
use http::StatusCode;
use privatemode_test_kit::{Reply, members::Members};
use privatemode_wire::{
    Endpoint,
    stream::{ManifestDigest, Outcome, Padding, RequestHead, outer},
    usage::Usage,
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn chat(extra: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"cache_salt":"{SALT}"{extra}}}"#)
}

fn usage() -> Usage {
    Usage { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8, cached_tokens: 2, ..Usage::default() }
}

#[tokio::test]
async fn json_goes_there_and_back_byte_for_byte() {
    let stack = Stack::start().await;
    let body = chat(r#", "temperature" : 0.5e0,"max_tokens":7,"n":2,"\u0061":[1,  2]"#);
    let answer = stack.post(CHAT, &body).await;
    assert_eq!((answer.status, answer.trailer.outcome), (StatusCode::OK, Outcome::Complete), "{answer:?}");
    assert!(answer.text().contains(r#""content":"Hello, world""#), "{}", answer.text());
    assert_eq!(answer.head.content_type.as_deref(), Some("application/json"));
    assert_eq!(answer.headers["trailer"], outer::USAGE);
    assert_eq!((answer.trailer.usage, answer.usage), (Some(usage()), Some(usage())));
    assert!(answer.trailer.receipt.is_none());
    let got = stack.stub.last();
    assert_eq!((&got.body[..], got.path.as_str()), (body.as_bytes(), CHAT.path()));
    assert_eq!(got.header("content-type"), "application/json");
    for name in ["privatemode-secret-id", outer::REQUEST_HEADER, "authorization"] {
        assert_eq!(got.header(name), "", "{name}");
    }
}

#[tokio::test]
async fn every_json_endpoint_unary_and_streamed() {
    let stack = Stack::start().await;
    let anthropic = Usage { cached_tokens: 0, ..usage() };
    for (endpoint, members, last, counted) in [
        (CHAT, r#""messages":[]"#, "data: [DONE]", usage()),
        (Endpoint::Completions, r#""prompt":"x""#, "data: [DONE]", usage()),
        (Endpoint::Messages, r#""messages":[]"#, "event: message_stop", anthropic),
        (Endpoint::Responses, r#""input":"x""#, "event: response.completed", anthropic),
    ] {
        let body =
            |stream: bool| format!(r#"{{"model":"m","stream":{stream},{members},"cache_salt":"{SALT}"}}"#);
        let unary = stack.post(endpoint, &body(false)).await;
        assert!(unary.text().contains("Hello, world"), "{endpoint:?}: {}", unary.text());
        assert_eq!((unary.usage, unary.trailer.usage), (Some(counted), Some(counted)), "{endpoint:?}");
        let streamed = stack.post(endpoint, &body(true)).await;
        let text = streamed.text();
        assert!(text.contains("world") && text.contains(last), "{endpoint:?}: {text}");
        assert_eq!(
            streamed.head.content_type.as_deref().unwrap().split(';').next(),
            Some("text/event-stream")
        );
        let counted = (endpoint != Endpoint::Completions).then_some(counted);
        assert_eq!((streamed.usage, streamed.trailer.usage), (counted, counted), "{endpoint:?}");
    }
    let embedded = stack.post(Endpoint::Embeddings, r#"{"model":"m","input":"x"}"#).await;
    assert!(embedded.text().contains("-1.0"), "{}", embedded.text());
    assert_eq!(embedded.usage, Some(usage()));
}

#[tokio::test]
async fn streams_report_usage_and_nothing_else_is_touched() {
    let stack = Stack::start().await;
    let body = chat(r#","stream": true"#);
    let answer: Opened = stack.post(CHAT, &body).await;
    let got = Members::parse(&stack.stub.last().body);
    let options = r#"{"include_usage":true,"continuous_usage_stats":true}"#;
    assert_eq!(got.raw("stream_options"), Some(options));
    let mut without = got.clone();
    without.drop_member("stream_options");
    assert_eq!(without.to_bytes(), Members::parse(body.as_bytes()).to_bytes());
    assert_eq!(answer.text().matches("data: ").count(), 6);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    let pieces: Vec<&str> = answer.pieces.iter().map(String::as_str).collect();
    assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.ends_with("\n\n")), "{pieces:?}");
}

#[tokio::test]
async fn padding_is_as_the_head_says() {
    let stack = Stack::start().await;
    for (padding, same) in [(Padding::Off, false), (Padding::Bucket, true)] {
        let mut wires = Vec::new();
        for text in ["a", "some more words"] {
            let body = chat(r#","stream":true"#);
            stack.stub.once(CHAT.path(), Reply::stream([format!("data: {text}\n\n")]));
            let head = RequestHead { padding, ..head(CHAT, &body) };
            wires.push(stack.exchange(stack.seal_body(&head, body.as_bytes())).await.wire.len());
        }
        assert_eq!(wires[0] == wires[1], same, "{padding}: {wires:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn records_leave_at_their_cadence_whatever_the_engine_does() {
    let stack = Stack::start().await;
    let padding: Padding = "constant/512/50".parse().unwrap();
    let body = chat(r#","stream":true"#);
    // Nothing for more than ten records, then all at once.
    let reply = Reply::chat_stream(&["a", "b", "c"], false);
    stack.stub.on(CHAT.path(), reply.paced(Duration::from_millis(510)));
    let sealed = stack.seal_body(&RequestHead { padding, ..head(CHAT, &body) }, body.as_bytes());
    let response = stack.worker.handle(sealed.request).await;
    let answer = Opened::of(response, sealed.pending).await.unwrap();
    assert_eq!(answer.trailer.outcome, Outcome::Complete);
    assert!(answer.text().ends_with("data: [DONE]\n\n"));
    // Head, records and trailer: each a segment of one size, or a whole number of them.
    let mut sizes = Vec::new();
    let mut rest = &answer.wire[..];
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        sizes.push(length);
        rest = &behind[length..];
    }
    let record = 512 + 29;
    assert!(sizes.iter().filter(|size| **size == record).count() > 20, "{sizes:?}");
}

#[tokio::test]
async fn a_receipt_says_what_was_in_effect() {
    let stack = Stack::start().await;
    let body = chat(r#","temperature":0.50,"max_tokens":9,"stop":["secret word"]"#);
    let sealed = stack.seal_body(&RequestHead { receipt: true, ..head(CHAT, &body) }, body.as_bytes());
    let names = sealed.names;
    let answer = stack.exchange(sealed).await;
    let receipt = stack.receipt(names, &answer);
    assert_eq!((receipt.model.as_str(), receipt.status, receipt.outcome), ("m", 200, Outcome::Complete));
    let sampling: Vec<_> =
        receipt.sampling.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(sampling, [("max_tokens", "9"), ("temperature", "0.50")]);
    assert_eq!((receipt.model_root, receipt.engine_image), (None, None), "not known, so not said");
    assert!(receipt.downgrades.iter().eq(["simulated"]));
    assert_eq!((receipt.received, receipt.started, receipt.finished), (NOW, NOW, NOW));
    assert_eq!((receipt.usage, receipt.manifest.0), (Some(usage()), [9; 32]));
    let signed = answer.trailer.receipt.as_ref().unwrap().to_json();
    assert!(!signed.contains("secret word"));
}

#[tokio::test]
async fn a_receipt_names_the_deployments_manifest_whatever_the_client_says() {
    let stack = Stack::start().await;
    let body = chat("");
    let head = RequestHead { receipt: true, manifest: ManifestDigest([1; 32]), ..head(CHAT, &body) };
    let sealed = stack.seal_body(&head, body.as_bytes());
    let names = sealed.names;
    let answer = stack.exchange(sealed).await;
    assert_eq!(stack.receipt(names, &answer).manifest, ManifestDigest([9; 32]));
}

#[tokio::test]
async fn answers_that_are_no_json_pass() {
    let stack = Stack::start().await;
    stack.stub.on(CHAT.path(), Reply::raw(200, "text/vtt", "WEBVTT\n"));
    let answer = stack.post(CHAT, &chat("")).await;
    assert_eq!((answer.text().as_str(), answer.head.content_type.as_deref()), ("WEBVTT\n", Some("text/vtt")));
    assert_eq!((answer.usage, answer.trailer.usage), (None, None));
}
