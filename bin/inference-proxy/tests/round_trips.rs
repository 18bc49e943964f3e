//! Every endpoint, unary and streamed: what the engine gets is what the client sent, and the other way round.

mod common;

use bytes::Bytes;
use common::{SALT, Stack};
use http::{Request, StatusCode};
use http_body_util::Full;
use privatemode_test_kit::{Reply, members::Members};
use privatemode_wire::Endpoint;

/// Odd but legal JSON: big numbers, escapes, unknown members, nesting, Unicode, order, white space.
fn odd(endpoint_members: &str) -> String {
    format!(
        "{{ \"z\" : 1.0e+400,\"model\":\"m\\u002fx\", {endpoint_members} \"cache_salt\":\"{SALT}\",\n\t\"a.b?c*d\":[1 , 2,\
         [{{}}]],\"\\u0061b\":-0.0 ,\"\u{e9}\u{1f600}\":\"\\ud83d\\ude00\\n\\/\",\"n\":null,\"t\":true, \
         \"user\":\"quo\\\"te\" }}"
    )
}

#[tokio::test]
async fn json_requests_reach_the_engine_byte_for_byte() {
    let stack = Stack::start().await;
    let corpus = [
        (Endpoint::ChatCompletions, r#""messages":[{"role":"user","content":"h\u00e9llo"}],"#),
        (Endpoint::Completions, r#""prompt": "once","max_tokens":3,"#),
        (Endpoint::Embeddings, r#""input":["a",  "b"],"#),
        (Endpoint::Messages, r#""messages":[{"role":"user","content":"x"}],"max_tokens":10,"#),
        (Endpoint::Responses, r#""input":"x","max_output_tokens":5,"#),
    ];
    for (endpoint, members) in corpus {
        let body = odd(members);
        let (status, answer) = stack.ask(endpoint, &body).await;
        assert_eq!(status, StatusCode::OK, "{endpoint:?} {answer}");
        let got = stack.stub.last();
        assert_eq!(got.body, body, "{endpoint:?}");
        assert_eq!(got.path, endpoint.path());
        assert_eq!(got.header("authorization"), "", "the caller's credentials go no further");
        assert_eq!(got.header("privatemode-secret-id"), "");
    }
}

#[tokio::test]
async fn unary_answers_come_back_byte_for_byte() {
    let stack = Stack::start().await;
    let body =
        "{ \"id\":\"1\",\"choices\" :[{\"x\":1e999}],\n\"usage\":{\"prompt_tokens\":1}, \"new\":\"\\u00e9\"}";
    stack.stub.on("/v1/chat/completions", Reply::json(200, body));
    let request = format!(r#"{{"model":"m","messages":[],"cache_salt":"{SALT}"}}"#);
    let (request, opener) = stack.seal(Endpoint::ChatCompletions, None, request.as_bytes());
    let answer = stack.send(request).await;
    let sealed = Members::parse(&answer.body);
    assert_eq!(sealed.sealed(), ["choices", "new"], "id and usage stay readable for the gateway");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.open(Endpoint::ChatCompletions, opener).unwrap(), body);
}

#[tokio::test]
async fn streams_come_back_event_by_event_with_usage_switched_on() {
    let stack = Stack::start().await;
    let body = format!(r#"{{"model":"m","stream": true,"messages":[],"cache_salt":"{SALT}"}}"#);
    let (request, opener) = stack.seal(Endpoint::ChatCompletions, None, body.as_bytes());
    let answer = stack.send(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    let options = r#"{"include_usage":true,"continuous_usage_stats":true}"#;
    let got = Members::parse(&stack.stub.last().body);
    assert_eq!(got.raw("stream_options"), Some(options));
    let mut without = got.clone();
    without.drop_member("stream_options");
    assert_eq!(without.to_bytes(), Members::parse(body.as_bytes()).to_bytes(), "nothing else was touched");

    let text = answer.open_stream(Endpoint::ChatCompletions, opener).unwrap();
    assert_eq!(text.matches("data: ").count(), 6);
    assert!(text.contains(r#""content":"world""#) && text.ends_with("data: [DONE]\n\n"), "{text}");
    assert!(!answer.text().contains("world"));
    assert!(answer.text().contains("prompt_tokens"), "usage stays readable");
}

#[tokio::test]
async fn streams_of_all_shapes_keep_their_event_lines() {
    let stack = Stack::start().await;
    for (endpoint, members, last) in [
        (Endpoint::Completions, r#""prompt":"x""#, "data: [DONE]"),
        (Endpoint::Messages, r#""messages":[]"#, "event: message_stop"),
        (Endpoint::Responses, r#""input":"x""#, "event: response.completed"),
    ] {
        let body = format!(r#"{{"model":"m","stream":true,{members},"cache_salt":"{SALT}"}}"#);
        let (request, opener) = stack.seal(endpoint, None, body.as_bytes());
        let answer = stack.send(request).await;
        let text = answer.open_stream(endpoint, opener).unwrap();
        assert!(text.contains(last) && text.contains("world"), "{endpoint:?}: {text}");
        assert!(!answer.text().contains("world"));
    }
}

#[tokio::test]
async fn forms_reach_the_engine_with_their_file_and_not_its_name() {
    let stack = Stack::start().await;
    let content_type = "multipart/form-data; boundary=XyZ";
    for endpoint in [Endpoint::Transcriptions, Endpoint::Translations] {
        let mut body = b"--XyZ\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n\
            --XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"secret name.wav\"\r\n\
            Content-Type: audio/wav\r\n\r\n"
            .to_vec();
        body.extend_from_slice(b"RIFF\x00\xff\r\n--XyW\r\n");
        body.extend_from_slice(
            b"\r\n--XyZ\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nhi\r\n--XyZ--\r\n",
        );
        let (request, opener) = stack.seal(endpoint, Some(content_type), &body);
        let answer = stack.send(request).await;
        assert_eq!(answer.status, StatusCode::OK);
        let opened = answer.open(endpoint, opener).unwrap();
        assert!(opened.contains(r#""text":"Hello, world""#), "{opened}");
        assert!(answer.text().contains(r#""duration":1.5"#), "the duration stays readable");
        let got = stack.stub.last();
        assert_eq!(got.header("content-type"), content_type);
        let contains = |part: &[u8]| got.body.windows(part.len()).any(|window| window == part);
        assert!(contains(b"RIFF\x00\xff\r\n--XyW\r\n\r\n--XyZ") && contains(b"\r\n\r\nhi\r\n"));
        assert!(!contains(b"secret name"));
    }
}

#[tokio::test]
async fn streamed_forms_get_their_usage_fields() {
    let stack = Stack::start().await;
    let body = "--b\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n\
        --b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n";
    stack
        .stub
        .on("/v1/audio/transcriptions", Reply::stream(["data: {\"text\":\"hi\"}\n\n", "data: [DONE]\n\n"]));
    let (request, opener) =
        stack.seal(Endpoint::Transcriptions, Some("multipart/form-data; boundary=b"), body.as_bytes());
    let answer = stack.send(request).await;
    let opened = answer.open_stream(Endpoint::Transcriptions, opener).unwrap();
    assert_eq!(opened, "data: {\"text\":\"hi\"}\n\ndata: [DONE]\n\n");
    let got = String::from_utf8(stack.stub.last().body.to_vec()).unwrap();
    assert!(got.contains("stream_include_usage") && got.contains("stream_continuous_usage_stats"), "{got}");
}

#[tokio::test]
async fn documents_travel_whole_and_come_back_element_by_element() {
    let stack = Stack::start().await;
    let content_type = "multipart/form-data; boundary=b";
    let body = b"--b\r\nContent-Disposition: form-data; name=\"files\"; filename=\"x.pdf\"\r\n\r\n%PDF\x00\r\n--b--\r\n";
    let (request, opener) = stack.seal(Endpoint::Unstructured, Some(content_type), body);
    let answer = stack.send(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    let opened = answer.open(Endpoint::Unstructured, opener).unwrap();
    assert!(opened.starts_with('[') && opened.contains("NarrativeText"), "{opened}");
    assert!(!answer.text().contains("Narrative"));
    let got = stack.stub.last();
    assert_eq!((got.path.as_str(), got.body), ("/general/v0/general", Bytes::from_static(body)));
    assert_eq!(stack.stub.last().header("content-type"), content_type);
}

#[tokio::test]
async fn the_secret_id_may_stand_in_the_fields_alone() {
    let stack = Stack::start().await;
    let body = format!(r#"{{"model":"m","messages":[],"cache_salt":"{SALT}"}}"#);
    let (mut request, opener) = stack.seal(Endpoint::ChatCompletions, None, body.as_bytes());
    request.headers_mut().remove("privatemode-secret-id");
    let answer = stack.send(request).await;
    assert!(answer.open(Endpoint::ChatCompletions, opener).unwrap().contains("Hello"));
}

#[tokio::test]
async fn models_are_plain_and_say_what_they_can_do() {
    let stack = Stack::with(common::Options { tasks: vec!["b=embed"], ..Default::default() }).await;
    stack.stub.on("/v1/models", Reply::models(&["a", "b"]));
    stack.stub.on("/v1/models/a", Reply::json(200, r#"{"id":"a","tasks":["vision"]}"#));
    let get = |path: &str| Request::get(path).body(Full::new(Bytes::new())).unwrap();
    let answer = stack.send(get("/v1/models")).await;
    assert!(answer.is_plain());
    let list = answer.json();
    assert_eq!(list["data"][0]["tasks"], serde_json::json!(["generate"]));
    assert_eq!(list["data"][1]["tasks"], serde_json::json!(["embed"]));
    assert_eq!(stack.send(get("/v1/models/a")).await.json()["tasks"], serde_json::json!(["vision"]));
    let missing = stack.send(get("/v1/models/none")).await;
    assert_eq!((missing.status, missing.is_plain()), (StatusCode::NOT_FOUND, true));
    let answer = stack.send(get("/v1/models/../health")).await;
    assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn the_engine_gets_its_own_key_and_cleaned_request_ids() {
    let stack =
        Stack::with(common::Options { engine_key: Some("of-the-engine"), ..Default::default() }).await;
    let body = format!(r#"{{"model":"m","messages":[],"cache_salt":"{SALT}"}}"#);
    let (mut request, _) = stack.seal(Endpoint::ChatCompletions, None, body.as_bytes());
    request.headers_mut().insert("x-request-id", "id with\ttab".parse().unwrap());
    request.headers_mut().insert("accept", "application/json".parse().unwrap());
    assert_eq!(stack.send(request).await.status, StatusCode::OK);
    let got = stack.stub.last();
    assert_eq!(got.header("authorization"), "Bearer of-the-engine");
    assert_eq!(got.header("x-request-id"), "id?with?tab");
    assert_eq!(got.header("accept"), "application/json");
}

#[tokio::test]
async fn the_engine_may_be_behind_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let engine = privatemode_test_kit::StubUpstream::start_unix(&path);
    let target = Some(format!("unix:{}", path.display()));
    let stack = Stack::with(common::Options { engine: target, ..Default::default() }).await;
    let body = format!(r#"{{"model":"m","messages":[],"cache_salt":"{SALT}"}}"#);
    let (status, answer) = stack.ask(Endpoint::ChatCompletions, &body).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.contains("Hello"));
    assert_eq!(engine.requests().len(), 1);
}

#[tokio::test]
async fn a_large_body_is_opened_and_sealed_off_the_thread() {
    let stack = Stack::start().await;
    let text = "x".repeat(3 << 20);
    let reply = format!(r#"{{"id":"1","choices":"{text}"}}"#);
    stack.stub.on("/v1/chat/completions", Reply::json(200, reply.clone()));
    let body = format!(r#"{{"model":"m","messages":"{text}","cache_salt":"{SALT}"}}"#);
    let (status, answer) = stack.ask(Endpoint::ChatCompletions, &body).await;
    assert_eq!((status, answer == reply), (StatusCode::OK, true));
    assert!(stack.stub.last().body == body);
}
