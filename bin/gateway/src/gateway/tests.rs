//! The whole gateway over loopback, with stubs behind it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::stream;
use http::{StatusCode, request};
use http_body_util::{BodyExt, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use privatemode_service::metrics::Registry;
use privatemode_service::{Limits, Shutdown, body, listen, serve};
use privatemode_wire::stream::outer;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::accounts::{Accounts, NewKey};
use crate::connector::Connector;
use crate::origin::Origin;
use crate::replicas::Replicas;

mod stub;

use stub::Stub;

const CHAT: &str = "/v1/chat/completions";
const MANIFEST: &str = "{ \"Policies\": {} }\n";

struct Harness {
    address: SocketAddr,
    client: Client<Connector, BoxBody>,
    accounts: Arc<Accounts>,
    key: NewKey,
    parts: Arc<Parts>,
    registry: Registry,
    shutdown: Shutdown,
    _dir: tempfile::TempDir,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

impl Harness {
    /// A gateway in front of these workers; the first stub also plays the coordinator and the secret service.
    async fn start(stubs: &[&Arc<Stub>]) -> Harness {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Arc::new(Accounts::open(dir.path().join("gateway.db")).await.unwrap());
        let key = accounts.create_key("test").await.unwrap();
        let registry = Registry::new();
        let workers = Workers::new(stubs.iter().map(|stub| Origin::plain(stub.address)).collect());
        workers.refresh().await;
        let gateway = Gateway::new(Parts {
            keyring: Arc::new(Keyring::load(Arc::clone(&accounts)).await.unwrap()),
            ledger: Arc::new(Ledger::new(Arc::clone(&accounts))),
            workers: Arc::new(workers),
            coordinator: Replicas::new(vec![Origin::plain(stubs[0].address)]),
            secret_service: Replicas::new(vec![Origin::plain(stubs[0].address)]),
            manifest: ServedManifest::new(MANIFEST),
            exchange_limit: ExchangeLimit::new(2),
            running: Running::default(),
            metrics: Metrics::new(registry.clone()),
        });
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let parts = Arc::clone(&gateway.0);
        tokio::spawn(serve(listener, None, gateway, Limits::default(), shutdown.clone()));
        let client = Client::builder(TokioExecutor::new()).build(Connector::Plain);
        Harness { address, client, accounts, key, parts, registry, shutdown, _dir: dir }
    }

    fn request(&self, method: Method, path: &str) -> request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key.key.reveal()))
    }

    fn chat(&self) -> request::Builder {
        self.request(Method::POST, CHAT)
            .header("privatemode-target-model", "demo")
            .header("content-type", "application/json")
    }

    async fn send(&self, request: request::Builder, content: BoxBody) -> Response<Incoming> {
        self.client.request(request.body(content).unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        read(self.send(self.request(Method::GET, path), body::empty()).await).await
    }
}

async fn read(response: Response<Incoming>) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_str(&text(response).await).unwrap())
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Asserts one of the gateway's own errors: status, code, shape, and the mark that it is plain.
async fn assert_error(response: Response<Incoming>, status: u16, code: &str) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["privatemode-encrypted"], "false");
    assert_eq!(response.headers()["x-request-id"].len(), 36);
    let (_, json) = read(response).await;
    assert_eq!(json["error"]["code"], code, "{json}");
    assert!(json["error"]["message"].is_string() && json["error"]["type"].is_string());
    assert!(json["error"].get("param").is_some());
    json
}

#[tokio::test]
async fn without_a_valid_key_there_is_nothing() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let paths = [CHAT, "/privatemode/v1/attest", "/privatemode/v1/secret"];
    for (method, path) in
        paths.map(|path| (Method::POST, path)).into_iter().chain([(Method::GET, "/v1/models")])
    {
        let bare = |key: Option<&str>| {
            let builder = Request::builder().method(&method).uri(format!("http://{}{path}", harness.address));
            key.into_iter().fold(builder, |builder, key| builder.header("authorization", key))
        };
        assert_error(harness.send(bare(None), body::full("x")).await, 401, "missing_api_key").await;
        let json = assert_error(
            harness.send(bare(Some("Bearer pm-no")), body::empty()).await,
            401,
            "invalid_api_key",
        )
        .await;
        assert!(json["error"]["message"].as_str().unwrap().contains("privatemode keys"));
    }
    harness.accounts.revoke_key(harness.key.id.as_str()).await.unwrap();
    harness.parts.keyring.refresh().await.unwrap();
    assert_error(harness.send(harness.chat(), body::empty()).await, 401, "revoked_api_key").await;
    assert!(stub.seen.lock().unwrap().is_empty(), "nothing reached the worker");
}

#[tokio::test]
async fn paths_and_methods() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let unknown = harness.request(Method::POST, "/v1/images");
    assert_error(harness.send(unknown, body::empty()).await, 404, "unknown_path").await;
    let response = harness.send(harness.request(Method::GET, CHAT), body::empty()).await;
    assert_eq!(response.headers()["allow"], "POST");
    assert_error(response, 405, "method_not_allowed").await;
}

#[tokio::test]
async fn models_of_all_workers_each_once() {
    let (one, two) = (Stub::start(&["demo", "org/large"]).await, Stub::start(&["demo", "embed"]).await);
    let harness = Harness::start(&[&one, &two]).await;
    let response = harness.send(harness.request(Method::GET, "/v1/models"), body::empty()).await;
    let list = text(response).await;
    assert!(list.contains("\"own\":1e400"), "entries are kept as they are: {list}");
    let ids: Vec<&str> =
        list.split("\"id\":\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(ids, ["demo", "org/large", "embed"]);
    for path in ["/v1/models/org/large", "/v1/models/org%2Flarge"] {
        let response = harness.send(harness.request(Method::GET, path), body::empty()).await;
        assert!(text(response).await.contains("\"tasks\":[\"generate\"]"));
    }
    let (status, json) = harness.get("/v1/models/none").await;
    assert_eq!((status.as_u16(), &json["error"]["code"]), (404, &Value::from("model_not_found")));
}

#[tokio::test]
async fn a_request_passes_unchanged_and_is_counted() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let sent = r#"{"model":"demo","messages":"id:aa:bb:cc"}"#;
    let request = harness
        .request(Method::POST, "/v1/chat/completions?x=%20y")
        .header("privatemode-target-model", "demo")
        .header("privatemode-client", "SDK")
        .header("privatemode-secret-id", "abc")
        .header("x-request-id", "evil id")
        .header("connection", "x-secret")
        .header("x-secret", "1");
    let response = harness.send(request, body::full(sent)).await;
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert!(response.headers().get("keep-alive").is_none());
    assert_eq!(text(response).await, stub::ANSWER);
    {
        let seen = stub.seen.lock().unwrap();
        assert_eq!(seen[0].target, "/v1/chat/completions?x=%20y");
        assert_eq!(seen[0].body, sent);
        assert_eq!(seen[0].headers["content-length"], sent.len().to_string());
        assert_eq!(seen[0].headers["x-request-id"], id);
        assert_eq!(seen[0].headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(seen[0].headers["privatemode-client"], "SDK");
        assert_eq!(seen[0].headers["privatemode-secret-id"], "abc");
        for name in ["authorization", "x-secret", "connection", "accept-encoding"] {
            assert!(seen[0].headers.get(name).is_none(), "{name}");
        }
    }
    let refused = harness.send(harness.chat().header("x-test", "refuse"), body::full("{}")).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.headers().get("privatemode-encrypted").is_none(), "a worker's answer is its own");
    drop(text(refused).await);
    harness.parts.ledger.flush().await.unwrap();
    let usage = harness.accounts.usage().await.unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!((usage[0].requests, usage[0].prompt_tokens, usage[0].completion_tokens), (2, 7, 2));
    assert_eq!(usage[0].key_id, harness.key.id);
    let metrics = harness.registry.render();
    assert!(metrics.contains("gateway_tokens_total{kind=\"prompt\",model=\"demo\"} 7"), "{metrics}");
}

#[tokio::test]
async fn a_stream_is_passed_on_as_it_comes() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let mut body =
        harness.send(harness.chat().header("x-test", "stream"), body::full("{}")).await.into_body();
    // The worker goes on only after the caller has seen what came so far.
    for event in [
        "data: {\"choices\":\"aa\"}\n\n",
        "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
    ] {
        stub.events.send(event).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), event);
    }
    stub.events.send("end").unwrap();
    assert!(body.frame().await.is_none());
    harness.parts.ledger.flush().await.unwrap();
    let usage = harness.accounts.usage().await.unwrap();
    assert_eq!((usage[0].prompt_tokens, usage[0].completion_tokens), (3, 4));
}

/// A request whose body is sealed as a whole, as a client sends it.
fn sealed(harness: &Harness, path: &str) -> request::Builder {
    harness
        .request(Method::POST, path)
        .header("content-type", outer::CONTENT_TYPE)
        .header(outer::REQUEST_HEADER, ":request:")
        .header(outer::CONTENT_LENGTH_TOKENS, "80")
        .header(outer::MAX_TOKENS, "5")
        .header("privatemode-secret-id", "abc")
}

#[tokio::test]
async fn a_sealed_answer_is_metered_by_its_trailer() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    for http2 in [false, true] {
        let client: Client<Connector, BoxBody> =
            Client::builder(TokioExecutor::new()).http2_only(http2).build(Connector::Plain);
        let request = sealed(&harness, CHAT)
            .header("privatemode-target-model", "demo")
            .header("te", "trailers")
            .header("x-test", "sealed");
        let response = client.request(request.body(body::full("sealed")).unwrap()).await.unwrap();
        assert_eq!(response.status(), 409, "the outer status is the worker's");
        assert_eq!(response.headers()[outer::RESPONSE_HEADER], ":salt:");
        assert_eq!(response.headers()["content-type"], outer::CONTENT_TYPE);
        assert!(response.headers().get("privatemode-encrypted").is_none());
        let collected = response.into_body().collect().await.unwrap();
        let trailers =
            collected.trailers().expect("the caller may hold the bill against its receipt").clone();
        assert_eq!((&trailers[outer::USAGE], trailers.len()), (&stub::SEALED_USAGE.parse().unwrap(), 1));
        assert_eq!(collected.to_bytes(), stub::SEALED);
        let seen = stub.seen.lock().unwrap();
        let seen = seen.last().unwrap();
        for (name, value) in [
            ("te", "trailers"),
            ("content-type", outer::CONTENT_TYPE),
            (outer::REQUEST_HEADER, ":request:"),
            (outer::CONTENT_LENGTH_TOKENS, "80"),
            (outer::MAX_TOKENS, "5"),
            ("privatemode-secret-id", "abc"),
        ] {
            assert_eq!(seen.headers[name], value);
        }
        assert_eq!(seen.body, "sealed");
    }
    harness.parts.ledger.flush().await.unwrap();
    let usage = harness.accounts.usage().await.unwrap();
    let [usage] = usage.as_slice() else { panic!("one key, one model") };
    assert_eq!((usage.requests, usage.prompt_tokens, usage.completion_tokens), (2, 10, 6));
    let metrics = harness.registry.render();
    assert!(metrics.contains("status=\"409\""), "{metrics}");
}

#[tokio::test]
async fn a_caller_without_trailers_gets_none_and_is_metered() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let request =
        sealed(&harness, CHAT).header("privatemode-target-model", "demo").header("x-test", "sealed");
    let response = harness.send(request, body::full("sealed")).await;
    let collected = response.into_body().collect().await.unwrap();
    assert!(collected.trailers().is_none());
    harness.parts.ledger.flush().await.unwrap();
    assert_eq!(harness.accounts.usage().await.unwrap()[0].prompt_tokens, 5);
}

#[tokio::test]
async fn sealed_documents_may_be_as_large_as_any_body() {
    let stub = Stub::start(&["unstructured"]).await;
    let harness = Harness::start(&[&stub]).await;
    const DOCUMENTS: &str = "/unstructured/general/v0/general";
    // Documents whose fields are sealed may have 25 MiB.
    let request = sealed(&harness, DOCUMENTS).header("x-test", "sealed");
    let response = harness.send(request, body::full(vec![7_u8; 26 << 20])).await;
    assert_eq!(response.status(), 409);
    assert_eq!(stub.seen.lock().unwrap()[0].body.len(), 26 << 20);
    for (length, refused) in [(forward::max_sealed(), false), (forward::max_sealed() + 1, true)] {
        let mut socket = tokio::net::TcpStream::connect(harness.address).await.unwrap();
        let head = format!(
            "POST {DOCUMENTS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {}\r\nx-test: break\r\n\
             content-length: {length}\r\n\r\n",
            harness.key.key.reveal(),
            outer::CONTENT_TYPE
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        // A worker that breaks off: the request was let through.
        let expected = if refused { "HTTP/1.1 413" } else { "HTTP/1.1 503" };
        assert_eq!(std::str::from_utf8(&answer), Ok(expected));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_cancels_the_worker_and_is_still_counted() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let mut body =
        harness.send(harness.chat().header("x-test", "stream"), body::full("{}")).await.into_body();
    stub.events.send("data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\n").unwrap();
    body.frame().await.unwrap().unwrap();
    drop(body);
    // The connection of a cancelled HTTP/1 request is closed at the next write or read.
    stub.cancelled.notified().await;
    loop {
        harness.parts.ledger.flush().await.unwrap();
        if let [usage] = harness.accounts.usage().await.unwrap().as_slice() {
            assert_eq!(usage.completion_tokens, 1);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(harness.registry.render().contains("outcome=\"client_left\""));
}

#[tokio::test]
async fn requests_are_on_record_by_the_name_that_receipts_have() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let salt = outer::RequestSalt::from_bytes([6; 32]);
    let mut request =
        sealed(&harness, CHAT).header("privatemode-target-model", "demo").header("x-test", "sealed");
    request.headers_mut().unwrap().insert(outer::REQUEST_HEADER, salt.to_header().parse().unwrap());
    let response = harness.send(request, body::full("sealed")).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    response.into_body().collect().await.unwrap();
    text(harness.send(harness.chat(), body::full("{}")).await).await;
    harness.parts.ledger.flush().await.unwrap();

    let file = crate::UsageFile::open(harness._dir.path().join("gateway.db")).await.unwrap();
    let mut all = Vec::new();
    file.each(Some(harness.key.id.as_str()), |request| all.push(request)).await.unwrap();
    let [sealed, fields] = all.as_slice() else { panic!("two requests: {all:?}") };
    assert_eq!((&sealed.id, sealed.exchange, sealed.status), (&id, Some(salt.exchange_id()), 409));
    let figures = (sealed.prompt_tokens, sealed.completion_tokens, sealed.cached_tokens);
    assert_eq!((sealed.model.as_str(), figures), ("demo", (5, 3, 2)));
    assert_eq!((fields.exchange, fields.status, fields.prompt_tokens), (None, 200, 7));
}

#[tokio::test]
async fn only_the_key_that_began_an_answer_ends_it() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let salt = outer::RequestSalt::from_bytes([6; 32]);
    let mut request =
        sealed(&harness, CHAT).header("privatemode-target-model", "demo").header("x-test", "sealed stream");
    request.headers_mut().unwrap().insert(outer::REQUEST_HEADER, salt.to_header().parse().unwrap());
    let mut answer = harness.send(request, body::full("sealed")).await.into_body();
    stub.events.send("sealed answer").unwrap();
    answer.frame().await.unwrap().unwrap();

    let other = harness.accounts.create_key("other").await.unwrap();
    harness.parts.keyring.refresh().await.unwrap();
    let path = format!("{}{}", outer::EXCHANGES, salt.exchange_id());
    let end = |key: &str, path: &str| {
        let builder =
            Request::builder().method(Method::DELETE).uri(format!("http://{}{path}", harness.address));
        harness.send(builder.header("authorization", format!("Bearer {key}")), body::empty())
    };
    let key = harness.key.key.reveal();
    assert_error(end(other.key.reveal(), &path).await, 404, "unknown_exchange").await;
    let unknown = format!("{}{}", outer::EXCHANGES, outer::ExchangeId::from_bytes([0; 32]));
    assert_error(end(key, &unknown).await, 404, "unknown_exchange").await;
    assert_error(
        end(key, &path.to_uppercase().replace("/PRIVATEMODE/V1/EXCHANGES", "/privatemode/v1/exchanges"))
            .await,
        404,
        "unknown_exchange",
    )
    .await;
    assert_error(end("pm-no", &path).await, 401, "invalid_api_key").await;
    let response = harness.send(harness.request(Method::POST, &path), body::empty()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"DELETE".parse().unwrap()));
    assert!(stub.seen.lock().unwrap().iter().all(|seen| seen.target == CHAT), "no worker was asked");

    assert_eq!(end(key, &path).await.status(), 204);
    {
        let seen = stub.seen.lock().unwrap();
        let [chat, cancel] = seen.as_slice() else { panic!("two requests") };
        assert_eq!(cancel.target, privatemode_wire::header::CANCEL_PATH);
        assert_eq!(
            cancel.headers["x-request-id"], chat.headers["x-request-id"],
            "by the name that the worker knows"
        );
    }
    // The answer goes on to its end, and is billed by its trailer.
    answer.collect().await.unwrap();
    assert_error(end(key, &path).await, 404, "unknown_exchange").await;
    harness.parts.ledger.flush().await.unwrap();
    assert_eq!(harness.accounts.usage().await.unwrap()[0].completion_tokens, 3);
}

#[tokio::test]
async fn more_than_one_content_type_is_refused() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let request = harness.chat().header("content-type", "text/plain");
    assert_error(harness.send(request, body::full("{}")).await, 400, "several_content_types").await;
}

#[tokio::test]
async fn the_model_has_to_be_named_and_known() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let json = assert_error(
        harness.send(harness.request(Method::POST, CHAT), body::full("{}")).await,
        400,
        "missing_target_model",
    )
    .await;
    assert!(json["error"]["message"].as_str().unwrap().contains("Privatemode-Target-Model"));
    let twice = harness.chat().header("privatemode-target-model", "other");
    assert_error(harness.send(twice, body::full("{}")).await, 400, "several_target_models").await;
    let unknown = harness.request(Method::POST, CHAT).header("privatemode-target-model", "gpt-5");
    let json = assert_error(harness.send(unknown, body::full("{}")).await, 404, "model_not_found").await;
    assert_eq!(json["error"]["param"], "model");
    let documents = harness.request(Method::POST, "/unstructured/general/v0/general");
    assert_error(harness.send(documents, body::full("x")).await, 404, "model_not_found").await;
}

#[tokio::test]
async fn errors_come_as_events_where_events_are_awaited() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let request = harness.request(Method::POST, CHAT).header("accept", "text/event-stream");
    let response = harness.send(request, body::full("{}")).await;
    assert_eq!(response.status(), 400);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert!(text(response).await.starts_with("event: error\ndata: {\"error\":"));
}

#[tokio::test]
async fn an_announced_excess_is_refused_before_it_is_sent() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let mut socket = tokio::net::TcpStream::connect(harness.address).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nprivatemode-target-model: demo\r\n\
         content-length: {}\r\n\r\n",
        harness.key.key.reveal(),
        129 * 1024 * 1024
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_chunked_excess_is_cut_off() {
    let stub = Stub::start(&["unstructured"]).await;
    let harness = Harness::start(&[&stub]).await;
    // 26 MiB in pieces without an announced length; documents may have 25.
    let piece = Bytes::from(vec![7_u8; 1024 * 1024]);
    let pieces = (0..26).map(move |_| Ok::<_, Infallible>(http_body::Frame::data(piece.clone())));
    let request = harness.request(Method::POST, "/unstructured/general/v0/general");
    let response = harness.send(request, body::boxed(StreamBody::new(stream::iter(pieces)))).await;
    assert_error(response, 413, "request_too_large").await;
    assert!(stub.seen.lock().unwrap().is_empty(), "the worker saw no whole request");
}

#[tokio::test]
async fn another_worker_takes_over_before_anything_was_sent() {
    let (one, two) = (Stub::start(&["demo"]).await, Stub::start(&["demo"]).await);
    let harness = Harness::start(&[&one, &two]).await;
    one.shutdown.trigger();
    while tokio::net::TcpStream::connect(one.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..6 {
        let response = harness.send(harness.chat(), body::full("{}")).await;
        assert_eq!(response.status(), 200);
        drop(text(response).await);
    }
    assert_eq!(two.seen.lock().unwrap().len(), 6);
    two.shutdown.trigger();
    while tokio::net::TcpStream::connect(two.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let response = harness.send(harness.chat(), body::full("{}")).await;
    assert!([502, 503].contains(&response.status().as_u16()), "{}", response.status());
    assert_error(harness.send(harness.chat(), body::full("{}")).await, 503, "no_worker").await;
}

#[tokio::test]
async fn what_was_begun_is_not_run_twice() {
    let (one, two) = (Stub::start(&["demo"]).await, Stub::start(&["demo"]).await);
    let harness = Harness::start(&[&one, &two]).await;
    let request = harness.chat().header("x-test", "break");
    assert_error(harness.send(request, body::full("{}")).await, 502, "worker_failed").await;
    assert!(one.seen.lock().unwrap().is_empty() && two.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn attestation_is_wrapped_and_the_key_exchange_is_not() {
    use base64::Engine;
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let nonce = r#"{"Nonce":"AAAA"}"#;
    let response =
        harness.send(harness.request(Method::POST, "/privatemode/v1/attest"), body::full(nonce)).await;
    let (status, json) = read(response).await;
    assert_eq!(status, 200);
    let document = json["AttestationDoc"].as_str().unwrap();
    let document = base64::engine::general_purpose::STANDARD.decode(document).unwrap();
    assert_eq!(document, stub::ATTESTATION.as_bytes());

    let exchange = "{\"PublicKey\":  \"AA==\"}";
    let response =
        harness.send(harness.request(Method::POST, "/privatemode/v1/secret"), body::full(exchange)).await;
    assert_eq!(text(response).await, exchange);
    let large = body::full(vec![b' '; 65 * 1024]);
    let response = harness.send(harness.request(Method::POST, "/privatemode/v1/secret"), large).await;
    assert_error(response, 413, "request_too_large").await;

    // The harness allows two a minute: one key must not fill the store for all others.
    let third =
        harness.send(harness.request(Method::POST, "/privatemode/v1/secret"), body::full(exchange)).await;
    assert!(third.headers().contains_key("retry-after"));
    assert_error(third, 429, "too_many_exchanges").await;
    let attest =
        harness.send(harness.request(Method::POST, "/privatemode/v1/attest"), body::full("{}")).await;
    assert_ne!(attest.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn the_manifest_is_public_and_cached_by_its_digest() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let request = |tag: Option<&str>| {
        let uri = format!("http://{}/privatemode/v2/manifest.json", harness.address);
        tag.into_iter().fold(Request::builder().uri(uri), |builder, tag| builder.header("if-none-match", tag))
    };
    let response = harness.send(request(None), body::empty()).await;
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(text(response).await, MANIFEST);
    assert_eq!(harness.send(request(Some(&tag)), body::empty()).await.status(), 304);
    assert_eq!(harness.send(request(Some("\"other\"")), body::empty()).await.status(), 200);
}

#[tokio::test]
async fn before_any_worker_answered_nothing_is_called_unknown() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let fresh = Workers::new(vec![Origin::plain(stub.address)]);
    assert_eq!(fresh.lease("demo", None, None).err(), Some(crate::workers::NoWorker::NotYetKnown));
    drop(harness);
}

#[tokio::test]
async fn an_endless_attestation_is_not_held() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    *stub.attestation.lock().unwrap() = " ".repeat(5 << 20);
    let answer =
        harness.send(harness.request(Method::POST, "/privatemode/v1/attest"), body::full("{}")).await;
    assert_error(answer, 502, "trusted_side_unreachable").await;
}

#[tokio::test]
async fn a_caller_that_leaves_a_sealed_answer_in_the_middle_is_billed() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let request = sealed(&harness, CHAT)
        .header("privatemode-target-model", "demo")
        .header("x-test", "sealed stream")
        .body(body::full("sealed"))
        .unwrap();
    let mut body = Gateway(Arc::clone(&harness.parts)).handle(request).await.into_body();
    // A part of the answer, and not its end.
    stub.events.send("sealed answer").unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "sealed answer");
    drop(body);
    // The worker is told to end it, and says what it cost.
    loop {
        harness.parts.ledger.flush().await.unwrap();
        if let [usage] = harness.accounts.usage().await.unwrap().as_slice() {
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), (5, 3));
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(harness.registry.render().contains("outcome=\"client_left\""));
}

#[tokio::test]
async fn a_caller_that_leaves_before_an_answer_has_made_a_request() {
    let stub = Stub::start(&["demo"]).await;
    let harness = Harness::start(&[&stub]).await;
    let request = sealed(&harness, CHAT)
        .header("privatemode-target-model", "demo")
        .header("x-test", "hang")
        .body(body::full("sealed"))
        .unwrap();
    let gateway = Gateway(Arc::clone(&harness.parts));
    let asking = tokio::spawn(async move { gateway.handle(request).await });
    while stub.seen.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    harness.parts.ledger.flush().await.unwrap();
    let usage = harness.accounts.usage().await.unwrap();
    assert_eq!((usage[0].requests, usage[0].prompt_tokens), (1, 0));
}
