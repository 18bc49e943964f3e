//! What a gateway does to sealed bodies: always an error of its own name, never a wrong or short answer.

use http::{HeaderMap, HeaderName};
use privatemode_wire::stream::{Outcome, outer};

use super::{sealed::world, worker::Sealed, *};

async fn refused(world: &World, sealed: Sealed, expected: &str) {
    world.gateway.seals(sealed);
    let answer = world.chat().await;
    let (status, code, message) = fault(&answer);
    assert_eq!(status, 502, "{message}");
    assert!(code.starts_with("answer_") || code == "unexpected_status", "{code}: {message}");
    assert!(message.contains(expected), "{message}");
}

fn changed(
    change: impl Fn(&mut StatusCode, &mut HeaderMap, &mut Vec<Vec<u8>>) + Send + Sync + 'static,
) -> Sealed {
    Sealed { body: vec![b"{\"a\":1}".to_vec(), b" ".to_vec()], ..Sealed::default() }.changed(change)
}

#[tokio::test]
async fn every_part_of_an_answer_is_guarded() {
    let world = world(&[]).await;
    let tampered = "was tampered with, or belongs elsewhere";
    refused(
        &world,
        changed(|status, _, _| *status = StatusCode::CREATED),
        "its status is 201 outside and 200",
    )
    .await;
    refused(&world, changed(|status, _, _| *status = StatusCode::BAD_REQUEST), "its status is 400 outside")
        .await;
    refused(&world, changed(|status, _, _| *status = StatusCode::TEMPORARY_REDIRECT), "redirection").await;
    let remove = |name: &'static str| changed(move |_, headers, _| drop(headers.remove(name)));
    refused(&world, remove(outer::RESPONSE_HEADER), "Privatemode-OAE-Response-Header is missing").await;
    let set = |name: &'static str, value: &'static str| {
        changed(move |_, headers, _| {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        })
    };
    refused(&world, set(outer::RESPONSE_HEADER, "x"), "Privatemode-OAE-Response-Header is malformed").await;
    let other = ":AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    refused(&world, set(outer::RESPONSE_HEADER, other), &format!("segment 0 {tampered}")).await;

    // length, flag, nonce, ciphertext, tag
    for (at, expected) in [
        (0, "a segment claims"),
        (4, "segment 0 has the unknown flag"),
        (5, tampered),
        (17, tampered),
        (290, tampered),
    ] {
        refused(&world, changed(move |_, _, segments| segments[0][at] ^= 0x80), expected).await;
    }
    refused(&world, changed(|_, _, segments| segments[1][4] ^= 1), &format!("segment 1 {tampered}")).await;
    refused(&world, changed(|_, _, segments| drop(segments.remove(0))), &format!("segment 0 {tampered}"))
        .await;
    refused(&world, changed(|_, _, segments| drop(segments.remove(1))), &format!("segment 1 {tampered}"))
        .await;
    refused(&world, changed(|_, _, segments| segments.swap(0, 1)), &format!("segment 0 {tampered}")).await;
    let repeat = |_: &mut StatusCode, _: &mut HeaderMap, segments: &mut Vec<Vec<u8>>| {
        let again = segments[1].clone();
        segments.insert(1, again);
    };
    refused(&world, changed(repeat), &format!("segment 2 {tampered}")).await;
    refused(&world, changed(|_, _, segments| segments.push(segments[0].clone())), "behind the last segment")
        .await;
    // cut: at each boundary and within a segment
    for kept in 0..3 {
        let cut = changed(move |_, _, segments| segments.truncate(kept));
        refused(&world, cut, "its last segment is missing").await;
    }
    let within =
        |_: &mut StatusCode, _: &mut HeaderMap, segments: &mut Vec<Vec<u8>>| segments[2].truncate(40);
    refused(&world, changed(within), "its last segment is missing").await;
    let broken = Sealed { broken_after: Some(1), ..Sealed::default() };
    refused(&world, broken, "the connection to the API endpoint broke").await;
    let failed = Sealed { outcome: Outcome::Failed, ..Sealed::default() };
    refused(&world, failed, "the engine failed in the middle").await;
    let cancelled = Sealed { outcome: Outcome::Cancelled, ..Sealed::default() };
    refused(&world, cancelled, "it was given up in the middle").await;
    // and as it was, it is good
    world.gateway.seals(changed(|_, _, _| {}));
    assert_eq!(world.chat().await.0, 200);
}

#[tokio::test]
async fn an_answer_of_another_exchange_is_refused() {
    let world = world(&[]).await;
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = Arc::clone(&kept);
    world.gateway.seals(changed(move |_, headers, segments| {
        *keep.lock().unwrap() = Some((headers.clone(), segments.clone()));
    }));
    assert_eq!(world.chat().await.0, 200);
    let (headers, segments) = kept.lock().unwrap().clone().unwrap();
    let replay = changed(move |_, now, body| {
        *now = headers.clone();
        body.clone_from(&segments);
    });
    refused(&world, replay, "segment 0 was tampered with, or belongs elsewhere").await;
}

#[tokio::test]
async fn plain_answers_pass_only_as_errors() {
    let world = world(&[]).await;
    let plain = |_: &mut StatusCode, headers: &mut HeaderMap, segments: &mut Vec<Vec<u8>>| {
        headers.insert("content-type", "application/json".parse().unwrap());
        headers.remove(outer::RESPONSE_HEADER);
        *segments = vec![b"{\"choices\":[]}".to_vec()];
    };
    refused(&world, changed(plain), "unencrypted answer").await;
    let marked = move |status: &mut StatusCode, headers: &mut HeaderMap, segments: &mut Vec<Vec<u8>>| {
        plain(status, headers, segments);
        headers.insert("privatemode-encrypted", "false".parse().unwrap());
    };
    refused(&world, changed(marked), "unencrypted answer").await;
    // The content type alone changed: it is opened all the same.
    world.gateway.seals(changed(|_, headers, _| {
        headers.insert("content-type", "application/json".parse().unwrap());
    }));
    assert_eq!(world.chat().await.0, 200);
    world.gateway.seals(changed(|status, headers, segments| {
        *status = StatusCode::NOT_FOUND;
        headers.insert("content-type", "text/html".parse().unwrap());
        headers.remove(outer::RESPONSE_HEADER);
        *segments = vec![b"<script>".to_vec()];
    }));
    let answer = world.chat().await;
    assert_eq!((fault(&answer).0, fault(&answer).1), (404, "upstream_error"));
}

/// The body up to its end, and whether it ended well.
async fn read(response: reqwest::Response) -> (String, bool) {
    let (mut response, mut text) = (response, String::new());
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
            Ok(None) => return (text, true),
            Err(_) => return (text, false),
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_behind_whole_events() {
    let world = world(&[]).await;
    let events = ["data: 1\n\n", "data: 2\n\ndata: half", " of it\n\n"];
    let cases = [
        (
            Sealed::events(&events).changed(|_, _, segments| segments.truncate(2)),
            "its last segment is missing",
        ),
        (
            Sealed::events(&events).changed(|_, _, segments| segments[2][40] ^= 1),
            "segment 2 was tampered with",
        ),
        (Sealed { broken_after: Some(2), ..Sealed::events(&events) }, "connection to the API endpoint broke"),
    ];
    for (sealed, expected) in cases {
        world.gateway.seals(sealed);
        let (text, whole) = read(world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap()).await;
        let error = text.strip_prefix("data: 1\n\ndata: 2\n\n").unwrap_or_else(|| panic!("{text}"));
        assert!(error.contains("\"answer_broken\"") && error.contains(expected), "{text}");
        assert!(!whole, "the connection breaks, too");
    }
    world.gateway.seals(Sealed::events(&["data: 1\n\n"]));
    let (text, whole) = read(world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap()).await;
    assert!(text.contains("the stream ended before its end mark") && !whole, "{text}");
    world.gateway.seals(Sealed { outcome: Outcome::Failed, ..Sealed::events(&["data: 1\n\n"]) });
    let (text, whole) = read(world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap()).await;
    assert!(text.contains("the engine failed in the middle") && !whole, "{text}");
}

#[tokio::test]
async fn a_long_document_that_breaks_never_looks_whole() {
    let world = world(&[]).await;
    let long = Sealed { body: vec![vec![b' '; 3 << 20]], ..Sealed::default() };
    world.gateway.seals(long.clone());
    let (text, whole) = read(world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap()).await;
    assert!(whole && text.len() == 3 << 20);
    for broken in [
        long.clone().changed(|_, _, segments| drop(segments.pop())),
        Sealed { outcome: Outcome::Failed, ..long },
    ] {
        world.gateway.seals(broken);
        let (_, whole) = read(world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap()).await;
        assert!(!whole, "the connection breaks");
    }
}

#[tokio::test]
async fn a_document_where_events_were_asked_for_is_refused() {
    let world = world(&[]).await;
    let body = r#"{"model":"demo","stream":true,"messages":[]}"#;
    let answer = world.post(CHAT, body).await;
    assert!(
        fault(&answer).2.contains("it is a document where a stream of events was asked for"),
        "{answer:?}"
    );
}
