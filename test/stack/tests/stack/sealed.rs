//! A gateway gone bad, over sealed bodies: each kind of change ends in a named error at the right side, and never in a wrong
//! or short answer. Sampled here through real processes; `privatemode-wire` has each byte.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderMap;
use privatemode_test_kit::{Message, Place, Reply, Segments, StubUpstream, Verdict};
use serde_json::json;

use crate::harness::{Up, refusal};
use crate::rogue::Rogue;

const CHAT: &str = "/v1/chat/completions";

type Change = Box<dyn FnMut(&mut HeaderMap, &mut Segments) + Send>;

fn is_sealed(headers: &HeaderMap) -> bool {
    headers.get("content-type").is_some_and(|value| value == "application/vnd.privatemode.encrypted-body")
}

fn in_request(mut change: Change) -> impl FnMut(Message<'_>) -> Verdict + Send {
    move |message| {
        if let Message::Request { parts, body } = message
            && parts.uri.path() == CHAT
        {
            assert!(is_sealed(&parts.headers), "sealed bodies are the default");
            let mut segments = Segments::parse(body);
            change(&mut parts.headers, &mut segments);
            *body = segments.to_bytes();
        }
        Verdict::Forward
    }
}

fn in_answer(mut change: Change) -> impl FnMut(Message<'_>) -> Verdict + Send {
    move |message| {
        if let Message::Response { request, parts, body } = message
            && request.uri.path() == CHAT
        {
            assert!(is_sealed(&parts.headers), "{:?}: {body:?}", parts.headers);
            let mut segments = Segments::parse(body);
            change(&mut parts.headers, &mut segments);
            *body = segments.to_bytes();
        }
        Verdict::Forward
    }
}

fn forward(_: Message<'_>) -> Verdict {
    Verdict::Forward
}

fn boxed(change: impl FnMut(&mut HeaderMap, &mut Segments) + Send + 'static) -> Change {
    Box::new(change)
}

fn set(name: &'static str, value: &'static str) -> Change {
    boxed(move |headers, _| drop(headers.insert(name, value.parse().unwrap())))
}

fn remove(name: &'static str) -> Change {
    boxed(move |headers, _| drop(headers.remove(name)))
}

fn flip(segment: usize, place: Place) -> Change {
    boxed(move |_, segments| segments.flip(segment, place))
}

/// Long enough for two segments.
fn chat() -> String {
    json!({"model": "stub", "max_tokens": 5, "cache_salt": "x".repeat(32),
        "messages": [{"role": "user", "content": "hi".repeat(40_000)}]})
    .to_string()
}

async fn stack() -> (StubUpstream, Up) {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url()]);
    (upstream, up)
}

fn chats(upstream: &StubUpstream) -> usize {
    upstream.requests().iter().filter(|request| request.path == CHAT).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_sealed_request_never_reaches_the_engine() {
    let (upstream, up) = stack().await;
    let rogue = Rogue::start(&up, forward).await;
    rogue.settled().await;
    // An earlier exchange, to be played into a later one.
    let earlier = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&earlier);
    rogue.tamper(in_request(boxed(move |headers, segments| {
        *keep.lock().unwrap() = Some((headers.clone(), segments.clone()));
    })));
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    let (headers, segments) = earlier.lock().unwrap().take().unwrap();
    assert_eq!(segments.count(), 2, "one that is full, and the last");
    let (salt, other) = (headers["privatemode-oae-request-header"].clone(), segments.clone());

    let tampered = "was tampered with, or belongs elsewhere";
    let differs = "differs from what the sealed head says";
    let cases: Vec<(&str, Change, &str)> = vec![
        (
            "no salt",
            remove("privatemode-oae-request-header"),
            "needs the header Privatemode-OAE-Request-Header",
        ),
        ("broken salt", set("privatemode-oae-request-header", "x"), "salt"),
        (
            "another salt",
            boxed(move |headers, _| drop(headers.insert("privatemode-oae-request-header", salt.clone()))),
            tampered,
        ),
        ("another model", set("privatemode-target-model", "stub2"), "stub2"),
        ("no limit", remove("privatemode-max-tokens"), differs),
        ("another limit", set("privatemode-max-tokens", "6"), differs),
        ("another length", set("privatemode-content-length-tokens", "1"), differs),
        ("another shard", set("privatemode-shard-key", "00"), differs),
        ("flag", flip(0, Place::Flag), tampered),
        ("nonce", flip(0, Place::Nonce), tampered),
        ("head", flip(0, Place::Ciphertext), tampered),
        ("body", flip(1, Place::Ciphertext), tampered),
        ("tag", flip(1, Place::Tag), tampered),
        ("drop the first", boxed(|_, segments| segments.drop_segment(0)), tampered),
        ("swap", boxed(|_, segments| segments.swap(0, 1)), tampered),
        ("repeat", boxed(|_, segments| segments.repeat(0)), tampered),
        ("play in", boxed(move |_, segments| segments.play_in(1, &other)), tampered),
        ("cut", boxed(|_, segments| segments.truncate(1)), "cut off"),
        ("all cut", boxed(|_, segments| segments.truncate(0)), "cut off"),
        ("shorter length", flip(0, Place::Length), tampered),
    ];
    for (name, change, expected) in cases {
        rogue.tamper(in_request(change));
        let before = chats(&upstream);
        let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
        assert!((400..500).contains(&status), "{name}: {status} {message}");
        assert!(message.contains(expected), "{name}: {message}");
        assert_eq!(chats(&upstream), before, "{name}: it reached the engine");
    }

    // Replayed through the real stack: the very bytes of before, headers and all. The engine may begin while the replay memory is
    // asked, but nothing of its answer leaves the worker.
    let seen = Arc::new(Mutex::new(None));
    let see = Arc::clone(&seen);
    rogue.tamper(move |message| {
        match message {
            Message::Request { parts, body } if parts.uri.path() == CHAT => {
                parts.headers = headers.clone();
                *body = segments.to_bytes();
            }
            Message::Response { request, parts, .. } if request.uri.path() == CHAT => {
                *see.lock().unwrap() = Some((parts.status, is_sealed(&parts.headers)));
            }
            _ => {}
        }
        Verdict::Forward
    });
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    let answered = seen.lock().unwrap().take();
    assert_eq!(answered, Some((http::StatusCode::CONFLICT, true)), "the worker refuses, under seal");
    // The refusal is sealed for the earlier exchange: this proxy cannot even open it.
    assert_eq!(status, 502, "{message}");
    assert!(message.contains(tampered), "{message}");
    rogue.tamper(forward);
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_sealed_answer_is_an_error() {
    let (upstream, up) = stack().await;
    upstream.on(CHAT, Reply::chat(&"long ".repeat(30_000)));
    let rogue = Rogue::start(&up, forward).await;
    rogue.settled().await;
    let earlier = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&earlier);
    rogue.tamper(in_answer(boxed(move |headers, segments| {
        *keep.lock().unwrap() = Some((headers.clone(), segments.clone()));
    })));
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    let (headers, other) = earlier.lock().unwrap().take().unwrap();
    let count = other.count();
    assert!(count >= 3, "head, body, trailer: {count}");
    let (other, moved) = (other.clone(), other);

    let tampered = "was tampered with, or belongs elsewhere";
    let mut cases: Vec<(String, Change, &str)> = vec![
        ("no salt".into(), remove("privatemode-oae-response-header"), "Response-Header is missing"),
        ("broken salt".into(), set("privatemode-oae-response-header", "x"), "Response-Header is malformed"),
        ("drop".into(), boxed(|_, segments| segments.drop_segment(1)), tampered),
        ("swap".into(), boxed(|_, segments| segments.swap(0, 1)), tampered),
        ("repeat".into(), boxed(|_, segments| segments.repeat(1)), tampered),
        ("play in".into(), boxed(move |_, segments| segments.play_in(1, &other)), tampered),
        (
            "another exchange".into(),
            boxed(move |now, segments| {
                *now = headers.clone();
                segments.clone_from(&moved);
            }),
            tampered,
        ),
        ("trailer".into(), flip(count - 1, Place::Ciphertext), tampered),
        ("twice".into(), boxed(move |_, segments| segments.repeat(count - 1)), "behind the last segment"),
    ];
    for place in [Place::Flag, Place::Nonce, Place::Ciphertext, Place::Tag, Place::Length] {
        cases.push((format!("{place:?}"), flip(0, place), tampered));
    }
    for kept in 0..count {
        let cut = boxed(move |_, segments| segments.truncate(kept));
        cases.push((format!("cut behind {kept}"), cut, "its last segment is missing"));
    }
    for (name, change, expected) in cases {
        rogue.tamper(in_answer(change));
        let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
        assert_eq!(status, 502, "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
    }

    // The status: outside only.
    rogue.tamper(|message| {
        if let Message::Response { request, parts, .. } = message
            && request.uri.path() == CHAT
        {
            parts.status = http::StatusCode::CREATED;
        }
        Verdict::Forward
    });
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    assert!(
        status == 502 && message.contains("its status is 201 outside and 200 under the seal"),
        "{message}"
    );

    // The request played back as its own answer: another direction has another key.
    let request = Arc::new(Mutex::new(Bytes::new()));
    rogue.tamper(move |message| {
        match message {
            Message::Request { parts, body } if parts.uri.path() == CHAT => {
                *request.lock().unwrap() = body.clone();
            }
            Message::Response { request: asked, body, .. } if asked.uri.path() == CHAT => {
                *body = request.lock().unwrap().clone();
            }
            _ => {}
        }
        Verdict::Forward
    });
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    assert!(status == 502 && message.contains(tampered), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_on_the_way_talks_the_proxy_down() {
    let (upstream, up) = stack().await;
    let rogue = Rogue::start(&up, forward).await;
    rogue.settled().await;
    let status: serde_json::Value =
        serde_json::from_str(&rogue.status().send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    assert!(status.is_object());
    let plain = |marked: bool| {
        move |message: Message<'_>| {
            if let Message::Response { request, parts, body } = message
                && request.uri.path() == CHAT
            {
                parts.headers.insert("content-type", "application/json".parse().unwrap());
                parts.headers.remove("privatemode-oae-response-header");
                if marked {
                    parts.headers.insert("privatemode-encrypted", "false".parse().unwrap());
                }
                *body = Bytes::from_static(b"{\"id\":\"1\",\"choices\":[],\"usage\":{}}");
            }
            Verdict::Forward
        }
    };
    for marked in [false, true] {
        rogue.tamper(plain(marked));
        let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
        assert!(status == 502 && message.contains("unencrypted answer"), "{message}");
    }
    // As if the worker knew only sealed fields: the error passes, the next request is sealed all the same.
    rogue.tamper(|message| {
        if let Message::Response { request, parts, body } = message
            && request.uri.path() == CHAT
        {
            parts.status = http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
            parts.headers.insert("privatemode-encrypted", "false".parse().unwrap());
            parts.headers.insert("content-type", "application/json".parse().unwrap());
            *body = Bytes::from_static(
                b"{\"error\":{\"message\":\"fields only\",\"type\":\"x\",\"param\":null,\"code\":null}}",
            );
        }
        Verdict::Forward
    });
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    assert_eq!((status, message.as_str()), (415, "fields only"));
    let sealed = in_request(boxed(|_, _| {}));
    rogue.tamper(sealed);
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    drop(upstream);
}
