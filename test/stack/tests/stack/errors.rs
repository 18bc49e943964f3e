//! Wrong input gets a clear error in OpenAI's shape, with the right status, and loses nothing.

use privatemode_test_kit::{Reply, StubUpstream};
use serde_json::json;

use crate::harness::{Up, refusal};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_refused_with_a_reason() {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url()]);
    up.settled().await;
    let chat = "/chat/completions";
    let good = json!({"model": "stub", "messages": [{"role": "user", "content": "hi"}]});
    let before = upstream.requests().iter().filter(|request| request.path == "/v1/chat/completions").count();

    let wrong = up.post(chat, good.to_string()).header("authorization", "Bearer pm-wrong");
    let mut wrong = wrong.build().unwrap();
    wrong.headers_mut().insert("authorization", "Bearer pm-wrong".parse().unwrap());
    let (status, message) = refusal(Up::client().execute(wrong).await.unwrap()).await;
    assert_eq!(status, 401, "{message}");
    assert!(message.contains("key"), "{message}");

    let mut unknown = good.clone();
    unknown["model"] = json!("no-such-model");
    let (status, message) = refusal(up.post(chat, unknown.to_string()).send().await.unwrap()).await;
    assert_eq!(status, 404, "{message}");
    assert!(message.contains("no-such-model"), "{message}");

    let (status, message) =
        refusal(up.post(chat, "{\"model\": \"stub\",\n \"messages\": [}").send().await.unwrap()).await;
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("line 2"), "{message}");

    let (status, message) = refusal(up.post(chat, "").send().await.unwrap()).await;
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("no body"), "{message}");

    let (status, message) =
        refusal(up.post(chat, r#"{"model":"stub","model":"stub"}"#).send().await.unwrap()).await;
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("duplicate member name"), "{message}");

    let mut short = good.clone();
    short["cache_salt"] = json!("x".repeat(31));
    let (status, message) = refusal(up.post(chat, short.to_string()).send().await.unwrap()).await;
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("cache_salt") && message.contains("32"), "{message}");

    // With a salt of its own a prompt gets a prefix key, which ends at a million tokens of four bytes each.
    let mut huge = good.clone();
    huge["messages"][0]["content"] = json!("x".repeat(20_000_000));
    huge["cache_salt"] = json!("x".repeat(32));
    let (status, message) = refusal(up.post(chat, huge.to_string()).send().await.unwrap()).await;
    assert_eq!(status, 400, "{message}");
    assert!(message.contains("1000000") || message.contains("1,000,000"), "{message}");

    let (status, message) = refusal(up.post("/no/such/path", good.to_string()).send().await.unwrap()).await;
    assert_eq!(status, 404, "{message}");

    // Nothing of it reached the engine, and the session is as good as before.
    let after = upstream.requests().iter().filter(|request| request.path == "/v1/chat/completions").count();
    assert_eq!(before, after);
    assert_eq!(up.post(chat, good.to_string()).send().await.unwrap().status(), 200);
    // Without one, 20 MB are simply a large request: what is too long for a model is the engine's to say.
    huge.as_object_mut().unwrap().remove("cache_salt");
    assert_eq!(up.post(chat, huge.to_string()).send().await.unwrap().status(), 200);
    let arrived = upstream.last();
    assert_eq!(arrived.json()["messages"], huge["messages"]);

    // An image from a file of the worker, and media that could be fetched from inside: refused after opening.
    for part in [
        json!({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}),
        json!({"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}),
        json!({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}),
    ] {
        let body = json!({"model": "stub", "messages": [{"role": "user", "content": [part]}]});
        let (status, message) = refusal(up.post(chat, body.to_string()).send().await.unwrap()).await;
        assert_eq!(status, 400, "{message}");
    }
    // The engine's own refusals arrive with their status.
    upstream.once("/v1/chat/completions", Reply::error(422, "the engine does not like it"));
    let (status, message) = refusal(up.post(chat, good.to_string()).send().await.unwrap()).await;
    assert_eq!((status, message.as_str()), (422, "the engine does not like it"));
    upstream.once("/v1/chat/completions", Reply::html_502());
    let (status, _) = refusal(up.post(chat, good.to_string()).send().await.unwrap()).await;
    assert_eq!(status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_is_an_error_and_not_a_short_answer() {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url()]);
    up.settled().await;
    let body =
        json!({"model": "stub", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();

    // The engine breaks off, and the engine ends in order but without its end marker.
    let without_end = Reply::stream([
        "data: {\"id\":\"1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n",
    ]);
    for reply in [Reply::chat_stream(&["half", " an", " answer"], true).dying_after(2), without_end] {
        upstream.once("/v1/chat/completions", reply);
        let response = up.post("/chat/completions", body.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let mut text = String::new();
        let mut response = response;
        let broken = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => text.push_str(&String::from_utf8_lossy(&chunk)),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(!text.contains("[DONE]"), "{text}");
        assert!(broken || text.contains("\"error\""), "the caller must see that it is cut: {text}");
    }
}
