//! A gateway gone bad: whatever it does to a sealed field, to the attestation or to the key exchange ends in an error of
//! its own name, and never in a wrong or short answer.
//!
//! What the compatible protocol cannot notice (a dropped last field, a renamed one that keeps its place in the order,
//! changed plain fields) is written down in docs/security.md; sealed bodies close it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use privatemode_test_kit::members::{Members, events, in_events};
use privatemode_test_kit::{Message, Reply, StubUpstream, Verdict};
use privatemode_wire::exchange::{ClientExchange, ExchangeReply, ServerExchange};
use serde_json::{Value, json};

use crate::harness::{Up, refusal};
use crate::rogue::Rogue;

const CHAT: &str = "/v1/chat/completions";
const ATTEST: &str = "/privatemode/v1/attest";
const SECRET: &str = "/privatemode/v1/secret";

/// Changes the members of requests for a chat.
fn in_request(
    mut change: impl FnMut(&mut Members) + Send + 'static,
) -> impl FnMut(Message<'_>) -> Verdict + Send {
    move |message| {
        if let Message::Request { parts, body } = message
            && parts.uri.path() == CHAT
        {
            let mut members = Members::parse(body);
            change(&mut members);
            *body = members.to_bytes();
            parts.headers.remove("content-length");
        }
        Verdict::Forward
    }
}

/// Changes the body of answers to `path`.
fn in_answer(
    path: &'static str,
    mut change: impl FnMut(&Bytes) -> Bytes + Send + 'static,
) -> impl FnMut(Message<'_>) -> Verdict + Send {
    move |message| {
        if let Message::Response { request, parts, body } = message
            && request.uri.path() == path
        {
            *body = change(body);
            parts.headers.remove("content-length");
        }
        Verdict::Forward
    }
}

fn members(mut change: impl FnMut(&mut Members) + Send + 'static) -> impl FnMut(&Bytes) -> Bytes + Send {
    move |body| {
        let mut members = Members::parse(body);
        change(&mut members);
        members.to_bytes()
    }
}

fn chat() -> String {
    json!({"model": "stub", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5, "top_p": 1, "user": "u"})
        .to_string()
}

async fn stack() -> (StubUpstream, Up) {
    let upstream = StubUpstream::start().await;
    upstream.on("/v1/models", Reply::models(&["stub"]));
    let up = Up::start(&["--upstream", &upstream.url()]);
    (upstream, up)
}

fn forward(_: Message<'_>) -> Verdict {
    Verdict::Forward
}

type Change = Box<dyn FnMut(&mut Members) + Send>;

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_request_never_reaches_the_engine() {
    let (upstream, up) = stack().await;
    let rogue = Rogue::compatible(&up, forward).await;
    let other = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    // A field of an earlier exchange, kept to be played into a later one.
    let keep = std::sync::Arc::clone(&other);
    rogue.tamper(in_request(move |body| *keep.lock().unwrap() = body.raw("messages").unwrap().to_owned()));
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
    let earlier = other.lock().unwrap().clone();

    let cases: Vec<(&str, Change, &str)> = vec![
        ("change", Box::new(|body| body.flip("messages")), "`messages` was changed or moved"),
        ("drop", Box::new(|body| body.drop_member("messages")), "was changed or moved"),
        ("reorder", Box::new(|body| body.swap("temperature", "top_p")), "was changed or moved"),
        ("rename", Box::new(|body| body.rename("messages", "zzz")), "was changed or moved"),
        ("repeat", Box::new(|body| body.repeat("messages")), "duplicate member name"),
        (
            "play in",
            Box::new(move |body| body.set("messages", earlier.clone())),
            "belongs to another exchange",
        ),
        ("open", Box::new(|body| body.set("user", "\"eve\"")), "`user` is not encrypted"),
        ("add", Box::new(|body| body.set("logprobs", "true")), "`logprobs` is not encrypted"),
        ("cut", Box::new(|body| body.set("user", "\"a:b\"")), "`user` is not encrypted"),
        (
            "other secret",
            Box::new(|body| {
                let sealed = body.raw("user").unwrap().to_owned();
                let rest = sealed.split_once(':').unwrap().1.to_owned();
                body.set("user", format!("\"{}:{rest}", STANDARD.encode([7; 32])));
            }),
            "names another secret",
        ),
    ];
    for (name, change, expected) in cases {
        rogue.tamper(in_request(change));
        let before = upstream.requests().len();
        let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
        assert_eq!(status, 400, "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
        assert_eq!(upstream.requests().len(), before, "{name}: it reached the engine");
    }
    rogue.tamper(forward);
    assert_eq!(rogue.post("/chat/completions", chat()).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_answer_is_an_error() {
    let (_upstream, up) = stack().await;
    let rogue = Rogue::compatible(&up, forward).await;
    let request = std::sync::Arc::new(std::sync::Mutex::new(String::new()));

    let cases: Vec<(&str, Change, &str)> = vec![
        ("change", Box::new(|body| body.flip("choices")), "`choices` was changed or moved"),
        ("drop", Box::new(|body| body.drop_member("choices")), "was changed or moved"),
        ("reorder", Box::new(|body| body.swap("created", "model")), "was changed or moved"),
        ("rename", Box::new(|body| body.rename("choices", "zzz")), "was changed or moved"),
        ("repeat", Box::new(|body| body.repeat("choices")), "duplicate member name"),
        ("open", Box::new(|body| body.set("choices", "[]")), "`choices` is not encrypted"),
    ];
    for (name, change, expected) in cases {
        rogue.tamper(in_answer(CHAT, members(change)));
        let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
        assert_eq!(status, 502, "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
    }

    // A sealed field of the request played back as the answer: same key, same counter.
    let kept = std::sync::Arc::clone(&request);
    rogue.tamper(move |message| match message {
        Message::Request { parts, body } if parts.uri.path() == CHAT => {
            *kept.lock().unwrap() = Members::parse(body).raw("cache_salt").unwrap().to_owned();
            Verdict::Forward
        }
        Message::Response { request, parts, body } if request.uri.path() == CHAT => {
            let mut members = Members::parse(body);
            members.set("choices", kept.lock().unwrap().clone());
            *body = members.to_bytes();
            parts.headers.remove("content-length");
            Verdict::Forward
        }
        _ => Verdict::Forward,
    });
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    assert_eq!(status, 502);
    assert!(message.contains("`choices` was copied from the request"), "{message}");

    // A plain answer with status 200, which anybody could write.
    rogue.tamper(in_answer(CHAT, |_| Bytes::from_static(b"{\"id\":\"1\",\"usage\":{}}")));
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    assert_eq!(status, 502, "{message}");
    assert!(message.contains("nothing in the body is encrypted"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_stream_ends_in_an_error() {
    let (upstream, up) = stack().await;
    upstream.on(CHAT, Reply::chat_stream(&["one", " two", " three"], true));
    let rogue = Rogue::compatible(&up, forward).await;
    let mut body: Value = serde_json::from_str(&chat()).unwrap();
    body["stream"] = json!(true);
    let body = body.to_string();

    type Stream = Box<dyn FnMut(&Bytes) -> Bytes + Send>;
    let join = |events: Vec<String>| Bytes::from(events.concat());
    let cases: Vec<(&str, Stream, &str)> = vec![
        (
            "change",
            Box::new(|stream| {
                in_events(stream, |number, event| {
                    if number == 1 {
                        event.flip("choices");
                    }
                })
            }),
            "was changed or moved",
        ),
        (
            "drop",
            Box::new(move |stream| {
                let mut events = events(stream);
                events.remove(1);
                join(events)
            }),
            "was changed or moved",
        ),
        (
            "reorder",
            Box::new(move |stream| {
                let mut events = events(stream);
                events.swap(0, 1);
                join(events)
            }),
            "was changed or moved",
        ),
        (
            "repeat",
            Box::new(move |stream| {
                let mut events = events(stream);
                let again = events[1].clone();
                events.insert(1, again);
                join(events)
            }),
            "was changed or moved",
        ),
        (
            "rename",
            Box::new(|stream| {
                in_events(stream, |number, event| {
                    if number == 1 {
                        event.rename("choices", "zzz");
                    }
                })
            }),
            "was changed or moved",
        ),
        (
            "cut",
            Box::new(move |stream| {
                let mut events = events(stream);
                events.truncate(2);
                join(events)
            }),
            "ended before its end mark",
        ),
    ];
    for (name, change, expected) in cases {
        rogue.tamper(in_answer(CHAT, change));
        let mut response = rogue.post("/chat/completions", body.clone()).send().await.unwrap();
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            text.push_str(&String::from_utf8_lossy(&chunk));
        }
        assert!(text.contains(expected), "{name}: {text}");
        assert!(!text.contains("[DONE]"), "{name}: {text}");
        assert!(!text.contains("three"), "{name}: nothing after the change is passed on: {text}");
    }
}

/// What the proxy says of itself while it cannot verify the deployment.
async fn not_ready(rogue: &Rogue) -> String {
    let (status, message) = refusal(rogue.post("/chat/completions", chat()).send().await.unwrap()).await;
    assert_eq!(status, 503, "{message}");
    assert_eq!(rogue.get("/readyz").send().await.unwrap().status(), 503);
    message
}

/// The coordinator's document inside the gateway's answer.
fn in_document(
    mut change: impl FnMut(&mut Value) + Send + 'static,
) -> impl FnMut(Message<'_>) -> Verdict + Send {
    in_answer(ATTEST, move |body| {
        let mut answer: Value = serde_json::from_slice(body).unwrap();
        let document = STANDARD.decode(answer["AttestationDoc"].as_str().unwrap()).unwrap();
        let mut document: Value = serde_json::from_slice(&document).unwrap();
        change(&mut document);
        answer["AttestationDoc"] = json!(STANDARD.encode(document.to_string()));
        Bytes::from(answer.to_string())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_attestation_is_refused_and_nothing_is_sent() {
    let (upstream, up) = stack().await;
    let foreign = Up::start(&["--upstream", &upstream.url()]);
    let document = |text: &str| -> Value {
        let answer: Value = serde_json::from_str(text).unwrap();
        let document = STANDARD.decode(answer["AttestationDoc"].as_str().unwrap()).unwrap();
        serde_json::from_slice(&document).unwrap()
    };
    let foreign_document = document(&attest(&foreign).await);
    let replayed = attest(&up).await;

    type Hook = Box<dyn FnMut(Message<'_>) -> Verdict + Send>;
    let mesh_ca = foreign_document["mesh_ca"].clone();
    let evidence = foreign_document["raw_attestation_doc"].clone();
    let cases: Vec<(&str, Hook, &str)> = vec![
        (
            "old manifest",
            Box::new(in_document(|document| {
                document["manifests"] = json!([STANDARD.encode(b"{\"Policies\":{}}")]);
            })),
            "another manifest than the expected one",
        ),
        (
            "two manifests",
            Box::new(in_document(|document| {
                let only = document["manifests"][0].clone();
                document["manifests"] = json!([only.clone(), only]);
            })),
            "2 manifests were in force",
        ),
        (
            "replayed attestation",
            Box::new(in_answer(ATTEST, move |_| Bytes::from(replayed.clone()))),
            "made for another nonce",
        ),
        (
            "foreign mesh CA",
            Box::new(in_document(move |document| document["mesh_ca"] = mesh_ca.clone())),
            "made for another nonce",
        ),
        (
            "foreign evidence",
            Box::new(in_document(move |document| document["raw_attestation_doc"] = evidence.clone())),
            "made for another nonce",
        ),
        (
            "foreign policy",
            Box::new(in_document(|document| document["policies"] = json!([STANDARD.encode(b"{}")]))),
            "but the manifest does not name it",
        ),
        ("no JSON", Box::new(in_answer(ATTEST, |_| Bytes::from_static(b"<html>"))), "malformed"),
        (
            "wrong nonce",
            Box::new(|message| {
                if let Message::Request { parts, body } = message
                    && parts.uri.path() == ATTEST
                {
                    *body = Bytes::from(json!({"Nonce": STANDARD.encode([1; 32])}).to_string());
                    parts.headers.remove("content-length");
                }
                Verdict::Forward
            }),
            "made for another nonce",
        ),
    ];
    for (name, hook, expected) in cases {
        let before = upstream.requests().iter().filter(|request| request.path == CHAT).count();
        let rogue = Rogue::compatible(&up, hook).await;
        let message = not_ready(&rogue).await;
        assert!(message.contains(expected), "{name}: {message}");
        assert!(
            !String::from_utf8_lossy(&rogue.seen()).contains("POST /v1/chat"),
            "{name}: a request left the proxy"
        );
        assert_eq!(upstream.requests().iter().filter(|request| request.path == CHAT).count(), before);
        // It recovers by itself once the gateway behaves.
        rogue.tamper(forward);
        let mut status = 0;
        for _ in 0..200 {
            status = rogue.post("/chat/completions", chat()).send().await.unwrap().status().as_u16();
            if status == 200 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert_eq!(status, 200, "{name}: {}", rogue.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_exchange_is_refused() {
    let (upstream, up) = stack().await;
    let foreign = Up::start(&["--upstream", &upstream.url()]);
    // A whole reply of another deployment, and one with another key encapsulated.
    let reply = |change: fn(&mut Value)| {
        in_answer(SECRET, move |body| {
            let mut reply: Value = serde_json::from_slice(body).unwrap();
            change(&mut reply);
            Bytes::from(reply.to_string())
        })
    };
    let elsewhere = exchange(&foreign).await;
    let own = exchange(&up).await;
    let certificate = elsewhere["MeshCert"].clone();
    let insider = insider(&up).await;
    type Hook = Box<dyn FnMut(Message<'_>) -> Verdict + Send>;
    let cases: Vec<(&str, Hook, &str)> = vec![
        (
            "another deployment's certificate",
            Box::new(in_answer(SECRET, move |body| {
                let mut reply: Value = serde_json::from_slice(body).unwrap();
                reply["MeshCert"] = certificate.clone();
                Bytes::from(reply.to_string())
            })),
            "does not come from the attested mesh CA",
        ),
        (
            "a reply to another key",
            Box::new(in_answer(SECRET, move |_| Bytes::from(own.to_string()))),
            "the signature over the key exchange is not the secret service's",
        ),
        (
            "another encapsulated key",
            Box::new(reply(|reply| reply["EncapsulatedKey"] = json!(STANDARD.encode([7; 1120])))),
            "the signature over the key exchange is not the secret service's",
        ),
        (
            "a secret of the gateway's own making, signed with its own mesh key",
            insider,
            "signed by `gateway`",
        ),
        ("a short key", Box::new(reply(|reply| reply["EncapsulatedKey"] = json!("AA=="))), "key"),
    ];
    for (name, hook, expected) in cases {
        let rogue = Rogue::compatible(&up, hook).await;
        let message = not_ready(&rogue).await;
        assert!(message.contains(expected), "{name}: {message}");
        assert!(
            !String::from_utf8_lossy(&rogue.seen()).contains("POST /v1/chat"),
            "{name}: a request left the proxy"
        );
    }
}

/// The gateway itself as the attacker: it answers exchanges with secrets that it knows, signed with the mesh key that
/// its own honest certificate belongs to.
async fn insider(up: &Up) -> Box<dyn FnMut(Message<'_>) -> Verdict + Send> {
    let flag = |name: &str| up.flag_of("gateway", name).unwrap();
    let identity = privatemode_mesh::join(&privatemode_mesh::MeshArgs {
        coordinator_mesh: vec![flag("--coordinator-mesh")],
        coordinator: vec![flag("--coordinator")],
        expected_manifest: Some(flag("--expected-manifest").into()),
        platform: Some(privatemode_mesh::PlatformName::Simulated),
        workload_policy: Some(flag("--workload-policy").into()),
        danger_simulated: true,
        ..Default::default()
    })
    .await
    .unwrap();
    let mut public_key = Vec::new();
    Box::new(move |message| {
        match message {
            Message::Request { parts, body } if parts.uri.path() == SECRET => {
                let request: Value = serde_json::from_slice(body).unwrap();
                public_key = STANDARD.decode(request["PublicKey"].as_str().unwrap()).unwrap();
            }
            Message::Response { request, parts, body } if request.uri.path() == SECRET => {
                let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
                let exchange = ServerExchange::accept(&public_key, &mut rng).unwrap();
                let reply = ExchangeReply {
                    encapsulated_key: exchange.encapsulated_key.to_vec(),
                    signature: identity.sign_prehash_asn1(&exchange.digest),
                    mesh_cert: identity.leaf_der(),
                };
                *body = Bytes::from(reply.to_json());
                parts.headers.remove("content-length");
            }
            _ => {}
        }
        Verdict::Forward
    })
}

/// Asks a gateway as its own clients do.
async fn ask(up: &Up, path: &str, body: Value) -> String {
    let certificate = std::fs::read(up.directory().join("gateway/tls-certificate.pem")).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&certificate).unwrap()])
        .build()
        .unwrap();
    let url = format!("{}{path}", up.ready["gateway"].as_str().unwrap());
    let response = client.post(url).bearer_auth(up.api_key()).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

async fn attest(up: &Up) -> String {
    ask(up, ATTEST, json!({"Nonce": STANDARD.encode([9; 32])})).await
}

async fn exchange(up: &Up) -> Value {
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let exchange = ClientExchange::new(&mut rng);
    let request: Value = serde_json::from_str(&exchange.request_json()).unwrap();
    serde_json::from_str(&ask(up, SECRET, request).await).unwrap()
}
