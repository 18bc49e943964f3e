//! Sealed bodies in good order, their retries, their negotiation, and their receipts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_client::{FIELDS, SEALED_BODY};
use privatemode_wire::{
    receipt::SignedReceipt,
    replay::Refusal,
    stream::{Outcome, Padding, UnixMillis, outer},
    usage::Usage,
};

use super::{
    worker::{Sealed, USAGE},
    *,
};

pub(super) const BOTH: [&str; 2] = [FIELDS, SEALED_BODY];

pub(super) async fn world(flags: &[&str]) -> World {
    let flags = [&["--apiKey", KEY, "--danger-simulated"], flags].concat();
    World::with(Arc::new(Deployment::speaking("1", &BOTH)), &flags).await
}

async fn text(world: &World, body: &str) -> (StatusCode, String) {
    let response = world.tool.post(world.url(CHAT)).body(body.to_owned()).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

#[tokio::test]
async fn the_callers_accept_is_under_the_seal() {
    let world = world(&[]).await;
    let send =
        |accept: &'static str| world.tool.post(world.url(CHAT)).header("accept", accept).body(PROMPT).send();
    send("multipart/mixed").await.unwrap();
    let long: &'static str = Box::leak("a/b,".repeat(200).into_boxed_str());
    send(long).await.unwrap();
    let accepts: Vec<_> = world.gateway.heads().into_iter().map(|head| head.accept).collect();
    assert_eq!(accepts, [Some("multipart/mixed".to_owned()), None], "one that does not fit is not passed on");
}

#[tokio::test]
async fn a_request_arrives_whole_and_the_gateway_sees_only_what_it_needs() {
    let world = world(&[]).await;
    let body = r#" {"model":"demo","max_tokens":5,"messages":[{"role":"user","content":"CANARY \u00fc"}], "big":1e400} "#;
    let (status, echoed) = text(&world, body).await;
    assert_eq!(status, 200, "{echoed}");
    let (before, after) = echoed.split_once(r#","cache_salt":""#).expect("a salt was inserted");
    assert_eq!(format!("{before}{}", after.split_once('"').unwrap().1), body, "every other byte is kept");

    let (seen, head) = (&world.gateway.seen()[0], &world.gateway.heads()[0]);
    let header = |name: &str| seen.headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), outer::CONTENT_TYPE);
    assert_eq!(header("privatemode-target-model"), "demo");
    assert_eq!(header("privatemode-max-tokens"), "5");
    assert_eq!(header("content-length").parse::<usize>().unwrap(), seen.sealed.len());
    assert!(!String::from_utf8_lossy(&seen.sealed).contains("CANARY"));
    assert_eq!((head.padding, head.receipt, head.stream), (Padding::Bucket, false, false));
    let digest = world.gateway.deployment().manifest.clone();
    assert_eq!(
        head.manifest.0,
        <[u8; 32]>::from(sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            digest
        )))
    );
}

#[tokio::test]
async fn only_harmless_headers_reach_the_caller() {
    let world = world(&[]).await;
    world.gateway.seals(
        Sealed { content_type: "text/html", body: vec![b"<script>".to_vec()], ..Sealed::default() }.changed(
            |_, headers, _| {
                headers.insert("cache-control", "public, max-age=31536000".parse().unwrap());
                headers.insert("retry-after", "86400".parse().unwrap());
            },
        ),
    );
    let response = world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.headers()["x-request-id"], "gateway-1");
    assert_eq!(response.headers()["retry-after"], "3", "from under the seal");
    assert_eq!(response.headers()["cache-control"], "no-store");
    for absent in ["set-cookie", "location", outer::RESPONSE_HEADER, outer::RECEIPT] {
        assert!(!response.headers().contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn a_stream_arrives_as_it_was_and_an_error_too() {
    let world = world(&["--padding", "off"]).await;
    let events = ["data: {\"a\":1}\n\n: ping\n\nda", "ta: 2\n\n", "data: [DONE]\n\n"];
    world.gateway.seals(Sealed::events(&events));
    let response = world.tool.post(world.url(CHAT)).body(PROMPT).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), events.concat());
    assert_eq!(world.gateway.heads()[0].padding, Padding::Off);

    let error = br#"{"error":{"message":"no","type":"x","param":null,"code":null}}"#.to_vec();
    world.gateway.seals(Sealed { status: 418, body: vec![error], ..Sealed::default() });
    let answer = world.chat().await;
    assert_eq!((answer.0.as_u16(), answer.1["error"]["message"].as_str()), (418, Some("no")));
}

#[tokio::test]
async fn a_worker_that_wants_another_date_gets_it_and_later_requests_have_it() {
    let world = world(&[]).await;
    let (server_time, not_before) = (UnixMillis(5_000_000_000_000), UnixMillis(5_000_000_120_000));
    let refusals = vec![Refusal::BeforeStart { server_time, not_before }];
    world.gateway.seals(Sealed { refusals, ..Sealed::default() });
    assert_eq!(world.chat().await.0, 200);
    assert_eq!(world.chat().await.0, 200);
    let heads = world.gateway.heads();
    assert_eq!(heads.len(), 3, "one extra round trip, once");
    assert_eq!(heads[1].sent, not_before);
    assert!(heads[2].sent >= not_before);
    assert_ne!(heads[0].request_id, heads[1].request_id, "a fresh exchange");
    let salt = |index: usize| world.gateway.seen()[index].headers[outer::REQUEST_HEADER].clone();
    assert_ne!(salt(0), salt(1));

    // A second refusal in a row is the worker's last word; so is a replay.
    let refusals = vec![Refusal::TooOld { server_time }; 2];
    world.gateway.seals(Sealed { refusals, ..Sealed::default() });
    let answer = world.chat().await;
    assert_eq!(fault(&answer).1, "send_again");
    world.gateway.seals(Sealed { refusals: vec![Refusal::Replayed], ..Sealed::default() });
    assert_eq!(world.post(CHAT, PROMPT).await.0, 409);
}

#[tokio::test]
async fn a_lost_secret_and_a_broken_connection_are_tried_again_afresh() {
    let world = world(&[]).await;
    assert_eq!(world.chat().await.0, 200);
    world.gateway.deployment().forget();
    assert_eq!(world.chat().await.0, 200);
    world.gateway.state.resets.store(1, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(world.chat().await.0, 200);
    let ids: std::collections::HashSet<_> =
        world.gateway.heads().iter().map(|head| head.request_id).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_deployment_may_change_its_protocol_in_between() {
    let world = world(&[]).await;
    assert_eq!(world.chat().await.0, 200);
    world.gateway.redeploys(Deployment::speaking("2", &[FIELDS]));
    let (status, answer) = world.chat().await;
    assert_eq!(status, 200);
    assert!(answer["choices"].is_array(), "over the compatible protocol: {answer}");
}

#[tokio::test]
async fn large_files_stream_and_small_ones_can_be_repeated() {
    let world = world(&[]).await;
    world.gateway.seals(Sealed { body: vec![b"{}".to_vec()], ..Sealed::default() });
    let file = vec![b'x'; 5 << 20];
    let upload = |bytes: Vec<u8>| world.post("/unstructured/general/v0/general", bytes);
    assert_eq!(upload(file.clone()).await.0, 200);
    let seen = &world.gateway.seen()[0];
    assert_eq!(seen.opened.as_ref().unwrap(), &file);
    assert!(!seen.headers.contains_key(outer::CONTENT_LENGTH_TOKENS), "the length is not known beforehand");
    assert!(!seen.headers.contains_key("content-length"));

    // What was streamed is gone; the next one finds the secret renewed.
    world.gateway.deployment().forget();
    let answer = upload(file.clone()).await;
    assert_eq!(fault(&answer).1, "send_again");
    assert_eq!(upload(file).await.0, 200);
    world.gateway.deployment().forget();
    assert_eq!(upload(vec![b'x'; 1000]).await.0, 200);
}

#[tokio::test]
async fn an_audio_form_streams_behind_its_fields() {
    let world = world(&[]).await;
    let form = |first: &str, last: &str| {
        let file = "x".repeat(3 << 20);
        format!(
            "{first}--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{file}\r\n{last}--b--\r\n"
        )
    };
    let model = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n";
    for (form, streamed) in [(form(model, ""), true), (form("", model), false)] {
        let request = world.tool.post(world.url("/v1/audio/transcriptions"));
        let request = request.header("content-type", "multipart/form-data; boundary=b").body(form.clone());
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), form);
        let seen = world.gateway.seen().pop().unwrap();
        assert_eq!(seen.headers["privatemode-target-model"], "whisper");
        assert_eq!(seen.headers.contains_key("content-length"), !streamed);
        assert_eq!(world.gateway.heads().pop().unwrap().model.as_deref(), Some("whisper"));
    }
}

#[tokio::test]
async fn a_deployment_without_sealed_bodies_is_refused_where_they_are_demanded() {
    let flags = ["--apiKey", KEY, "--danger-simulated", "--protocol", "sealed"];
    let world = World::with(Arc::new(Deployment::new("1")), &flags).await;
    let answer = world.chat().await;
    let (status, code, message) = fault(&answer);
    assert_eq!((status, code), (503, "deployment_not_verified"));
    assert!(message.contains("sealed bodies were asked for") && message.contains("--protocol"), "{message}");
    assert!(world.gateway.seen().is_empty());
}

#[tokio::test]
async fn the_page_says_which_protocol_and_why() {
    let world = world(&[]).await;
    world.chat().await;
    let status = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    let json = status(world.get("/privatemode/status").await.1);
    assert_eq!(json["protocol"], "sealed-body/1");
    assert_eq!(json["protocol_reason"], "the attested manifest names it");
    assert_eq!(json["padding"], "bucket");
    assert!(!json["downgrades"].to_string().contains("fields/1"), "{json}");

    let flags = ["--apiKey", KEY, "--danger-simulated", "--protocol", "compatible"];
    let world = World::with(Arc::new(Deployment::speaking("1", &BOTH)), &flags).await;
    let (code, answer) = world.chat().await;
    assert!(code == 200 && answer["choices"].is_array(), "{answer}");
    let json = status(world.get("/privatemode/status").await.1);
    assert_eq!(json["protocol"], "fields/1");
    assert!(json["downgrades"].to_string().contains("DOWNGRADE: the compatible protocol"), "{json}");
    assert!(world.get("/privatemode").await.1.contains("DOWNGRADE: the compatible protocol"));
}

#[tokio::test]
async fn receipts_are_kept_and_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&["--receipts", folder.path().to_str().unwrap()]).await;
    assert_eq!(world.chat().await.0, 200);
    let head = &world.gateway.heads()[0];
    assert!(head.receipt);
    let name = |suffix: &str| folder.path().join(format!("{}{suffix}.json", head.request_id));
    let kept = std::fs::read(name("")).unwrap();
    let receipt = SignedReceipt::parse(&kept).unwrap();
    let exchange: Value = serde_json::from_slice(&std::fs::read(name(".exchange")).unwrap()).unwrap();
    let digest = |digest: privatemode_wire::receipt::SealedDigest| hex::encode(digest.0);
    assert_eq!(exchange["request_digest"], digest(receipt.unverified().request_digest.unwrap()));
    assert_eq!(exchange["response_digest"], digest(receipt.unverified().response_digest));
    assert_eq!(exchange["exchange"], receipt.unverified().exchange.to_string());
    let ca = world.workspace.path().join("mesh").join(exchange["mesh_ca"].as_str().unwrap());
    let ca = privatemode_attest::mesh::MeshCa::parse_pem(std::fs::read(ca).unwrap()).unwrap();
    privatemode_client::verify_receipt(receipt, &ca).unwrap();

    // Into the caller's hand only where it asks.
    let request = || world.tool.post(world.url(CHAT)).header(outer::RECEIPT, "request").body(PROMPT);
    let response = request().send().await.unwrap();
    let receipt = STANDARD.decode(&response.headers()[outer::RECEIPT]).unwrap();
    let id = world.gateway.heads().pop().unwrap().request_id;
    assert_eq!(SignedReceipt::parse(&receipt).unwrap().unverified().request_id, id);

    // Also for an answer that the engine cut.
    world.gateway.seals(Sealed { outcome: Outcome::Failed, ..Sealed::default() });
    assert_eq!(world.chat().await.0, 502);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
}

#[tokio::test]
async fn a_stream_has_its_receipt_behind_it() {
    let world = world(&[]).await;
    world.gateway.seals(Sealed::events(&["data: 1\n\ndata: [DONE]\n\n"]));
    let request = world.tool.post(world.url(CHAT)).header(outer::RECEIPT, "request").header("te", "trailers");
    let response = request.body(PROMPT).send().await.unwrap();
    let body = http_body_util::BodyExt::collect(reqwest::Body::from(response)).await.unwrap();
    let receipt = STANDARD.decode(&body.trailers().unwrap()[outer::RECEIPT]).unwrap();
    assert_eq!(SignedReceipt::parse(&receipt).unwrap().unverified().usage, Some(USAGE));
    assert_eq!(body.to_bytes(), "data: 1\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn a_gateway_that_was_told_another_usage_does_no_harm() {
    let world = world(&[]).await;
    world.gateway.seals(Sealed { told: Some(Usage { prompt_tokens: 9, ..USAGE }), ..Sealed::default() });
    assert_eq!(world.chat().await.0, 200);
    world.gateway.seals(Sealed { told: None, ..Sealed::default() });
    assert_eq!(world.chat().await.0, 200);
}
