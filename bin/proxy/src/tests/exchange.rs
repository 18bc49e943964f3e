//! Requests and answers in good order, retries, keys, and what the caller did wrong.

use std::sync::atomic::Ordering::SeqCst;

use super::{gateway::Answer, *};

fn content(answer: &(StatusCode, Value)) -> String {
    assert_eq!(answer.0, 200, "{answer:?}");
    answer.1["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_and_nothing_of_it_is_readable_on_the_way() {
    let world = World::new().await;
    let body = r#" { "model" : "demo", "messages":[{"role":"user","content":"gr\u00fc\u00dfe CANARY"}], "big": 1e400, "n":1 } "#;
    let answer = world.post(CHAT, body).await;
    let echoed = content(&answer);
    let (before, after) = echoed.split_once(r#","cache_salt":""#).expect("a salt was inserted");
    assert_eq!(format!("{before}{}", after.split_once('"').unwrap().1), body, "every other byte is kept");

    let seen = &world.gateway.seen()[0];
    let sealed = String::from_utf8(seen.sealed.to_vec()).unwrap();
    assert!(!sealed.contains("CANARY") && !sealed.contains("user") && sealed.contains(r#""model" : "demo""#));
    let header = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("privatemode-target-model").as_deref(), Some("demo"));
    assert_eq!(header("privatemode-client").as_deref(), Some("Proxy"));
    assert_eq!(header("authorization").as_deref(), Some("Bearer pm-good"));
    assert_eq!(header("privatemode-shard-key"), None, "a salt of this request only");
    let policy = header("privatemode-nvidia-ocsp-policy").unwrap();
    assert!(
        policy.starts_with("rules=allow-good,allow-revoked,allow-unknown; revocation-time-not-before="),
        "{policy}"
    );
    let id = header("privatemode-user-request-id").unwrap();
    assert!(id.starts_with("proxy_") && id.ends_with("_1") && id.len() == "proxy_".len() + 36 + 2, "{id}");
    world.stop().await;
}

#[tokio::test]
async fn what_tools_put_into_headers_stays_here() {
    let world = World::new().await;
    let request = world
        .tool
        .post(world.url(CHAT))
        .header("cookie", "session=1")
        .header("x-openwebui-user-email", "someone@example.com")
        .header("user-agent", "tool/1")
        .header("privatemode-secret-id", "forged")
        .header("privatemode-shard-key", "forged")
        .header("anthropic-version", "2023-06-01")
        .body(PROMPT);
    assert_eq!(answer(request).await.0, 200);
    let headers = &world.gateway.seen()[0].headers;
    for absent in
        ["cookie", "x-openwebui-user-email", "user-agent", "privatemode-shard-key", "x-forwarded-for"]
    {
        assert!(!headers.contains_key(absent), "{absent}");
    }
    assert_eq!(headers["anthropic-version"], "2023-06-01");
    assert_ne!(headers["privatemode-secret-id"], "forged");
}

#[tokio::test]
async fn a_stream_arrives_event_by_event_with_its_structure() {
    let world = World::new().await;
    world.gateway.answers(Answer::Stream);
    let response = world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let text = response.text().await.unwrap();
    let expected = "data: {\"id\":\"x\",\"choices\":[1]}\n\n: a comment\ndata: {\"id\":\"x\",\"choices\":[2]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\ndata: [DONE]\n\n";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn a_lost_secret_is_renewed_and_the_request_repeated_at_once() {
    let world = World::new().await;
    content(&world.chat().await);
    world.gateway.deployment().forget();
    content(&world.chat().await);
    let seen = world.gateway.seen();
    assert_eq!(seen.len(), 3);
    assert_ne!(seen[1].headers["privatemode-secret-id"], seen[2].headers["privatemode-secret-id"]);
    assert_ne!(seen[1].sealed, seen[2].sealed, "sealed anew");
    let attempt =
        |index: usize| seen[index].headers["privatemode-user-request-id"].to_str().unwrap().to_owned();
    assert_eq!(attempt(1).strip_suffix("_1"), attempt(2).strip_suffix("_2"));
}

#[tokio::test]
async fn a_redeployment_costs_no_request() {
    let world = World::new().await;
    content(&world.chat().await);
    world.gateway.redeploys(Deployment::new("2"));
    content(&world.chat().await);
    let log = std::fs::read_to_string(world.workspace.path().join("manifests/log.txt")).unwrap();
    assert_eq!(log.lines().count(), 2, "{log}");
    let second = std::fs::read(world.workspace.path().join("manifests/2.json")).unwrap();
    assert_eq!(second, world.gateway.deployment().manifest);
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_is_tried_once_more() {
    let world = World::new().await;
    content(&world.chat().await);
    world.gateway.state.resets.store(1, SeqCst);
    content(&world.chat().await);
    world.gateway.state.resets.store(2, SeqCst);
    let answer = world.chat().await;
    assert_eq!(fault(&answer).1, "api_unreachable");
    assert_eq!(world.gateway.state.resets.load(SeqCst), 0, "exactly two attempts");
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_request() {
    let world = World::new().await;
    world.gateway.answers(Answer::Silent);
    let request = world.tool.post(world.url(CHAT)).body(PROMPT);
    let caller = tokio::spawn(request.send());
    while world.gateway.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    caller.abort();
    while world.gateway.state.abandoned.load(SeqCst) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_shared_cache_has_one_salt_and_a_shard_key() {
    let deployment = Arc::new(Deployment::new("1"));
    let world =
        World::with(deployment, &["--apiKey", KEY, "--danger-simulated", "--sharedPromptCache"]).await;
    let (first, second) = (content(&world.chat().await), content(&world.chat().await));
    assert_eq!(first, second);
    let seen = world.gateway.seen();
    assert_eq!(seen[0].headers["privatemode-shard-key"], seen[1].headers["privatemode-shard-key"]);
    // the caller's own salt wins
    let salt = "0123456789abcdef0123456789abcdef";
    let own = format!(r#"{{"model":"demo","cache_salt":"{salt}"}}"#);
    assert_eq!(content(&world.post(CHAT, own.clone()).await), own);
}

#[tokio::test]
async fn an_audio_form_keeps_its_boundary_and_names_its_model() {
    let world = World::new().await;
    let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n\
                --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"secret name.wav\"\r\n\r\nRIFF\r\n--b--\r\n";
    let request = world
        .tool
        .post(world.url("/v1/audio/transcriptions"))
        .header("content-type", "multipart/form-data; boundary=b")
        .body(form);
    assert_eq!(answer(request).await.0, 200);
    let seen = &world.gateway.seen()[0];
    assert_eq!(seen.headers["privatemode-target-model"], "whisper");
    assert!(String::from_utf8_lossy(seen.opened.as_ref().unwrap()).contains("RIFF"));
    assert!(!String::from_utf8_lossy(&seen.sealed).contains("secret name"));
}

#[tokio::test]
async fn a_large_request() {
    let world = World::new().await;
    let body = format!(r#"{{"model":"demo","messages":"{}"}}"#, "x".repeat(3 << 20));
    assert!(content(&world.post(CHAT, body.clone()).await).len() > body.len());
}

#[tokio::test]
async fn a_wrong_key_is_a_401() {
    let deployment = Arc::new(Deployment::new("1"));
    let world = World::with(deployment, &["--apiKey", "pm-wrong", "--danger-simulated"]).await;
    let answer = world.chat().await;
    assert_eq!(fault(&answer), (401, "gateway_says_no", "no such key"), "the gateway's own words");
    let (status, text) = world.get("/readyz").await;
    assert!(status == 503 && text.contains("refused the API key"), "{text}");
}

#[tokio::test]
async fn without_a_key_callers_bring_theirs_and_a_bad_first_one_does_no_harm() {
    let deployment = Arc::new(Deployment::new("1"));
    let world = World::with(deployment, &["--danger-simulated"]).await;
    let answer_to = |key: Option<&'static str>| {
        let request = world.tool.post(world.url(CHAT)).body(PROMPT);
        answer(match key {
            Some(key) => request.bearer_auth(key),
            None => request,
        })
    };
    let none = answer_to(None).await;
    assert_eq!(fault(&none).0, 401);
    assert_eq!(fault(&none).1, "missing_api_key");
    let bad = answer_to(Some("pm-bad")).await;
    assert_eq!(fault(&bad).0, 401);
    content(&answer_to(Some(KEY)).await);
    let bad = answer_to(Some("pm-bad")).await;
    assert_eq!(fault(&bad), (401, "gateway_says_no", "no such key"), "passed on as it is");
    assert_eq!(world.gateway.seen().len(), 1);
    // An Anthropic client's header counts, too.
    let request = world.tool.post(world.url("/v1/messages")).header("x-api-key", KEY).body(PROMPT);
    content(&answer(request).await);
}

#[tokio::test]
async fn models_pass_without_sealing() {
    let world = World::new().await;
    let (status, text) = world.get("/v1/models").await;
    assert_eq!((status.as_u16(), text.as_str()), (200, r#"{"object":"list","data":[{"id":"demo"}]}"#));
}

#[tokio::test]
async fn what_the_caller_did_wrong_is_told_without_a_round_trip() {
    let world = World::new().await;
    let check = |answer: (StatusCode, Value), status: u16, code: &str, part: &str| {
        let (got_status, got_code, message) = fault(&answer);
        assert_eq!((got_status, got_code), (status, code), "{message}");
        assert!(message.contains(part), "{message}");
    };
    check(world.post(CHAT, "").await, 400, "empty_body", "`messages`");
    check(
        world.post(CHAT, "{\"model\":\"demo\",\n \"messages\": oops}").await,
        400,
        "invalid_json",
        "line 2, column 14",
    );
    check(world.post(CHAT, "[]").await, 400, "invalid_json", "expected a JSON object");
    check(
        world.post(CHAT, r#"{"model":"a","model":"b"}"#).await,
        400,
        "invalid_json",
        "duplicate member name",
    );
    check(world.post(CHAT, r#"{"messages":[]}"#).await, 400, "missing_model", "GET /v1/models");
    check(world.post(CHAT, r#"{"model":7}"#).await, 400, "invalid_model", "not the name of a model");
    let short = format!(r#"{{"model":"demo","cache_salt":"{}"}}"#, "s".repeat(31));
    check(world.post(CHAT, short).await, 400, "invalid_cache_salt", "it has 31");
    check(world.post("/v1/audio/translations", "x").await, 400, "invalid_form", "multipart/form-data");
    check(world.post("/v1/images", PROMPT).await, 404, "unknown_path", "/v1/chat/completions");
    let twice = world
        .tool
        .post(world.url(CHAT))
        .header("content-type", "text/plain")
        .header("content-type", "application/json");
    check(answer(twice.body(PROMPT)).await, 400, "several_content_types", "Send one");
    let zipped = world.tool.post(world.url(CHAT)).header("content-encoding", "gzip");
    check(answer(zipped.body(PROMPT)).await, 415, "content_encoding", "compressed");
    let foreign = world.tool.post(world.url(CHAT)).header("origin", "https://evil.example");
    check(answer(foreign.body(PROMPT)).await, 403, "origin_not_allowed", "--allowOrigin");
    assert!(world.gateway.seen().is_empty());
}

#[tokio::test]
async fn an_error_comes_as_an_event_where_events_are_expected() {
    let world = World::new().await;
    let request = world.tool.post(world.url(CHAT)).header("accept", "text/event-stream").body("{");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(response.text().await.unwrap().starts_with("event: error\ndata: {\"error\":"));
}

#[tokio::test]
async fn a_local_application_may_read_the_answer() {
    let world = World::new().await;
    let response =
        world.tool.post(world.url(CHAT)).header("origin", "app://bundle").body(PROMPT).send().await.unwrap();
    assert_eq!(response.headers()["access-control-allow-origin"], "app://bundle");
}

#[tokio::test]
async fn dumps_are_written_only_when_asked_for() {
    let world = World::new().await;
    content(&world.chat().await);
    assert!(!world.workspace.path().join("requests").exists());
    let deployment = Arc::new(Deployment::new("1"));
    let world = World::with(deployment, &["--apiKey", KEY, "--danger-simulated", "--dumpRequests"]).await;
    content(&world.chat().await);
    let files: Vec<_> = std::fs::read_dir(world.workspace.path().join("requests")).unwrap().collect();
    assert_eq!(files.len(), 2);
}
