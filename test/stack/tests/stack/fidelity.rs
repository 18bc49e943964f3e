//! What the engine receives is what the client sent, byte for byte in every member.

use privatemode_test_kit::members::Members;
use privatemode_test_kit::{Recorded, Reply, StubUpstream};

use crate::harness::Up;

const SALT: &str = "0123456789abcdef0123456789abcdef";

/// Odd but legal members; each is sent beside a model, messages and a salt.
const MEMBERS: &[&str] = &[
    r#""temperature":1.10"#,
    r#""temperature":1e-7"#,
    r#""temperature":-0.0"#,
    r#""seed":123456789012345678901234567890"#,
    r#""seed":-9223372036854775809"#,
    r#""top_p":0.1000000000000000055511151231257827"#,
    r#""big":1E400"#,
    r#""unknown.member*?":{"keep":"me","deep":[[[[[[[[{"a":[]}]]]]]]]]}"#,
    r#""z":1,"a":2,"m":{"z":1,"a":2}"#,
    r#""escaped\u0020name":"v""#,
    r#""text":"\u0041\/\b\f\n\r\t\"\\ \ud83d\udd12 Grüße 世界""#,
    r#""lone":"\ud800""#,
    r#""space" : [ 1 , 2 ,	3 ]"#,
    r#""empty":{},"none":null,"list":[],"no":false,"":"empty name""#,
    r#""id:with:colons":"a:b:c:d""#,
    r#""looks_sealed":"aaaa:000000000000000000000000:000000000000000000000000:00""#,
    r#""stop":["\n\n","</s>"]"#,
    r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":"auto""#,
    r#""max_tokens":5,"n":1"#,
];

async fn stack() -> (StubUpstream, Up) {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url()]);
    up.settled().await;
    (upstream, up)
}

fn last(upstream: &StubUpstream, path: &str) -> Recorded {
    upstream.requests().into_iter().rfind(|request| request.path == path).expect("a request")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_its_own_salt_arrives_byte_for_byte() {
    let (upstream, up) = stack().await;
    for member in MEMBERS {
        for body in [
            format!(
                r#"{{"model":"stub","messages":[{{"role":"user","content":"hi"}}],"cache_salt":"{SALT}",{member}}}"#
            ),
            format!(
                "\u{20}{{\n {member} ,\r\n\t\"cache_salt\" : \"{SALT}\", \"messages\":[ ] , \"model\":\"stub\" }}\n"
            ),
        ] {
            let response = up.post("/chat/completions", body.clone()).send().await.unwrap();
            assert_eq!(response.status(), 200, "{body}: {}", response.text().await.unwrap());
            let got = last(&upstream, "/v1/chat/completions");
            assert_eq!(String::from_utf8_lossy(&got.body), body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_salt_and_streamed_only_the_documented_members_are_added() {
    let (upstream, up) = stack().await;
    let mut salts = std::collections::HashSet::new();
    for member in MEMBERS {
        let sent = format!(r#"{{"model":"stub","stream":true,"messages":[],{member}}}"#);
        upstream.once("/v1/chat/completions", Reply::chat_stream(&["a"], true));
        let response = up.post("/chat/completions", sent.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{sent}");
        assert!(response.text().await.unwrap().contains("[DONE]"));
        let got = last(&upstream, "/v1/chat/completions");
        let (sent, got) = (Members::parse(sent.as_bytes()), Members::parse(&got.body));
        let mut added: Vec<&str> = got.names();
        for name in sent.names() {
            assert_eq!(sent.raw(name), got.raw(name), "{name}");
            added.retain(|other| *other != name);
        }
        added.sort_unstable();
        assert_eq!(added, ["cache_salt", "stream_options"]);
        let options: serde_json::Value = serde_json::from_str(got.raw("stream_options").unwrap()).unwrap();
        assert_eq!(options, serde_json::json!({"include_usage": true, "continuous_usage_stats": true}));
        assert!(
            salts.insert(got.raw("cache_salt").unwrap().to_owned()),
            "each request has a salt of its own"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_back_byte_for_byte() {
    let (upstream, up) = stack().await;
    let body = format!(r#"{{"model":"stub","messages":[],"cache_salt":"{SALT}"}}"#);
    for member in MEMBERS {
        let answer = format!(
            "{{ \"id\":\"chatcmpl-1\",{member} , \"usage\":{{\"prompt_tokens\":1}},\"choices\":[ ]}}"
        );
        upstream.once("/v1/chat/completions", Reply::json(200, answer.clone()));
        let response = up.post("/chat/completions", body.clone()).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), answer);

        let stream = format!(
            ": comment\n\nevent: odd\ndata: {{\"id\":\"1\",{member},\"choices\":[]}}\n\ndata: [DONE]\n\n"
        );
        upstream.once("/v1/chat/completions", Reply::stream([stream.clone()]));
        let streamed = body.replace("{\"model\"", "{\"stream\":true,\"model\"");
        let response = up.post("/chat/completions", streamed).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), stream);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_carries_its_body() {
    let (upstream, up) = stack().await;
    let salted = |rest: &str| format!(r#"{{"model":"stub","cache_salt":"{SALT}",{rest}}}"#);
    let cases = [
        ("/completions", salted(r#""prompt":"Once""#), Reply::completion("upon")),
        (
            "/embeddings",
            r#"{"model":"stub","input":["a","b"]}"#.to_owned(),
            Reply::embeddings(&[&[0.1, 0.2], &[0.3, 0.4]]),
        ),
        (
            "/messages",
            salted(r#""max_tokens":5,"messages":[{"role":"user","content":"hi"}]"#),
            Reply::message("hello"),
        ),
        ("/responses", salted(r#""input":"hi""#), Reply::response("hello")),
    ];
    for (path, body, reply) in cases {
        let full = format!("/v1{path}");
        upstream.once(&full, reply);
        let response = up.post(path, body.clone()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let answer: serde_json::Value = response.json().await.unwrap();
        assert!(answer.is_object(), "{path}: {answer}");
        assert_eq!(String::from_utf8_lossy(&last(&upstream, &full).body), body, "{path}");
    }
}
