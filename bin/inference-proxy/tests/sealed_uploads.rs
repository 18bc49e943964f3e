//! Sealed bodies that pass through: forms and documents, in constant memory.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod common;

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use common::{
    LIMIT, Options, Stack,
    sealed::{Opened, head, rng},
};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use privatemode_test_kit::{Reply, wait_until};
use privatemode_wire::{
    Endpoint,
    stream::{Outcome, PendingResponse, RequestHead, RequestWriter, outer},
    usage::Usage,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const AUDIO: Endpoint = Endpoint::Transcriptions;
const DOCUMENT: Endpoint = Endpoint::Unstructured;
const FORM: &str = "multipart/form-data; boundary=XyZ";
const MIB: usize = 1 << 20;

fn field(name: &str, value: &str) -> String {
    format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

/// Of the file in [`audio`], which is what audio is billed by, in whole units: 200,013 bytes.
const FILE_BYTES: u64 = 13 * 16 * 1024;

fn audio(stream: &str) -> Vec<u8> {
    let mut form = [field("model", "whisper"), field("stream", stream)].concat().into_bytes();
    form.extend_from_slice(
        b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b.wav\"\r\n\r\n",
    );
    form.extend_from_slice(&[b"RIFF\0\xff\r\n--XyW".as_slice(), &[7; 200_000]].concat());
    form.extend_from_slice(b"\r\n--XyZ--\r\n");
    form
}

fn upload_head(endpoint: Endpoint, stream: bool) -> RequestHead {
    let model = (endpoint == AUDIO).then(|| "whisper".to_owned());
    RequestHead { content_type: Some(FORM.into()), model, stream, ..head(endpoint, "") }
}

#[tokio::test]
async fn audio_forms_reach_the_engine_byte_for_byte() {
    let stack = Stack::start().await;
    let form = audio("false");
    let head = RequestHead { receipt: true, ..upload_head(AUDIO, false) };
    let sealed = stack.seal_body(&head, &form);
    let names = sealed.names;
    let answer = stack.exchange(sealed).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(answer.text().contains(r#""text":"Hello, world""#));
    assert_eq!(answer.usage, Some(Usage { audio_seconds: 2, audio_bytes: FILE_BYTES, ..Usage::default() }));
    let got = stack.stub.last();
    assert_eq!((got.path.as_str(), got.header("content-type")), (AUDIO.path(), FORM));
    assert!(got.body == form, "the file's own name included");
    let receipt = stack.receipt(names, &answer);
    assert_eq!((receipt.model.as_str(), receipt.usage), ("whisper", answer.usage));
}

#[tokio::test]
async fn streamed_audio_reports_usage() {
    let stack = Stack::start().await;
    let events =
        ["data: {\"text\":\"hi\"}\n\n", "data: {\"usage\":{\"prompt_tokens\":4}}\n\n", "data: [DONE]\n\n"];
    stack.stub.on(AUDIO.path(), Reply::stream(events));
    let form = audio("true");
    let answer = stack.exchange(stack.seal_body(&upload_head(AUDIO, true), &form)).await;
    assert_eq!(answer.text(), events.concat());
    assert_eq!(answer.usage.map(|usage| usage.prompt_tokens), Some(4));
    let got = stack.stub.last().body;
    let options =
        [field("stream_include_usage", "true"), field("stream_continuous_usage_stats", "true")].concat();
    assert!(got.starts_with(options.as_bytes()) && got[options.len()..] == form[..]);
}

/// Subtitles and plain text say nothing of their cost.
#[tokio::test]
async fn audio_is_billed_by_its_size_whatever_the_answer_is() {
    let stack = Stack::start().await;
    for kind in ["text/plain; charset=utf-8", "text/vtt", "application/x-subrip"] {
        stack.stub.once(AUDIO.path(), Reply::raw(200, kind, "WEBVTT\n\nhello\n"));
        let answer = stack.exchange(stack.seal_body(&upload_head(AUDIO, false), &audio("false"))).await;
        let expected = Some(Usage { audio_bytes: FILE_BYTES, ..Usage::default() });
        assert_eq!((answer.usage, answer.trailer.usage), (expected, expected), "{kind}");
    }
    // What the engine refuses costs nothing.
    stack.stub.once(AUDIO.path(), Reply::error(400, "no such language"));
    let answer = stack.exchange(stack.seal_body(&upload_head(AUDIO, false), &audio("false"))).await;
    assert_eq!((answer.status.as_u16(), answer.usage), (400, None));
}

#[tokio::test]
async fn documents_pass_as_they_are() {
    let stack = Stack::start().await;
    let document = [b"%PDF\0".as_slice(), &[9; 300_000]].concat();
    let answer = stack.exchange(stack.seal_body(&upload_head(DOCUMENT, false), &document)).await;
    assert!(answer.text().contains("NarrativeText"), "{}", answer.text());
    let got = stack.stub.last();
    assert_eq!((got.path.as_str(), got.header("content-type")), ("/general/v0/general", FORM));
    assert!(got.body == document);
}

#[tokio::test]
async fn a_form_that_is_refused_is_never_whole_at_the_engine() {
    let stack = Stack::start().await;
    let good = audio("true");
    let cut = good.len() - 20;
    for (head, form, code, param) in [
        (upload_head(AUDIO, false), good.clone(), "head_mismatch", "stream"),
        (
            RequestHead { model: Some("cheap".into()), ..upload_head(AUDIO, true) },
            good.clone(),
            "head_mismatch",
            "model",
        ),
        (upload_head(AUDIO, true), good[..cut].to_vec(), "invalid_request", ""),
        (upload_head(AUDIO, true), audio("yes"), "invalid_request", "stream"),
        (
            RequestHead { content_type: Some("text/plain".into()), ..upload_head(AUDIO, true) },
            good.clone(),
            "invalid_request",
            "",
        ),
    ] {
        let answer = stack.exchange(stack.seal_body(&head, &form)).await;
        assert_eq!(answer.error(), (400, code.into(), param.into()));
    }
    // The seal itself broken near the end, when the engine has most of it.
    let sealed = stack.seal_body(&upload_head(AUDIO, true), &good);
    let (parts, body) = sealed.request.into_parts();
    let mut wire = body.collect().await.unwrap().to_bytes().to_vec();
    let near_end = wire.len() - 40;
    wire[near_end] ^= 1;
    let request = Request::from_parts(parts, http_body_util::Full::new(Bytes::from(wire)));
    let answer = Opened::of(stack.worker.handle(request).await, sealed.pending).await.unwrap();
    assert_eq!(answer.error().1, "cannot_decrypt");
    assert!(stack.stub.requests().is_empty(), "the engine never had a whole request");
}

/// An upload of `length` bytes that is sealed as it is taken, and how many sealed bytes were taken.
struct Upload {
    request: Request<StreamBody<BoxedFrames>>,
    pending: PendingResponse,
    taken: Arc<AtomicUsize>,
}

type BoxedFrames =
    std::pin::Pin<Box<dyn futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>;

fn upload(stack: &Stack, length: usize) -> Upload {
    let head = upload_head(DOCUMENT, false);
    let (writer, pending) = RequestWriter::begin(&stack.secret, &head, &mut rng()).unwrap();
    let builder = Request::post(DOCUMENT.path())
        .header("content-type", outer::CONTENT_TYPE)
        .header(outer::REQUEST_HEADER, writer.salt().to_header())
        .header("privatemode-secret-id", stack.id.as_str());
    let taken = Arc::new(AtomicUsize::new(0));
    let (count, mut writer, mut left) = (Arc::clone(&taken), Some(writer), length);
    let frames = futures_util::stream::poll_fn(move |_| {
        let Some(sealing) = &mut writer else { return Poll::Ready(None) };
        let mut out = Vec::new();
        while out.is_empty() && left > 0 {
            let now = left.min(64 * 1024);
            sealing.write(&vec![b'~'; now], &mut out).unwrap();
            left -= now;
        }
        if left == 0 {
            writer.take().unwrap().finish(&mut out).unwrap();
        }
        count.fetch_add(out.len(), Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
    });
    let request = builder.body(StreamBody::new(Box::pin(frames) as BoxedFrames)).unwrap();
    Upload { request, pending, taken }
}

/// A document service that reads `first` bytes of a request, then waits for `go`, then reads the rest and answers with how
/// many bytes of the document it has seen.
async fn slow_engine(listener: tokio::net::UnixListener, first: usize, go: Arc<tokio::sync::Notify>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut buffer = vec![0; 64 * 1024];
    let (mut seen, mut read, mut tail) = (0, 0, Vec::new());
    let mut waited = false;
    loop {
        if read >= first && !std::mem::replace(&mut waited, true) {
            go.notified().await;
        }
        let length = stream.read(&mut buffer).await.unwrap();
        assert!(length > 0, "the request ends");
        read += length;
        let piece = &buffer[..length];
        seen += piece.iter().filter(|byte| **byte == b'~').count();
        tail.extend_from_slice(&piece[length.saturating_sub(7)..]);
        tail.drain(..tail.len().saturating_sub(7));
        if tail == b"\r\n0\r\n\r\n" {
            break;
        }
    }
    let body = format!("[{seen}]");
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.unwrap();
}

/// 128 MiB to an engine that stops reading: the worker stops taking long before it has much of it, and goes on when the
/// engine does. What it holds is what it took less what the engine read, at most.
#[tokio::test]
async fn an_engine_that_does_not_read_holds_up_the_upload() {
    const LENGTH: usize = 128 * MIB;
    // Read buffers, one frame, one segment, one piece, hyper's and the kernel's buffers.
    const HELD: usize = 4 * MIB;
    const FIRST: usize = MIB;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let go = Arc::new(tokio::sync::Notify::new());
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let engine = tokio::spawn(slow_engine(listener, FIRST, Arc::clone(&go)));
    let target = Some(format!("unix:{}", path.display()));
    let stack = Stack::with(Options { engine: target, ..Default::default() }).await;

    let Upload { request, pending, taken } = upload(&stack, LENGTH);
    let worker = stack.worker.clone();
    let answering = tokio::spawn(async move { worker.handle(request).await });
    // It has come to a halt when it takes nothing for a while: the longer that takes, the stricter the test.
    let mut before = 0;
    wait_until("the upload is held up", LIMIT, async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = taken.load(Ordering::SeqCst);
        std::mem::replace(&mut before, now) == now && now >= FIRST
    })
    .await;
    assert!(before <= FIRST + HELD, "{} MiB were taken", before / MIB);
    assert!(!answering.is_finished());

    go.notify_one();
    let answer = Opened::of(answering.await.unwrap(), pending).await.unwrap();
    assert_eq!((answer.status, answer.text()), (StatusCode::OK, format!("[{LENGTH}]")));
    assert_eq!(answer.trailer.outcome, Outcome::Complete);
    assert!(taken.load(Ordering::SeqCst) > LENGTH);
    engine.await.unwrap();
}

#[tokio::test]
async fn an_engine_that_refuses_early_is_heard() {
    let stack = Stack::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let engine = Some(format!("http://{}", listener.local_addr().unwrap()));
    let refusing = Stack::with(Options { engine, ..Default::default() }).await;
    drop(stack);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut start = [0; 1024];
        let _ = stream.read(&mut start).await.unwrap();
        let body =
            r#"{"error":{"message":"at most 16 MiB","type":"x","param":null,"code":"request_too_large"}}"#;
        let head = "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\nconnection: close";
        let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        // Stays open without reading: only the answer ends it.
        tokio::time::sleep(LIMIT).await;
    });
    let Upload { request, pending, taken } = upload(&refusing, 64 * MIB);
    let answer = Opened::of(refusing.worker.handle(request).await, pending).await.unwrap();
    assert_eq!(answer.error(), (413, "request_too_large".into(), String::new()));
    assert!(taken.load(Ordering::SeqCst) < 64 * MIB, "the rest was not waited for");
    server.abort();
}
