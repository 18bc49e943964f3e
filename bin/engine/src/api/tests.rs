use axum::body::Body;
use futures_util::StreamExt;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tower::ServiceExt;

use super::*;
use crate::backend::Backend;
use crate::backend::scripted::Scripted;
use crate::fixture::{END, VOCABULARY, byte_tokenizer};

const CHAT: &str = "/v1/chat/completions";

struct Bench {
    router: Router,
    steps: Arc<AtomicUsize>,
    gate: mpsc::Sender<()>,
}

/// A server whose model says `script` and then its end; the gate is open once dropped.
fn bench(script: &str) -> Bench {
    let (gate, held) = mpsc::channel();
    let steps = Arc::new(AtomicUsize::new(0));
    let backend = Scripted {
        script: script.bytes().map(u32::from).chain([END]).collect(),
        vocabulary: VOCABULARY,
        max_context: 100,
        steps: Arc::clone(&steps),
        gate: Some(held),
        at: 0,
    };
    Bench { router: router(serve(Box::new(backend))), steps, gate }
}

fn serve(backend: Box<dyn Backend>) -> Arc<Served> {
    let (task, max_context) = (backend.task(), backend.max_context());
    let tokenizer = Arc::new(byte_tokenizer());
    let metrics = Arc::new(Metrics::new("tiny"));
    Arc::new(Served {
        name: "tiny".to_owned(),
        task,
        max_context,
        longest_token: crate::text::tokenizer::longest_token(&tokenizer),
        queue: Queue::start(backend, Arc::clone(&tokenizer), 1, Arc::clone(&metrics)).unwrap(),
        tokenizer,
        template: ChatTemplate::new(None, String::new(), String::new()).unwrap(),
        end_tokens: vec![END],
        metrics,
        max_body: 1000,
        started: 1,
    })
}

fn says(script: &str) -> Router {
    bench(script).router
}

async fn send(router: &Router, path: &str, body: impl Into<Body>) -> Response {
    let request = Request::post(path).header("x-request-id", "abc-1").body(body.into()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

async fn text_of(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.into()).unwrap()
}

async fn json_of(response: Response) -> Value {
    serde_json::from_str(&text_of(response).await).unwrap()
}

async fn ask(router: &Router, path: &str, body: Value) -> (StatusCode, Value) {
    let response = send(router, path, body.to_string()).await;
    (response.status(), json_of(response).await)
}

/// The `data` of each event.
fn events(text: &str) -> Vec<String> {
    let events = text.strip_suffix("\n\n").unwrap().split("\n\n");
    events.map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better with json! by value")]
fn hello(extra: Value) -> Value {
    let mut body =
        json!({"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    body
}

/// `<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n`, marks as one token, everything else as bytes
const HELLO_TOKENS: usize = 1 + 7 + 1 + 1 + 1 + 10;

#[tokio::test]
async fn a_chat_is_answered_with_usage() {
    let (status, answer) = ask(&says("héllo"), CHAT, hello(json!({"cache_salt": "x", "unknown": [1]}))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["id"], "chatcmpl-abc-1");
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["content"], "héllo");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = json!({"prompt_tokens": HELLO_TOKENS, "completion_tokens": 7, "total_tokens": HELLO_TOKENS + 7,
        "prompt_tokens_details": null});
    assert_eq!(answer["usage"], usage);
}

#[tokio::test]
async fn a_stream_has_vllms_order_and_usage_only_when_asked() {
    let streamed = |options: Value| async move {
        let mut body = hello(json!({"stream": true}));
        if !options.is_null() {
            body["stream_options"] = options;
        }
        let response = send(&says("é!"), CHAT, body.to_string()).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        events(&text_of(response).await)
    };
    let plain = streamed(Value::Null).await;
    let parsed: Vec<Value> =
        plain[..plain.len() - 1].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!(plain.last().unwrap(), "[DONE]");
    let deltas: Vec<&Value> = parsed.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    let content = |text: &str| json!({"content": text});
    assert_eq!(
        deltas,
        [&json!({"role": "assistant", "content": ""}), &content("é"), &content("!"), &content("")]
    );
    let last = parsed.last().unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert!(parsed.iter().all(|chunk| chunk.get("usage").is_none()));
    assert_eq!(last["object"], "chat.completion.chunk");

    let with_usage = streamed(json!({"include_usage": true})).await;
    let last: Value = serde_json::from_str(&with_usage[with_usage.len() - 2]).unwrap();
    assert_eq!((&last["choices"], &last["usage"]["completion_tokens"]), (&json!([]), &json!(4)));

    let continuous = streamed(json!({"include_usage": true, "continuous_usage_stats": true})).await;
    let counts: Vec<Value> = continuous[..continuous.len() - 1]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["usage"]["completion_tokens"].clone())
        .collect();
    assert_eq!(counts, [json!(0), json!(2), json!(3), json!(4), json!(4)]);
}

#[tokio::test]
async fn stops_and_lengths() {
    let choice = |extra: Value| async move {
        let (status, answer) = ask(&says("one two three"), CHAT, hello(extra)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let choice = &answer["choices"][0];
        json!([choice["message"]["content"], choice["finish_reason"], choice["stop_reason"]])
    };
    assert_eq!(choice(json!({"stop": "tw"})).await, json!(["one ", "stop", "tw"]));
    assert_eq!(choice(json!({"stop": ["zzz", " three"]})).await, json!(["one two", "stop", " three"]));
    assert_eq!(choice(json!({"max_tokens": 5})).await, json!(["one t", "length", null]));
    assert_eq!(
        choice(json!({"max_completion_tokens": 3, "max_tokens": 9})).await,
        json!(["one", "length", null])
    );
    assert_eq!(choice(json!({"stop_token_ids": [101]})).await, json!(["on", "stop", 101]));
    // Held back as a possible stop string until the end decides.
    assert_eq!(choice(json!({"stop": "three!"})).await, json!(["one two three", "stop", null]));
}

#[tokio::test]
async fn completions_take_texts_and_tokens() {
    let ask = |body: Value| async move { ask(&says("abc"), "/v1/completions", body).await };
    let (_, one) = ask(json!({"prompt": "x", "temperature": 0})).await;
    assert_eq!((&one["choices"][0]["text"], &one["object"]), (&json!("abc"), &json!("text_completion")));
    let (_, two) = ask(json!({"prompt": [[1, 2], [3]], "temperature": 0, "max_tokens": 2})).await;
    assert_eq!(
        two["choices"][1],
        json!({"index": 1, "text": "ab", "logprobs": null, "finish_reason": "length", "stop_reason": null})
    );
    assert_eq!((&two["usage"]["prompt_tokens"], &two["usage"]["completion_tokens"]), (&json!(3), &json!(4)));
    let (status, error) = ask(json!({"prompt": [9999]})).await;
    assert_eq!((status, &error["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("prompt")));

    let body = json!({"prompt": ["x", "y"], "temperature": 0, "max_tokens": 1, "stream": true});
    let streamed = events(&text_of(send(&says("abc"), "/v1/completions", body.to_string()).await).await);
    let indices: Vec<Value> = streamed[..streamed.len() - 1]
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["choices"][0]["index"].clone())
        .collect();
    assert_eq!(indices, [json!(0), json!(0), json!(1), json!(1)]);
}

#[tokio::test]
async fn errors_have_openais_shape_and_say_what_to_do() {
    let router = says("x");
    let long = "y".repeat(120);
    let cases = [
        (hello(json!({"model": "other"})), StatusCode::NOT_FOUND, "model_not_found", "`other`"),
        (
            hello(json!({"messages": [{"role": "user", "content": long}]})),
            StatusCode::BAD_REQUEST,
            "context_length_exceeded",
            "maximum context length is 100 tokens",
        ),
        (
            hello(json!({"max_tokens": 99})),
            StatusCode::BAD_REQUEST,
            "context_length_exceeded",
            "99 > 100 - 21",
        ),
        (hello(json!({"max_tokens": 0})), StatusCode::BAD_REQUEST, "invalid_value", "at least 1"),
        (hello(json!({"n": 2})), StatusCode::BAD_REQUEST, "invalid_value", "n = 1"),
        (hello(json!({"messages": []})), StatusCode::BAD_REQUEST, "invalid_value", "at least one message"),
        (
            hello(json!({"messages": [{"content": "x"}]})),
            StatusCode::BAD_REQUEST,
            "invalid_value",
            "messages[0] needs a `role`",
        ),
        (
            hello(
                json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x"}}]}]}),
            ),
            StatusCode::BAD_REQUEST,
            "invalid_value",
            "text only",
        ),
        (
            hello(json!({"stream_options": {"include_usage": true}})),
            StatusCode::BAD_REQUEST,
            "invalid_value",
            "`stream` is true",
        ),
        (hello(json!({"temperature": -1})), StatusCode::BAD_REQUEST, "invalid_value", "temperature"),
        (hello(json!({"top_p": 0})), StatusCode::BAD_REQUEST, "invalid_value", "top_p"),
        (hello(json!({"logprobs": true})), StatusCode::BAD_REQUEST, "unsupported", "log probabilities"),
        (
            hello(json!({"response_format": {"type": "json_object"}})),
            StatusCode::BAD_REQUEST,
            "unsupported",
            "output formats",
        ),
        (hello(json!({"tool_choice": "required"})), StatusCode::BAD_REQUEST, "unsupported", "tool"),
        (hello(json!({"stop": [""]})), StatusCode::BAD_REQUEST, "invalid_value", "empty string"),
    ];
    for (body, expected, code, words) in cases {
        let (status, answer) = ask(&router, CHAT, body.clone()).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!((status, answer["error"]["code"].as_str()), (expected, Some(code)), "{body}: {message}");
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn broken_bodies() {
    let router = says("x");
    let error = |body: String| {
        let router = router.clone();
        async move {
            let response = send(&router, CHAT, body).await;
            let status = response.status();
            (status, json_of(response).await["error"]["message"].as_str().unwrap().to_owned())
        }
    };
    let (status, message) = error("{\"model\": \"tiny\",\n \"messages\": [}".to_owned()).await;
    assert!(status == StatusCode::BAD_REQUEST && message.contains("line 2 column 15"), "{message}");
    let (status, message) = error("{\"max_tokens\": \"many\"}".to_owned()).await;
    assert!(status == StatusCode::BAD_REQUEST && message.contains("line 1 column 21"), "{message}");
    assert_eq!(error(String::new()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(error(" ".repeat(1001)).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn models_health_and_unknown_paths() {
    let router = says("x");
    let get = |path: &'static str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let router = router.clone();
        async move { router.oneshot(request).await.unwrap() }
    };
    let models = json_of(get("/v1/models").await).await;
    let expected = json!({"id": "tiny", "object": "model", "created": 1, "owned_by": "privatemode", "root": "tiny",
        "parent": null, "max_model_len": 100, "tasks": ["generate"]});
    assert_eq!(models, json!({"object": "list", "data": [expected]}));
    assert_eq!(json_of(get("/v1/models/tiny").await).await, models["data"][0]);
    assert_eq!(get("/v1/models/org/other").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get("/health").await.status(), StatusCode::OK);
    assert!(text_of(get("/metrics").await).await.contains("vllm:num_requests_waiting"));
    assert_eq!(json_of(get("/nowhere").await).await["error"]["code"], "not_found");
    assert_eq!(get(CHAT).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn messages_reach_the_template_as_text_and_objects() {
    let part =
        json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"b\":1,\"a\":2}"}}]});
    let read = |message: Value| {
        let value = serde_json::from_value(message).unwrap();
        request::template_message(0, &value).unwrap()
    };
    assert_eq!(read(part).get_attr("content").unwrap().as_str(), Some("a\nb"));
    let call = read(call);
    assert_eq!(call.get_attr("content").unwrap().as_str(), Some(""));
    let template = "{{ messages[0].tool_calls[0].function.arguments | tojson }}";
    let template = ChatTemplate::new(Some(template.to_owned()), String::new(), String::new()).unwrap();
    let input = crate::text::template::ChatInput { messages: vec![call], ..Default::default() };
    assert_eq!(template.render(&input).unwrap(), r#"{"b": 1, "a": 2}"#);
}

#[tokio::test]
async fn a_client_that_leaves_stops_the_generation() {
    let Bench { router, steps, gate } = bench(&"x".repeat(60));
    let response = send(&router, CHAT, hello(json!({"stream": true})).to_string()).await;
    gate.send(()).unwrap();
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.is_some());
    drop(body);
    drop(gate);
    // One worker: this answer comes only when the first generation has ended.
    let (status, _) = ask(&router, CHAT, hello(json!({"max_tokens": 1}))).await;
    assert_eq!(status, StatusCode::OK);
    assert!(steps.load(Ordering::SeqCst) < 10, "{steps:?}");
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let Bench { router, gate, .. } = bench("x");
    let running = send(&router, CHAT, hello(json!({"stream": true})).to_string()).await;
    gate.send(()).unwrap();
    let mut running = running.into_body().into_data_stream();
    assert!(running.next().await.is_some(), "the worker is busy from here on");
    let _waiting = send(&router, CHAT, hello(json!({"stream": true})).to_string()).await;
    let refused = send(&router, CHAT, hello(json!({})).to_string()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(json_of(refused).await["error"]["code"], "queue_full");
    drop(gate);
}

/// Says how long its input is.
struct Lengths;

impl Backend for Lengths {
    fn task(&self) -> Task {
        Task::Embed
    }
    fn max_context(&self) -> usize {
        4
    }
    fn prefill(&mut self, _: &[u32], _: &dyn Fn() -> bool) -> Result<Vec<f32>, crate::backend::BackendError> {
        Err(crate::backend::BackendError::WrongTask)
    }
    fn decode(&mut self, _: u32) -> Result<Vec<f32>, crate::backend::BackendError> {
        Err(crate::backend::BackendError::WrongTask)
    }
    fn embed(&mut self, tokens: &[u32]) -> Result<Vec<f32>, crate::backend::BackendError> {
        Ok(vec![tokens.len() as f32, 0.5])
    }
}

#[tokio::test]
async fn embeddings() {
    let router = router(serve(Box::new(Lengths)));
    let embed = |body: Value| {
        let router = router.clone();
        async move { ask(&router, "/v1/embeddings", body).await }
    };
    let (status, answer) = embed(json!({"model": "tiny", "input": ["abc", "d"]})).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["data"][0], json!({"index": 0, "object": "embedding", "embedding": [3.0, 0.5]}));
    assert_eq!(
        (&answer["data"][1]["embedding"][0], &answer["usage"]["prompt_tokens"]),
        (&json!(1.0), &json!(4))
    );
    let (_, answer) = embed(json!({"input": [1, 2], "encoding_format": "base64"})).await;
    assert_eq!(answer["data"][0]["embedding"], "AAAAQAAAAD8=");
    let (status, answer) = embed(json!({"input": "too long"})).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (StatusCode::BAD_REQUEST, &json!("context_length_exceeded"))
    );
    let (status, answer) = embed(json!({"input": []})).await;
    assert_eq!((status, &answer["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("input")));
    let (status, answer) = ask(&router, CHAT, hello(json!({}))).await;
    assert_eq!((status, &answer["error"]["code"]), (StatusCode::BAD_REQUEST, &json!("unsupported_endpoint")));
}

/// A body of unannounced length, and how much of it was read.
fn pieces(count: usize) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let piece = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let stream = futures_util::stream::iter(0..count).map(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(piece.clone())
    });
    (Body::from_stream(stream), taken)
}

#[tokio::test]
async fn a_body_that_is_too_large_is_read_to_its_end_and_refused() {
    let (body, taken) = pieces(20);
    let response = send(&says(""), CHAT, body).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let error = json_of(response).await["error"].clone();
    assert_eq!(error["code"], "request_too_large");
    assert!(error["message"].as_str().unwrap().contains("1000 bytes"), "{error}");
    assert_eq!(taken.load(Ordering::SeqCst), 20);
}

#[tokio::test]
async fn a_body_without_end_is_not_read_forever() {
    let (body, taken) = pieces(usize::MAX);
    assert_eq!(send(&says(""), CHAT, body).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(taken.load(Ordering::SeqCst) <= 130, "{taken:?}");
}

#[tokio::test]
async fn what_cannot_fit_is_refused_before_it_is_tokenized() {
    let steps = Arc::new(AtomicUsize::new(0));
    let backend =
        Scripted { script: Vec::new(), vocabulary: VOCABULARY, max_context: 100, steps, gate: None, at: 0 };
    let mut served = Arc::into_inner(serve(Box::new(backend))).unwrap();
    served.max_body = 1 << 20;
    let longest = served.longest_token.unwrap();
    let router = router(Arc::new(served));
    let long = "a".repeat(100 * longest + 1);
    for (path, body, param) in [
        (CHAT, json!({"messages": [{"role": "user", "content": long}]}), "messages"),
        ("/v1/completions", json!({"prompt": long}), "prompt"),
    ] {
        let (status, answer) = ask(&router, path, body).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (StatusCode::BAD_REQUEST, &json!("context_length_exceeded"))
        );
        assert_eq!(answer["error"]["param"], param);
        assert!(answer["error"]["message"].as_str().unwrap().contains("at least 10"), "{answer}");
    }
}
