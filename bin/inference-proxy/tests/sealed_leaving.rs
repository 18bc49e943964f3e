//! Callers that leave in the middle of a sealed answer: the gateway says so, and the answer ends with what it has cost.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod common;

use common::{
    Answer, LIMIT, SALT, Stack,
    sealed::{Opened, Sealed, head},
};
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use privatemode_service::{BoxBody, body::boxed};
use privatemode_test_kit::{Reply, wait_until};
use privatemode_wire::{
    Endpoint,
    header::CANCEL_PATH,
    stream::{Outcome, Padding, PendingResponse, RequestHead},
    usage::{Usage, estimate_prompt},
};

const CHAT: Endpoint = Endpoint::ChatCompletions;
const ID: &str = "0190-of-the-gateway";

fn chat(stream: bool) -> String {
    format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"{}"}}],"cache_salt":"{SALT}","stream":{stream}}}"#,
        "hi ".repeat(100)
    )
}

/// Seals with the gateway's name on it.
fn named(stack: &Stack, head: &RequestHead, body: &str) -> Sealed {
    let mut sealed = stack.seal_body(head, body.as_bytes());
    sealed.request.headers_mut().insert("x-request-id", HeaderValue::from_static(ID));
    sealed
}

async fn cancel(stack: &Stack, id: &str) -> u16 {
    let request = Request::post(CANCEL_PATH).header("x-request-id", id).body(Full::default()).unwrap();
    Answer::of(stack.worker.handle(request).await).await.status.as_u16()
}

/// Takes `count` frames, has the answer ended, and opens all of it: what was taken, and what came then.
async fn leave_after(
    count: usize,
    stack: &Stack,
    response: Response<BoxBody>,
    pending: PendingResponse,
) -> Opened {
    let (parts, mut body) = response.into_parts();
    let mut taken = Vec::new();
    while taken.len() < count {
        taken.push(body.frame().await.unwrap());
    }
    assert_eq!(cancel(stack, ID).await, 204);
    let rest = stream::unfold(body, async |mut body| Some((body.frame().await?, body)));
    let frames = StreamBody::new(Box::pin(stream::iter(taken).chain(rest)));
    Opened::of(Response::from_parts(parts, boxed(frames)), pending).await.unwrap()
}

#[tokio::test]
async fn a_stream_that_is_left_costs_what_came() {
    let stack = Stack::start().await;
    for padding in [Padding::Bucket, Padding::Off, "constant/512/5".parse().unwrap()] {
        let before = stack.stub.abandoned();
        stack.stub.once(CHAT.path(), Reply::chat_stream(&["a", "b", "c", "d"], true).stalling_after(3));
        let body = chat(true);
        let head = RequestHead { padding, receipt: true, ..head(CHAT, &body) };
        let sealed = named(&stack, &head, &body);
        let (pending, names) = (sealed.pending, sealed.names);
        let response = stack.worker.handle(sealed.request).await;
        assert_eq!(cancel(&stack, "another").await, 404);
        // But for the mode `constant`, the first frame has the head and at least one event.
        let answer = leave_after(1, &stack, response, pending).await;
        assert_eq!(answer.trailer.outcome, Outcome::Cancelled, "{padding}");
        let usage = answer.usage.unwrap();
        assert_eq!(Some(usage), answer.trailer.usage);
        assert_eq!(usage.prompt_tokens, estimate_prompt(chat(true).as_bytes()), "{padding}");
        let came = answer.text().matches("data: ").count() as u64;
        assert!(came >= 1 || matches!(padding, Padding::Constant(_)), "{padding}");
        assert!((came..=3).contains(&usage.completion_tokens), "{padding}: {came} of {usage:?}");
        let receipt = stack.receipt(names, &answer);
        assert_eq!((receipt.outcome, receipt.usage), (Outcome::Cancelled, Some(usage)));
        assert_eq!(cancel(&stack, ID).await, 404, "it has ended");
        wait_until("the engine is hung up on", LIMIT, async || stack.stub.abandoned() > before).await;
    }
    assert!(stack.registry.render().contains("privatemode_cancelled_answers_total 3"));
}

/// What the engine has said counts, and what came since is added.
#[tokio::test]
async fn the_engines_own_count_wins() {
    let stack = Stack::start().await;
    let event = |usage: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"x\"}}}}],\"usage\":{usage}}}\n\n")
    };
    let told =
        event(r#"{"prompt_tokens":9,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":4}}"#);
    let events = [event("null"), told, event("null"), event("null")];
    stack.stub.on(
        CHAT.path(),
        Reply::stream([events.concat()].into_iter().chain([String::new()])).stalling_after(1),
    );
    let body = chat(true);
    let sealed = named(&stack, &head(CHAT, &body), &body);
    let response = stack.worker.handle(sealed.request).await;
    let answer = leave_after(1, &stack, response, sealed.pending).await;
    let expected = Usage {
        prompt_tokens: 9,
        completion_tokens: 22,
        total_tokens: 31,
        cached_tokens: 4,
        ..Usage::default()
    };
    assert_eq!((answer.trailer.outcome, answer.usage), (Outcome::Cancelled, Some(expected)));
}

/// Of a document the engine has done all the work when its answer begins.
#[tokio::test]
async fn a_document_that_is_left_costs_all_of_it() {
    let stack = Stack::start().await;
    let half = format!(r#"{{"choices":[{{"text":"{}"}}],"#, "x".repeat(300_000));
    let rest = r#""usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}"#;
    let reply = Reply::stream([half, rest.to_owned()]).paced(std::time::Duration::from_secs(2));
    stack.stub.on(CHAT.path(), reply.with_content_type("application/json"));
    let body = chat(false);
    let sealed = named(&stack, &head(CHAT, &body), &body);
    let response = stack.worker.handle(sealed.request).await;
    let answer = leave_after(1, &stack, response, sealed.pending).await;
    assert_eq!((answer.status, answer.trailer.outcome), (StatusCode::OK, Outcome::Cancelled));
    let expected = Usage { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8, ..Usage::default() };
    assert_eq!(answer.usage, Some(expected));
    assert!(!answer.text().contains("usage"), "the rest was counted and not sealed");
    assert_eq!(stack.stub.abandoned(), 0);
}

#[tokio::test]
async fn only_posts_end_answers() {
    let stack = Stack::start().await;
    let request = Request::get(CANCEL_PATH).body(Full::default()).unwrap();
    assert_eq!(Answer::of(stack.worker.handle(request).await).await.status, 405);
    let request = Request::post(CANCEL_PATH).body(Full::default()).unwrap();
    let answer = Answer::of(stack.worker.handle(request).await).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"]["code"].as_str()), (404, Some("not_running")));
}
