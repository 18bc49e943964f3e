//! What goes wrong with sealed bodies: plain before the head was opened, sealed and named from then on.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{
    Answer, BEGAN, LIMIT, NOW, Options, SALT, Stack,
    sealed::{Opened, Sealed, head},
    wall_clock,
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use privatemode_inference_proxy::{ClaimError, Claims, EngineTimeouts, Limits, LocalClaims};
use privatemode_service::{BoxFuture, body::boxed};
use privatemode_store::claims::ClaimMemory;
use privatemode_test_kit::{Reply, wait_until};
use privatemode_wire::{
    Endpoint,
    header::{CANCEL_PATH, REQUEST_ID},
    replay::{Refusal, ReplayKey, ReplayLimits},
    stream::{Outcome, ReadError, RequestHead, RequestId, UnixMillis, outer},
    usage::Usage,
};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn chat(extra: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"cache_salt":"{SALT}"{extra}}}"#)
}

fn chat_head() -> (RequestHead, String) {
    let body = chat(r#","max_tokens":7"#);
    (RequestHead { shard_key: Some("0011-a".into()), ..head(CHAT, &body) }, body)
}

async fn wire(sealed: Sealed) -> (http::request::Parts, Vec<u8>) {
    let (parts, body) = sealed.request.into_parts();
    (parts, body.collect().await.unwrap().to_bytes().to_vec())
}

async fn plain_error(stack: &Stack, request: Request<Full<Bytes>>) -> (u16, String) {
    let answer = Answer::of(stack.worker.handle(request).await).await;
    assert!(answer.is_plain(), "{}", answer.text());
    (answer.status.as_u16(), answer.json()["error"]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn before_the_head_errors_are_plain() {
    let stack = Stack::start().await;
    type Change<'a> = &'a dyn Fn(&mut HeaderMap);
    let remove = |name: &'static str| {
        move |headers: &mut HeaderMap| {
            headers.remove(name);
        }
    };
    let set = |name: &'static str, value: &'static str| {
        move |headers: &mut HeaderMap| {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    let repeat = |name: &'static str| {
        move |headers: &mut HeaderMap| {
            headers.append(name, HeaderValue::from_static("x"));
        }
    };
    let salt = ":MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=:";
    let cases: [(Change<'_>, u16, &str); 12] = [
        (&remove(outer::REQUEST_HEADER), 400, "no_request_salt"),
        (&set(outer::REQUEST_HEADER, "MDEy"), 400, "bad_request_salt"),
        (&repeat(outer::REQUEST_HEADER), 400, "outer_header"),
        (&set(outer::REQUEST_HEADER, salt), 400, "cannot_decrypt"),
        (&remove("privatemode-secret-id"), 400, "no_secret_id"),
        (&set("privatemode-secret-id", "a:b"), 400, "bad_secret_id"),
        (&set("privatemode-secret-id", "b3RoZXI="), 500, "no_secret"),
        (&repeat("privatemode-target-model"), 400, "outer_header"),
        (&repeat("privatemode-shard-key"), 400, "outer_header"),
        (&repeat(outer::MAX_TOKENS), 400, "outer_header"),
        (&repeat(outer::CONTENT_LENGTH_TOKENS), 400, "outer_header"),
        (&set("privatemode-nvidia-ocsp-policy", "rules=allow-good; x"), 400, "ocsp_policy_invalid"),
    ];
    for (number, (change, status, code)) in cases.into_iter().enumerate() {
        let (head, body) = chat_head();
        let mut sealed = stack.seal_body(&head, body.as_bytes());
        change(sealed.request.headers_mut());
        assert_eq!(plain_error(&stack, sealed.request).await, (status, code.to_owned()), "case {number}");
    }
    // An empty body, and one that is cut within its head.
    for length in [0, 20] {
        let (head, body) = chat_head();
        let (parts, wire) = wire(stack.seal_body(&head, body.as_bytes())).await;
        let request = Request::from_parts(parts, Full::new(Bytes::copy_from_slice(&wire[..length])));
        assert_eq!(plain_error(&stack, request).await, (400, "cannot_decrypt".to_owned()));
    }
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn what_the_gateway_changes_outside_is_named() {
    let stack = Stack::start().await;
    for (header, value, param) in [
        ("privatemode-target-model", Some("other"), "model"),
        ("privatemode-target-model", None, "model"),
        ("privatemode-shard-key", Some("0011-b"), "privatemode-shard-key"),
        ("privatemode-shard-key", None, "privatemode-shard-key"),
        (outer::MAX_TOKENS, Some("8"), "max_tokens"),
        (outer::MAX_TOKENS, Some("07"), "max_tokens"),
        (outer::MAX_TOKENS, None, "max_tokens"),
        (outer::CONTENT_LENGTH_TOKENS, Some("1"), outer::CONTENT_LENGTH_TOKENS),
    ] {
        let (head, body) = chat_head();
        let mut sealed = stack.seal_body(&head, body.as_bytes());
        let headers = sealed.request.headers_mut();
        headers.remove(header);
        value.into_iter().for_each(|value| drop(headers.insert(header, value.parse().unwrap())));
        let answer = stack.exchange(sealed).await;
        assert_eq!(answer.error(), (400, "head_mismatch".into(), param.into()), "{header} {value:?}");
        assert_eq!(answer.usage, None);
    }
    let (head, body) = chat_head();
    let mut sealed = stack.seal_body(&head, body.as_bytes());
    *sealed.request.uri_mut() = "/v1/chat/completions?x".parse().unwrap();
    assert_eq!(stack.exchange(sealed).await.error().2, "path");
    let head = RequestHead { method: "PUT".into(), ..head };
    assert_eq!(stack.exchange(stack.seal_body(&head, body.as_bytes())).await.error().2, "method");
    // A policy that the client meant for another request of the same secret.
    let (head, body) = chat_head();
    let mut sealed = stack.seal_body(&head, body.as_bytes());
    let policy = "rules=allow-good; revocation-time-not-before=1";
    let mac = privatemode_wire::ocsp::mac(&stack.secret, policy);
    sealed.request.headers_mut().insert("privatemode-nvidia-ocsp-policy", policy.parse().unwrap());
    sealed.request.headers_mut().insert("privatemode-nvidia-ocsp-policy-mac", mac.parse().unwrap());
    assert_eq!(stack.exchange(sealed).await.error().2, "privatemode-nvidia-ocsp-policy");
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn a_head_that_the_body_belies_is_refused() {
    let stack = Stack::start().await;
    let body = chat(r#","max_tokens":7,"n":2,"stream":true"#);
    let good = head(CHAT, &body);
    for (head, param) in [
        (RequestHead { model: Some("cheap".into()), ..good.clone() }, "model"),
        (RequestHead { max_tokens: Some(1), ..good.clone() }, "max_tokens"),
        (RequestHead { max_tokens: None, ..good.clone() }, "max_tokens"),
        (RequestHead { n: None, ..good.clone() }, "n"),
        (RequestHead { stream: false, ..good.clone() }, "stream"),
    ] {
        let head = RequestHead { request_id: RequestId::random(&mut common::rng()), ..head };
        let answer = stack.exchange(stack.seal_body(&head, body.as_bytes())).await;
        assert_eq!(answer.error(), (400, "head_mismatch".into(), param.into()));
    }
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn what_is_not_admitted_is_a_sealed_error() {
    let stack = Stack::start().await;
    for (body, param) in [
        (r#"{"model":"m","messages":[]}"#.to_owned(), "cache_salt"),
        (chat(r#","stream":"true""#), "stream"),
        (chat(r#","stream":1"#), "stream"),
        (chat(r#","n":"2""#), "n"),
        (chat(r#","max_tokens":"7""#), "max_tokens"),
        (chat(r#","max_completion_tokens":7.0"#), "max_completion_tokens"),
        (chat(r#","stream":true,"stream_options":7"#), "stream_options"),
        (
            chat("").replace(r#""hi""#, r#"[{"type":"image_url","image_url":{"url":"http://192.0.2.1/x"}}]"#),
            "image_url",
        ),
        ("no json".to_owned(), ""),
    ] {
        assert_eq!(
            stack.post(CHAT, &body).await.error(),
            (400, "invalid_request".into(), param.into()),
            "{body}"
        );
    }
    let limits = Limits { body: 2000, ..Default::default() };
    let stack = Stack::with(Options { limits, ..Default::default() }).await;
    let long = chat(&format!(r#","x":"{}""#, "y".repeat(1000)));
    assert_eq!(stack.post(CHAT, &long).await.error().0, 413);
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn tampering_behind_the_head_is_a_sealed_error() {
    let stack = Stack::start().await;
    // Three segments: the head and the body's beginning, more of it, its end.
    let body = chat(&format!(r#","x":"{}""#, "y".repeat(140_000)));
    for change in ["flip", "cut", "behind"] {
        let Sealed { request, pending, .. } = stack.seal_body(&head(CHAT, &body), body.as_bytes());
        let (parts, bytes) = request.into_parts();
        let mut wire = bytes.collect().await.unwrap().to_bytes().to_vec();
        match change {
            "flip" => wire[100_000] ^= 1,
            "cut" => wire.truncate(100_000),
            _ => wire.push(0),
        }
        let response = stack.worker.handle(Request::from_parts(parts, Full::new(wire.into()))).await;
        let answer = Opened::of(response, pending).await.unwrap();
        assert_eq!(answer.error(), (400, "cannot_decrypt".into(), String::new()), "{change}");
    }
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn a_request_runs_once() {
    let stack = Stack::start().await;
    let (head, body) = chat_head();
    assert_eq!(stack.exchange(stack.seal_body(&head, body.as_bytes())).await.status, StatusCode::OK);
    // The captured bytes themselves, twice; and the same request ID under another salt and another date.
    let sealed = stack.seal_body(&RequestHead { receipt: true, ..head.clone() }, body.as_bytes());
    let answer = stack.exchange(sealed).await;
    assert_eq!(answer.error(), (409, "replayed".into(), String::new()));
    assert_eq!((answer.head.refusal, answer.head.clock_skew()), (Some(Refusal::Replayed), None));
    let later = RequestHead { sent: NOW.plus(60_000), ..head.clone() };
    assert_eq!(stack.exchange(stack.seal_body(&later, body.as_bytes())).await.error().1, "replayed");
    let fresh = RequestHead { request_id: RequestId::random(&mut common::rng()), ..head };
    assert_eq!(stack.exchange(stack.seal_body(&fresh, body.as_bytes())).await.status, StatusCode::OK);
    assert_eq!(stack.stub.requests().len(), 2);
    let text = stack.registry.render();
    assert!(text.contains(r#"privatemode_claims_total{result="replayed"} 2"#), "{text}");
}

#[tokio::test]
async fn captured_bytes_are_refused() {
    let stack = Stack::start().await;
    let (head, body) = chat_head();
    let (parts, wire) = wire(stack.seal_body(&head, body.as_bytes())).await;
    for status in [200, 409, 409] {
        let request = Request::from_parts(parts.clone(), Full::new(wire.clone().into()));
        let answer = Answer::of(stack.worker.handle(request).await).await;
        assert_eq!((answer.status.as_u16(), answer.is_plain()), (status, false));
    }
    assert_eq!(stack.stub.requests().len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_learns_the_right_time() {
    let stack = Stack::start().await;
    for (sent, refusal) in [
        (NOW.minus(120_001), Refusal::TooOld { server_time: NOW }),
        (NOW.plus(120_001), Refusal::FromFuture { server_time: NOW }),
    ] {
        let (head, body) = chat_head();
        let answer =
            stack.exchange(stack.seal_body(&RequestHead { sent, ..head.clone() }, body.as_bytes())).await;
        assert_eq!(answer.error(), (409, "clock_skew".into(), String::new()));
        assert_eq!(answer.head.refusal, Some(refusal));
        // What the client does then works.
        let sent = answer.head.clock_skew().unwrap().send_as;
        let request_id = RequestId::random(&mut common::rng());
        let again = RequestHead { sent, request_id, ..head };
        assert_eq!(stack.exchange(stack.seal_body(&again, body.as_bytes())).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn after_a_restart_what_was_sent_before_is_refused() {
    let stack = Stack::start().await;
    let began = UnixMillis(BEGAN);
    stack.wall.store(BEGAN + 1, Ordering::SeqCst);
    let (head, body) = chat_head();
    let head = RequestHead { sent: began, ..head };
    let answer = stack.exchange(stack.seal_body(&head, body.as_bytes())).await;
    let expected = Refusal::BeforeStart { server_time: began.plus(1), not_before: began.plus(120_000) };
    assert_eq!((answer.error().0, answer.head.refusal), (409, Some(expected)));
    let sent = answer.head.clock_skew().unwrap().send_as;
    let again = RequestHead { sent, ..head };
    assert_eq!(stack.exchange(stack.seal_body(&again, body.as_bytes())).await.status, StatusCode::OK);
}

/// A store that cannot be reached, or that says yes only after the engine was asked.
struct Down;

impl Claims for Down {
    fn claim<'a>(&'a self, _: &'a ReplayKey, _: UnixMillis) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(async { Err(ClaimError::Unreachable("no connection".into())) })
    }
}

#[tokio::test]
async fn without_the_claims_memory_nothing_is_answered() {
    let stack = Stack::with(Options { claims: Some(Arc::new(Down)), ..Default::default() }).await;
    let answer = stack.post(CHAT, &chat("")).await;
    assert_eq!(answer.error(), (503, "claims_unavailable".into(), String::new()));
    assert_eq!(answer.head.refusal, None);
}

/// Grants the first claim; waits to be told before it refuses any other.
#[derive(Default)]
struct Late {
    asked: AtomicUsize,
    refuse: tokio::sync::Notify,
    refusal: Option<Refusal>,
}

impl Claims for Late {
    fn claim<'a>(&'a self, _: &'a ReplayKey, _: UnixMillis) -> BoxFuture<'a, Result<(), ClaimError>> {
        Box::pin(async {
            if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
                return Ok(());
            }
            self.refuse.notified().await;
            Err(ClaimError::Refused(self.refusal.unwrap_or(Refusal::Replayed)))
        })
    }
}

#[tokio::test]
async fn a_claim_that_is_refused_late_stops_the_engine() {
    let late = Arc::new(Late::default());
    let stack = Stack::with(Options { claims: Some(late.clone()), ..Default::default() }).await;
    assert_eq!(stack.post(CHAT, &chat("")).await.status, StatusCode::OK);
    stack.stub.on(CHAT.path(), Reply::chat_stream(&["a"], false).stalling_after(1));
    let body = chat(r#","stream":true"#);
    let asking = stack.post(CHAT, &body);
    let refusing = async {
        wait_until("the engine has begun", LIMIT, async || stack.stub.requests().len() == 2).await;
        late.refuse.notify_one();
    };
    let (answer, ()) = tokio::join!(asking, refusing);
    assert_eq!(answer.error(), (409, "replayed".into(), String::new()));
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 1).await;
}

/// A memory that began a moment ago refuses each request once, for its date. The engine must not run them twice.
#[tokio::test]
async fn while_the_memory_is_young_the_engine_waits_for_the_claim() {
    let young = Refusal::BeforeStart { server_time: NOW, not_before: NOW.plus(60_000) };
    let late = Arc::new(Late { refusal: Some(young), ..Late::default() });
    let stack = Stack::with(Options { claims: Some(late.clone()), ..Default::default() }).await;
    assert_eq!(stack.post(CHAT, &chat("")).await.status, StatusCode::OK);
    // The first refusal after a restart that nobody has noticed: here the engine has begun.
    late.refuse.notify_one();
    assert_eq!(stack.post(CHAT, &chat("")).await.error().0, 409);
    let before = stack.stub.requests().len();
    let body = chat("");
    let asking = stack.post(CHAT, &body);
    let refusing = async {
        wait_until("the claim is asked for", LIMIT, async || late.asked.load(Ordering::SeqCst) == 3).await;
        // Long enough for an engine that is asked at once.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(stack.stub.requests().len(), before, "the engine waits");
        late.refuse.notify_one();
    };
    let (answer, ()) = tokio::join!(asking, refusing);
    assert_eq!((answer.error().0, stack.stub.requests().len()), (409, before));
}

/// So does a worker that has just begun, and knows nothing of the memory.
#[tokio::test]
async fn the_first_claim_of_a_worker_is_waited_for() {
    let late = Arc::new(Late { asked: AtomicUsize::new(1), ..Late::default() });
    let stack = Stack::with(Options { claims: Some(late.clone()), ..Default::default() }).await;
    let body = chat("");
    let asking = stack.post(CHAT, &body);
    let refusing = async {
        wait_until("the claim is asked for", LIMIT, async || late.asked.load(Ordering::SeqCst) == 2).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        late.refuse.notify_one();
    };
    let (answer, ()) = tokio::join!(asking, refusing);
    assert_eq!(answer.error().1, "replayed");
    assert!(stack.stub.requests().is_empty());
}

/// A sender that is never silent and never done would hold memory for ever.
#[tokio::test]
async fn an_upload_that_trickles_is_given_up() {
    let limits = Limits { upload: Duration::from_millis(400), ..Default::default() };
    let stack = Stack::with(Options { limits, ..Default::default() }).await;
    let body = chat(&format!(r#","x":"{}""#, "y".repeat(140_000)));
    // Within the head, and behind it.
    for whole in [0, 70_000] {
        let Sealed { request, pending, .. } = stack.seal_body(&head(CHAT, &body), body.as_bytes());
        let (parts, bytes) = request.into_parts();
        let mut first = bytes.collect().await.unwrap().to_bytes();
        let rest = first.split_off(whole);
        let trickle = futures_util::stream::unfold(rest, async |mut rest| {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let byte = rest.split_to(1);
            Some((byte, rest))
        });
        let frames = futures_util::stream::once(async { first }).chain(trickle);
        let frames = frames.map(|data| Ok::<_, std::convert::Infallible>(http_body::Frame::data(data)));
        let request = Request::from_parts(parts, http_body_util::StreamBody::new(Box::pin(frames)));
        let response = stack.worker.handle(request).await;
        if whole == 0 {
            let answer = Answer::of(response).await;
            assert!(answer.is_plain());
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["error"]["code"]),
                (408, &"upload_too_slow".into())
            );
        } else {
            let answer = Opened::of(response, pending).await.unwrap();
            assert_eq!(answer.error(), (408, "upload_too_slow".into(), String::new()));
        }
    }
    assert!(stack.stub.requests().is_empty());
}

/// The engine knows the caller's wish and the request's name from under the seal alone.
#[tokio::test]
async fn nobody_on_the_way_speaks_to_the_engine() {
    let stack = Stack::start().await;
    let body = chat("");
    for accept in [Some("application/json".to_owned()), None] {
        let head = RequestHead { accept: accept.clone(), ..head(CHAT, &body) };
        let mut sealed = stack.seal_body(&head, body.as_bytes());
        for (name, value) in
            [("accept", "multipart/mixed"), ("x-request-id", "forged"), ("privatemode-user-request-id", "x")]
        {
            sealed.request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(stack.exchange(sealed).await.status, StatusCode::OK);
        let got = stack.stub.last();
        assert_eq!(got.header("accept"), accept.unwrap_or_default());
        assert_eq!(got.header("x-request-id"), head.request_id.to_string());
        assert_eq!(got.header("privatemode-user-request-id"), "");
    }
}

#[tokio::test]
async fn workers_that_share_a_memory_run_a_request_once() {
    let wall = Arc::new(std::sync::atomic::AtomicU64::new(BEGAN));
    let memory = ClaimMemory::begin(ReplayLimits::default(), wall_clock(&wall), [3; 16]);
    wall.store(NOW.0, Ordering::SeqCst);
    let claims: Arc<dyn Claims> = Arc::new(LocalClaims::new(Arc::new(memory)));
    let mut one = Stack::with(Options { claims: Some(Arc::clone(&claims)), ..Default::default() }).await;
    let mut two = Stack::with(Options { claims: Some(claims), ..Default::default() }).await;
    two.secret = privatemode_wire::Secret::from_slice(one.secret.expose()).unwrap();
    one.share_secret().await;
    two.share_secret().await;
    let (head, body) = chat_head();
    let (parts, wire) = wire(one.seal_body(&head, body.as_bytes())).await;
    let request = || Request::from_parts(parts.clone(), Full::new(Bytes::from(wire.clone())));
    let (first, second) = tokio::join!(one.worker.handle(request()), two.worker.handle(request()));
    let mut statuses = [first.status().as_u16(), second.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
}

#[tokio::test]
async fn an_engine_that_breaks_off_is_told_in_the_trailer() {
    let stack = Stack::start().await;
    for (reply, stream, whole) in [
        (Reply::chat_stream(&["a", "b"], false).dying_after(2), true, r#""content":"b""#),
        (
            Reply::stream(["data: {}\n\n", "data: {\"cho"]).paced(Duration::from_millis(1)).dying_after(3),
            true,
            "{}",
        ),
    ] {
        stack.stub.once(CHAT.path(), reply);
        let body = chat(&format!(r#","stream":{stream}"#));
        let sealed = stack.seal_body(&RequestHead { receipt: true, ..head(CHAT, &body) }, body.as_bytes());
        let names = sealed.names;
        let answer = stack.exchange(sealed).await;
        assert_eq!((answer.status, answer.trailer.outcome), (StatusCode::OK, Outcome::Failed));
        assert!(answer.text().contains(whole), "{}", answer.text());
        let receipt = stack.receipt(names, &answer);
        assert_eq!((receipt.outcome, receipt.status, receipt.usage), (Outcome::Failed, 200, None));
    }
    assert!(stack.registry.render().contains("privatemode_broken_streams_total 2"));
}

#[tokio::test]
async fn engine_failures_before_an_answer_are_sealed_errors() {
    let stack = Stack::start().await;
    for (reply, status, code) in [
        (Reply::hang_up(), 502, "engine_broken"),
        (Reply::html_502(), 502, "engine_error"),
        (Reply::raw(307, "text/plain", ""), 502, "engine_error"),
        (Reply::raw(503, "text/plain", ""), 503, "engine_error"),
    ] {
        stack.stub.once(CHAT.path(), reply);
        let answer = stack.post(CHAT, &chat("")).await;
        assert_eq!(answer.error(), (status, code.into(), String::new()));
        assert!(!answer.text().contains("Bad Gateway</h1>"));
    }
    stack.stub.once(
        CHAT.path(),
        Reply::error(429, "busy").with_header("retry-after", "7").with_header("x-leak", "1"),
    );
    let answer = stack.post(CHAT, &chat("")).await;
    assert_eq!((answer.status.as_u16(), answer.head.headers["retry-after"].as_str()), (429, "7"));
    assert!(answer.text().contains("busy") && answer.head.headers.len() == 1);
    assert!(!answer.headers.contains_key("x-leak"));

    let nobody = format!("http://127.0.0.1:{}", privatemode_test_kit::free_port());
    let stack = Stack::with(Options { engine: Some(nobody), ..Default::default() }).await;
    assert_eq!(stack.post(CHAT, &chat("")).await.error().1, "engine_unreachable");
}

#[tokio::test]
async fn an_engine_that_falls_silent_is_given_up() {
    let timeouts = EngineTimeouts { answer: Duration::from_millis(100), ..Default::default() };
    let stack = Stack::with(Options { timeouts, ..Default::default() }).await;
    stack.stub.once(CHAT.path(), Reply::stall());
    assert_eq!(stack.post(CHAT, &chat("")).await.error(), (504, "engine_timeout".into(), String::new()));
    stack.stub.once(CHAT.path(), Reply::chat_stream(&["a", "b"], false).stalling_after(1));
    let answer = tokio::time::timeout(LIMIT, stack.post(CHAT, &chat(r#","stream":true"#))).await.unwrap();
    assert_eq!(answer.trailer.outcome, Outcome::Failed);
    assert!(answer.text().contains(r#""content":"a""#));
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 2).await;
}

#[tokio::test]
async fn a_caller_that_leaves_frees_the_engine() {
    let stack = Stack::start().await;
    stack.stub.on(CHAT.path(), Reply::chat_stream(&["a", "b"], false).stalling_after(1));
    let body = chat(r#","stream":true"#);
    let sealed = stack.seal_body(&head(CHAT, &body), body.as_bytes());
    let mut answer = stack.worker.handle(sealed.request).await.into_body();
    // The second event never comes: the first must not wait for it.
    assert!(answer.frame().await.unwrap().unwrap().data_ref().is_some_and(|data| !data.is_empty()));
    assert!(stack.registry.render().contains("privatemode_open_streams 1"));
    assert_eq!(stack.stub.abandoned(), 0);
    drop(answer);
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 1).await;
    assert!(stack.registry.render().contains("privatemode_open_streams 0"));
}

/// Asks the worker for the end of an answer.
async fn end(stack: &Stack, id: &str) -> StatusCode {
    let request = Request::post(CANCEL_PATH).header(REQUEST_ID, id).body(Full::new(Bytes::new())).unwrap();
    stack.worker.handle(request).await.status()
}

#[tokio::test]
async fn an_answer_that_is_ended_says_so_and_what_it_cost() {
    let stack = Stack::start().await;
    let counted = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\n";
    stack.stub.on(CHAT.path(), Reply::stream([counted, "data: {}\n\n"]).stalling_after(1));
    let body = chat(r#","stream":true"#);
    let mut sealed = stack.seal_body(&RequestHead { receipt: true, ..head(CHAT, &body) }, body.as_bytes());
    let names = sealed.names;
    sealed.request.headers_mut().insert(REQUEST_ID, HeaderValue::from_static("one"));
    assert_eq!(end(&stack, "one").await, StatusCode::NOT_FOUND, "it has not begun");
    let (parts, mut rest) = stack.worker.handle(sealed.request).await.into_parts();
    // Head and first event leave together.
    let first = rest.frame().await.unwrap();
    assert_eq!(end(&stack, "one").await, StatusCode::NO_CONTENT);
    let whole = stream::iter([first]).chain(BodyStream::new(rest));
    let response = http::Response::from_parts(parts, boxed(StreamBody::new(whole)));
    let answer = tokio::time::timeout(LIMIT, Opened::of(response, sealed.pending)).await.unwrap().unwrap();
    assert_eq!(answer.trailer.outcome, Outcome::Cancelled);
    let receipt = stack.receipt(names, &answer);
    assert_eq!((receipt.outcome, receipt.status), (Outcome::Cancelled, 200));
    let usage = Usage { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, ..Usage::default() };
    assert_eq!((receipt.usage, answer.usage), (Some(usage), Some(usage)), "signed, and told the gateway");
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 1).await;
    assert_eq!(end(&stack, "one").await, StatusCode::NOT_FOUND, "it is over");
}

#[tokio::test]
async fn an_answer_that_is_cut_on_the_way_is_noticed() {
    let stack = Stack::start().await;
    let body = chat("");
    let sealed = stack.seal_body(&head(CHAT, &body), body.as_bytes());
    let (parts, answer) = stack.worker.handle(sealed.request).await.into_parts();
    let mut bytes = answer.collect().await.unwrap().to_bytes().to_vec();
    bytes.pop();
    let cut = http::Response::from_parts(parts, privatemode_service::body::full(bytes));
    assert_eq!(Opened::of(cut, sealed.pending).await.unwrap_err(), ReadError::Truncated);
}

#[tokio::test]
async fn errors_and_refusals_have_receipts() {
    let stack = Stack::start().await;
    let (good, body) = chat_head();
    let with_receipt = RequestHead { receipt: true, ..good };
    let bad = chat(r#","max_tokens":7,"stream_options":7,"stream":true"#);
    let bad_head = RequestHead { receipt: true, ..head(CHAT, &bad) };
    for (head, body, status) in
        [(&with_receipt, &body, 200), (&with_receipt, &body, 409), (&bad_head, &bad, 400)]
    {
        let sealed = stack.seal_body(head, body.as_bytes());
        let names = sealed.names;
        let answer = stack.exchange(sealed).await;
        let receipt = stack.receipt(names, &answer);
        assert_eq!((receipt.status, receipt.request_id), (status, head.request_id));
        assert_eq!(receipt.usage, answer.usage);
        // All of it stood in the first segment, refused or not.
        assert_eq!(receipt.request_digest, names.digest);
    }
}

#[tokio::test]
async fn a_refusal_before_the_end_of_the_request_names_the_exchange_alone() {
    let limits = Limits { body: 300_000, ..Default::default() };
    let stack = Stack::with(Options { limits, ..Default::default() }).await;
    let body = chat(&format!(r#","user":"{}""#, "x".repeat(200_000)));
    let head = RequestHead { receipt: true, ..head(CHAT, &body) };
    let sealed = stack.seal_body(&head, body.as_bytes());
    let names = sealed.names;
    let answer = stack.exchange(sealed).await;
    let receipt = stack.receipt(names, &answer);
    assert_eq!((receipt.status, receipt.request_digest), (413, None));
    assert_eq!((receipt.request_id, receipt.exchange), (head.request_id, names.exchange));
}
