//! What goes wrong, and who can read about it: plain before the request was opened, sealed from then on.

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use common::{Answer, LIMIT, Options, SALT, Stack};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use privatemode_inference_proxy::{EngineTimeouts, GpuStatus, Limits};
use privatemode_test_kit::{Reply, members::Members, wait_until};
use privatemode_wire::{
    Endpoint, Secret, SecretId,
    message::{OpenError, RequestSealer},
    ocsp::{OcspPolicy, mac},
};
use serde_json::{Value, json};

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn chat(extra: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"cache_salt":"{SALT}"{extra}}}"#)
}

fn plain_error(answer: &Answer) -> (u16, Value) {
    assert!(answer.is_plain(), "{}", answer.text());
    (answer.status.as_u16(), answer.json()["error"].clone())
}

/// Sends a sealed chat request and gives the error that only the client can read.
async fn sealed_error(stack: &Stack, body: &str) -> (u16, Value) {
    let (status, text) = stack.ask(CHAT, body).await;
    let json: Value = serde_json::from_str(&text).expect("an error is JSON");
    (status.as_u16(), json["error"].clone())
}

#[tokio::test]
async fn an_unknown_secret_says_the_words_that_clients_look_for() {
    let stack = Stack::start().await;
    let other = SecretId::parse("b3RoZXI=").unwrap();
    let mut sealer = RequestSealer::new(&other, &stack.secret, &mut common::rng());
    let sealed = sealer.seal(CHAT, None, chat("").as_bytes(), &mut common::rng()).unwrap();
    let request = Request::post(CHAT.path()).body(Full::new(sealed.into())).unwrap();
    let (status, error) = plain_error(&stack.send(request).await);
    assert_eq!(status, 500);
    assert_eq!(error["message"], "no secret for ID b3RoZXI=");
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn an_expired_secret_is_unknown_even_if_it_was_cached() {
    let stack = Stack::start().await;
    assert_eq!(stack.ask(CHAT, &chat("")).await.0, StatusCode::OK);
    stack.clock.advance(Duration::from_secs(3600));
    let (request, _) = stack.seal(CHAT, None, chat("").as_bytes());
    let (status, error) = plain_error(&stack.send(request).await);
    assert_eq!((status, error["code"].clone()), (500, json!("no_secret")));
}

#[tokio::test]
async fn requests_that_are_not_for_us_are_refused_in_plain() {
    let stack = Stack::start().await;
    let request = |method: &str, path: &str, body: &'static str| {
        Request::builder()
            .method(method)
            .uri(path)
            .body(Full::new(Bytes::from_static(body.as_bytes())))
            .unwrap()
    };
    for (request, status, code) in [
        (request("POST", "/v1/files", "{}"), 501, "unsupported_endpoint"),
        (request("POST", "/v1/chat/completions/", "{}"), 501, "unsupported_endpoint"),
        (request("POST", "/unstructured/%2e%2e/x", "{}"), 501, "unsupported_endpoint"),
        (request("GET", "/v1/chat/completions", ""), 405, "method_not_allowed"),
        (request("POST", "/v1/models", ""), 405, "method_not_allowed"),
        (request("POST", "/v1/chat/completions", "{}"), 400, "no_secret_id"),
        (request("POST", "/v1/chat/completions", ""), 400, "no_secret_id"),
        (request("POST", "/v1/chat/completions", "no json"), 400, "no_secret_id"),
    ] {
        let what = format!("{} {}", request.method(), request.uri());
        let (got, error) = plain_error(&stack.send(request).await);
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{what}");
    }
    let (mut two, _) = stack.seal(CHAT, None, chat("").as_bytes());
    two.headers_mut().append("content-type", "text/plain".parse().unwrap());
    let (status, error) = plain_error(&stack.send(two).await);
    assert_eq!((status, error["code"].as_str()), (400, Some("content_type")));
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn an_oversized_request_is_not_read() {
    let stack = Stack::with(Options {
        limits: Limits { body: 1000, answer: 1000, ..Default::default() },
        ..Default::default()
    })
    .await;
    let (request, _) = stack.seal(CHAT, None, chat(&format!(r#","x":"{}""#, "y".repeat(1000))).as_bytes());
    assert_eq!(plain_error(&stack.send(request).await).0, 413);
}

#[tokio::test]
async fn tampering_is_refused_by_name() {
    let stack = Stack::start().await;
    let tamper = |change: &dyn Fn(&mut Members)| {
        let (request, _) = stack.seal(CHAT, None, chat(r#","tools":[]"#).as_bytes());
        let (parts, body) = request.into_parts();
        let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
        let mut members = Members::parse(&body);
        change(&mut members);
        Request::from_parts(parts, Full::new(members.to_bytes()))
    };
    type Change<'a> = &'a dyn Fn(&mut Members);
    let flip: Change<'_> = &|members| members.flip("messages");
    let swap: Change<'_> = &|members| members.swap("messages", "tools");
    let rename: Change<'_> = &|members| members.rename("messages", "zzz");
    let lose: Change<'_> = &|members| members.drop_member("cache_salt");
    let repeat: Change<'_> = &|members| members.repeat("messages");
    let unseal: Change<'_> = &|members| members.set("messages", "[]");
    let smuggle: Change<'_> = &|members| members.set("extra", r#""plain""#);
    for (change, words) in [
        (flip, "was changed or moved"),
        (swap, "was changed or moved"),
        (rename, "was changed or moved"),
        (lose, "was changed or moved"),
        (repeat, "not valid JSON"),
        (unseal, "is not encrypted"),
        (smuggle, "is not encrypted"),
    ] {
        let (status, error) = plain_error(&stack.send(tamper(change)).await);
        assert_eq!((status, error["code"].as_str()), (400, Some("cannot_decrypt")));
        assert!(error["message"].as_str().unwrap().contains(words), "{words}: {error}");
    }
    assert!(stack.stub.requests().is_empty());
}

#[tokio::test]
async fn a_body_sealed_under_another_secret_is_refused() {
    let stack = Stack::start().await;
    let forged = Secret::random(&mut common::rng());
    let mut sealer = RequestSealer::new(&stack.id, &forged, &mut common::rng());
    let sealed = sealer.seal(CHAT, None, chat("").as_bytes(), &mut common::rng()).unwrap();
    let request = Request::post(CHAT.path()).body(Full::new(sealed.into())).unwrap();
    assert_eq!(plain_error(&stack.send(request).await).1["code"], "cannot_decrypt");
}

#[tokio::test]
async fn salts_and_media_are_checked_and_the_refusal_is_sealed() {
    let stack = Stack::start().await;
    let salted = |salt: &str| format!(r#"{{"model":"m","messages":[]{salt}}}"#);
    for (body, param) in [
        (salted(""), "cache_salt"),
        (salted(r#","cache_salt":null"#), "cache_salt"),
        (salted(r#","cache_salt":7"#), "cache_salt"),
        (salted(r#","cache_salt":"0123456789abcdef0123456789abcde""#), "cache_salt"),
        (
            chat("").replace(r#""hi""#, r#"[{"type":"image_url","image_url":{"url":"http://192.0.2.1/x"}}]"#),
            "image_url",
        ),
        (
            chat("").replace(r#""hi""#, r#"[{"type":"audio_url","audio_url":{"url":"https://x"}}]"#),
            "audio_url",
        ),
        (
            chat("").replace(r#""hi""#, r#"[{"type":"video_url","video_url":{"url":"https://x"}}]"#),
            "video_url",
        ),
        (chat(r#","stream":true,"stream_options":7"#), "stream_options"),
    ] {
        let (status, error) = sealed_error(&stack, &body).await;
        assert_eq!((status, error["param"].as_str()), (400, Some(param)), "{body}: {error}");
    }
    assert!(stack.stub.requests().is_empty());
    let image = chat("")
        .replace(r#""hi""#, r#"[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]"#);
    assert_eq!(stack.ask(CHAT, &image).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_gpus_must_meet_the_clients_policy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ocsp.json");
    let states = r#"[{"GPU":{"Value":"GOOD"},"VBIOS":{"Value":"UNKNOWN"},"Driver":{"Value":"GOOD"}}]"#;
    std::fs::write(&file, states).unwrap();
    let stack = Stack::with(Options { gpus: GpuStatus::load(&file).unwrap(), ..Default::default() }).await;
    let with_policy = |allow_unknown: bool, key: &Secret| {
        let (mut request, opener) = stack.seal(CHAT, None, chat("").as_bytes());
        let policy = OcspPolicy::new(allow_unknown, 0, 1_700_000_000).to_header();
        request.headers_mut().insert("privatemode-nvidia-ocsp-policy", policy.parse().unwrap());
        request
            .headers_mut()
            .insert("privatemode-nvidia-ocsp-policy-mac", mac(key, &policy).parse().unwrap());
        (request, opener)
    };
    assert_eq!(stack.send(with_policy(true, &stack.secret).0).await.status, StatusCode::OK);
    let (status, error) = plain_error(&stack.send(with_policy(false, &stack.secret).0).await);
    assert_eq!((status, error["code"].as_str()), (500, Some("ocsp_policy_not_met")));
    assert!(error["message"].as_str().unwrap().contains("VBIOS"), "{error}");
    let (status, error) =
        plain_error(&stack.send(with_policy(true, &Secret::random(&mut common::rng())).0).await);
    assert_eq!((status, error["code"].as_str()), (400, Some("ocsp_policy_invalid")));
    let (request, _) = stack.seal(CHAT, None, chat("").as_bytes());
    assert_eq!(plain_error(&stack.send(request).await).0, 500, "no headers: only GOOD");
    let text = stack.registry.render();
    assert!(
        text.contains(r#"privatemode_nvidia_ocsp_status{component="vbios",i="gpu_index_0"} -1"#),
        "{text}"
    );
}

#[tokio::test]
async fn engine_errors_keep_their_status_and_are_sealed() {
    let stack = Stack::start().await;
    stack.stub.once(
        "/v1/chat/completions",
        Reply::error(404, "the model `x` is secret").with_header("x-leak", "1"),
    );
    stack.stub.once("/v1/chat/completions", Reply::error(429, "busy").with_header("retry-after", "7"));
    let (request, opener) = stack.seal(CHAT, None, chat("").as_bytes());
    let answer = stack.send(request).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(!answer.text().contains("secret") && !answer.headers.contains_key("x-leak"));
    assert!(answer.open(CHAT, opener).unwrap().contains("the model `x` is secret"));
    let (request, opener) = stack.seal(CHAT, None, chat("").as_bytes());
    let answer = stack.send(request).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (429, &"7".parse().unwrap()));
    assert!(answer.open(CHAT, opener).unwrap().contains("busy"));
}

#[tokio::test]
async fn answers_that_cannot_be_sealed_become_sealed_errors() {
    let stack = Stack::start().await;
    let path = "/v1/chat/completions";
    for (reply, status, code) in [
        (Reply::html_502(), 502, "engine_answer_not_json"),
        (Reply::raw(200, "text/plain", "just text"), 502, "engine_answer_not_json"),
        (Reply::json(200, "\"a string\""), 502, "engine_answer_not_json"),
        (Reply::json(200, "{\"a\":1,\"a\":2}"), 502, "engine_answer_not_json"),
        (Reply::raw(200, "application/json", ""), 502, "engine_answer_not_json"),
        (Reply::raw(503, "text/plain", ""), 503, "engine_error"),
        (Reply::hang_up(), 502, "engine_broken"),
        (Reply::chat("cut").stalling_after(0).dying_after(0), 502, "engine_broken"),
    ] {
        stack.stub.once(path, reply);
        let (got, error) = sealed_error(&stack, &chat("")).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{error}");
        assert!(!error["message"].as_str().unwrap().contains("Gateway</h1>"));
    }
    let body = format!(r#"{{"model":"m","messages":[],"cache_salt":"{SALT}"}}"#);
    stack.stub.once("/v1/messages", Reply::html_502());
    let (_, text) = stack.ask(Endpoint::Messages, &body).await;
    let error: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(error["type"], "error", "Anthropic's clients look for it");
}

#[tokio::test]
async fn an_engine_that_is_not_there_or_hangs_is_a_sealed_error() {
    let nobody = format!("http://127.0.0.1:{}", privatemode_test_kit::free_port());
    let stack = Stack::with(Options { engine: Some(nobody), ..Default::default() }).await;
    let (status, error) = sealed_error(&stack, &chat("")).await;
    assert_eq!((status, error["code"].as_str()), (503, Some("engine_unreachable")));

    let timeouts = EngineTimeouts { answer: Duration::from_millis(50), ..Default::default() };
    let stack = Stack::with(Options { timeouts, ..Default::default() }).await;
    stack.stub.on("/v1/chat/completions", Reply::stall());
    let (status, error) = sealed_error(&stack, &chat("")).await;
    assert_eq!((status, error["code"].as_str()), (504, Some("engine_timeout")));
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 1).await;
}

#[tokio::test]
async fn an_answer_beyond_the_cap_is_refused() {
    let limits = Limits { answer: 100, ..Default::default() };
    let stack = Stack::with(Options { limits, ..Default::default() }).await;
    assert_eq!(sealed_error(&stack, &chat("")).await.0, 502);
}

#[tokio::test]
async fn a_stream_that_dies_between_events_ends_in_a_sealed_error() {
    let stack = Stack::start().await;
    stack.stub.on("/v1/chat/completions", Reply::chat_stream(&["a", "b"], false).dying_after(2));
    let (request, opener) = stack.seal(CHAT, None, chat(r#","stream":true"#).as_bytes());
    let answer = stack.send(request).await;
    assert!(answer.whole);
    let text = answer.open_stream(CHAT, opener).unwrap();
    assert!(text.contains(r#""content":"b""#) && text.contains("engine_broken"), "{text}");
    assert!(!text.contains("[DONE]"));
    assert!(stack.registry.render().contains("privatemode_broken_streams_total 1"));
}

#[tokio::test]
async fn a_stream_that_dies_within_an_event_or_is_no_json_is_cut() {
    let stack = Stack::start().await;
    let first = "data: {\"choices\":[]}\n\n";
    for reply in [
        Reply::stream([first, "data: {\"cho"]).paced(Duration::from_millis(1)).dying_after(3),
        Reply::stream([first, "data: <html>\n\n", "data: [DONE]\n\n"]).paced(Duration::from_millis(1)),
    ] {
        stack.stub.once("/v1/chat/completions", reply);
        let (request, opener) = stack.seal(CHAT, None, chat(r#","stream":true"#).as_bytes());
        let answer = stack.send(request).await;
        assert!(!answer.whole, "the connection breaks");
        assert_eq!(answer.open_stream(CHAT, opener).unwrap_err(), OpenError::Truncated);
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test]
async fn a_stream_that_the_engine_ends_early_is_recognisable() {
    let stack = Stack::start().await;
    stack.stub.on("/v1/chat/completions", Reply::stream(["data: {\"choices\":[]}\n\n"]));
    let (request, opener) = stack.seal(CHAT, None, chat(r#","stream":true"#).as_bytes());
    let answer = stack.send(request).await;
    assert_eq!(answer.open_stream(CHAT, opener).unwrap_err(), OpenError::Truncated);
}

#[tokio::test]
async fn events_leave_at_once_and_a_caller_that_leaves_frees_the_engine() {
    let stack = Stack::start().await;
    stack.stub.on("/v1/chat/completions", Reply::chat_stream(&["a", "b"], false).stalling_after(1));
    let (request, opener) = stack.seal(CHAT, None, chat(r#","stream":true"#).as_bytes());
    let mut body = stack.worker.handle(request).await.into_body();
    // the second event never comes: the first must not wait for it
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let mut out = Vec::new();
    opener.into_stream(CHAT).push(&first, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains(r#""content":"a""#));
    assert!(stack.registry.render().contains("privatemode_open_streams 1"));
    assert_eq!(stack.stub.abandoned(), 0);
    drop(body);
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 1).await;
    let text = stack.registry.render();
    assert!(
        text.contains("privatemode_open_streams 0") && text.contains("privatemode_open_requests 0"),
        "{text}"
    );
}

#[tokio::test]
async fn requests_are_counted_without_names_of_callers() {
    let stack = Stack::start().await;
    stack.ask(CHAT, &chat("")).await;
    stack.ask(CHAT, &chat("")).await;
    let text = stack.registry.render();
    assert!(
        text.contains(r#"privatemode_requests_total{endpoint="chat_completions",status="200"} 2"#),
        "{text}"
    );
    assert!(text.contains("privatemode_cached_secrets 1"));
    assert!(text.contains(r#"privatemode_secret_lookups_total{result="cached"} 1"#), "{text}");
    assert!(text.contains(r#"privatemode_request_seconds_count{endpoint="chat_completions"} 2"#), "{text}");
    assert!(text.contains("privatemode_gpus 0"));
}

/// Reads the head of one request, answers, and hangs up on the rest: the caller's next write fails.
async fn early_refusal(listener: tokio::net::TcpListener) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut stream, _) = listener.accept().await?;
    let mut start = [0; 1024];
    let _ = stream.read(&mut start).await?;
    let body = r#"{"error":{"message":"at most 16 MiB","type":"x","param":null,"code":"request_too_large"}}"#;
    let head = "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await
}

#[tokio::test]
async fn an_answer_that_comes_before_all_was_sent_counts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = Some(format!("http://{}", listener.local_addr().unwrap()));
    let stack = Stack::with(Options { engine, ..Default::default() }).await;
    let large = chat(&format!(r#","x":"{}""#, "y".repeat(6 << 20)));
    let ((status, error), sent) = tokio::join!(sealed_error(&stack, &large), early_refusal(listener));
    assert_eq!((status, error["message"].as_str()), (413, Some("at most 16 MiB")));
    sent.unwrap();
}

/// A body that sends `length` bytes and then nothing, and whether it has come so far.
fn stuck(
    length: usize,
) -> (impl http_body::Body<Data = Bytes, Error = std::convert::Infallible>, Arc<AtomicBool>) {
    let stuck = Arc::new(AtomicBool::new(false));
    let (reached, mut left) = (Arc::clone(&stuck), Some(Bytes::from(vec![b' '; length])));
    let stream = futures_util::stream::poll_fn(move |_| match left.take() {
        Some(bytes) => Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
        None => {
            reached.store(true, Ordering::SeqCst);
            Poll::Pending
        }
    });
    (http_body_util::StreamBody::new(stream), stuck)
}

#[tokio::test]
async fn large_requests_share_a_budget_and_small_ones_do_not_need_it() {
    const MIB: usize = 1 << 20;
    let limits = Limits { body: 4 * MIB, buffered: 4 * MIB, ..Default::default() };
    let stack = Stack::with(Options { limits, ..Default::default() }).await;
    // Two of the largest fit; with two that nobody finishes, no third one does.
    let mut uploading = Vec::new();
    for _ in 0..2 {
        let (body, is_stuck) = stuck(7 * MIB / 2);
        let worker = stack.worker.clone();
        uploading.push(tokio::spawn(async move {
            worker.handle(Request::post(CHAT.path()).body(body).unwrap()).await
        }));
        wait_until("the upload is stuck", LIMIT, async || is_stuck.load(Ordering::SeqCst)).await;
    }

    let large = chat(&format!(r#","x":"{}""#, "y".repeat(3 * MIB / 2)));
    let (request, _) = stack.seal(CHAT, None, large.as_bytes());
    let refused = stack.send(request).await;
    assert_eq!(refused.headers["retry-after"], "5");
    let (status, error) = plain_error(&refused);
    assert_eq!((status, error["code"].as_str()), (503, Some("worker_busy")));
    assert_eq!(stack.ask(CHAT, &chat("")).await.0, StatusCode::OK);

    for uploading in uploading {
        uploading.abort();
        assert!(uploading.await.unwrap_err().is_cancelled());
    }
    // the second one shows that the first has given back what it held
    for _ in 0..2 {
        assert_eq!(stack.ask(CHAT, &large).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_redirect_of_the_engine_is_an_error() {
    let stack = Stack::start().await;
    stack.stub.on(CHAT.path(), Reply::raw(307, "text/plain", ""));
    let (status, error) = sealed_error(&stack, &chat("")).await;
    assert_eq!((status, error["code"].as_str()), (502, Some("engine_error")));
}

#[tokio::test]
async fn a_stream_that_falls_silent_ends_in_a_sealed_error() {
    let timeouts = EngineTimeouts { answer: Duration::from_millis(200), ..Default::default() };
    let stack = Stack::with(Options { timeouts, ..Default::default() }).await;
    stack.stub.on(CHAT.path(), Reply::chat_stream(&["a", "b"], false).stalling_after(1));
    let (request, opener) = stack.seal(CHAT, None, chat(r#","stream":true"#).as_bytes());
    let answer = tokio::time::timeout(LIMIT, stack.send(request)).await.expect("it does not hang");
    let text = answer.open_stream(CHAT, opener).unwrap();
    assert!(text.contains("engine_broken"), "{text}");
    wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() == 1).await;
}
