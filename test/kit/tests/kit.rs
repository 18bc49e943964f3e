//! The fakes do what tests will rely on: exact recording, faults where asked for, tampering in both directions.

use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use privatemode_test_kit::{Message, Reply, StubUpstream, TamperingGateway, TlsSides, Verdict, wait_until};
use tokio::net::{TcpStream, UnixStream};

const LIMIT: Duration = Duration::from_secs(20);

async fn send<I>(io: I, path: &str, body: impl Into<Bytes>) -> Result<Response<Incoming>>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection);
    let request =
        Request::post(path).header("host", "stub").header("x-test", "1").body(Full::new(body.into()))?;
    Ok(sender.send_request(request).await?)
}

async fn post(
    address: std::net::SocketAddr,
    path: &str,
    body: impl Into<Bytes>,
) -> Result<Response<Incoming>> {
    send(TcpStream::connect(address).await?, path, body).await
}

async fn text(response: Response<Incoming>) -> Result<String> {
    Ok(String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?)
}

#[tokio::test]
async fn the_stub_records_exact_bytes() -> Result<()> {
    let stub = StubUpstream::start().await;
    let body = Bytes::from_static(b"\x00\xff{\"a\" : 1e400}\r\n");
    let response = post(stub.address(), "/v1/chat/completions?x=%20", body.clone()).await?;
    assert_eq!(response.status(), 200);
    let recorded = stub.last();
    assert_eq!((recorded.path.as_str(), recorded.body.clone()), ("/v1/chat/completions?x=%20", body));
    assert_eq!(recorded.header("x-test"), "1");
    Ok(())
}

#[tokio::test]
async fn the_stub_streams_with_usage_when_asked() -> Result<()> {
    let stub = StubUpstream::start().await;
    let body = r#"{"stream":true,"stream_options":{"include_usage":true}}"#;
    let stream = text(post(stub.address(), "/v1/chat/completions", body).await?).await?;
    assert_eq!(stream.matches("data: ").count(), 6);
    assert!(stream.contains("prompt_tokens") && stream.ends_with("data: [DONE]\n\n"));
    Ok(())
}

#[tokio::test]
async fn queued_replies_come_first_and_faults_are_real() -> Result<()> {
    let stub = StubUpstream::start().await;
    stub.on("/x", Reply::html_502());
    stub.once("/x", Reply::hang_up());
    stub.once("/x", Reply::chat_stream(&["a", "b"], false).paced(Duration::from_millis(1)).dying_after(3));
    assert!(post(stub.address(), "/x", "").await.is_err());
    let mut cut = post(stub.address(), "/x", "").await?.into_body();
    let first = cut.frame().await.expect("a frame")?;
    assert!(first.into_data().expect("data").starts_with(b"data: "));
    assert!(cut.collect().await.is_err());
    assert_eq!(post(stub.address(), "/x", "").await?.status(), 502);
    Ok(())
}

#[tokio::test]
async fn the_stub_notices_who_hangs_up() -> Result<()> {
    let stub = StubUpstream::start().await;
    stub.on("/x", Reply::chat_stream(&["a", "b"], false).stalling_after(1));
    let mut response = post(stub.address(), "/x", "").await?.into_body();
    response.frame().await.expect("a frame")?;
    assert_eq!(stub.abandoned(), 0);
    drop(response);
    wait_until("the stub sees it", LIMIT, async || stub.abandoned() == 1).await;
    Ok(())
}

#[tokio::test]
async fn a_dropped_stub_is_gone() -> Result<()> {
    let stub = StubUpstream::start().await;
    let address = stub.address();
    drop(stub);
    wait_until("its port is closed", LIMIT, async || TcpStream::connect(address).await.is_err()).await;
    Ok(())
}

#[tokio::test]
async fn the_stub_listens_on_a_unix_socket_too() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("engine.sock");
    let stub = StubUpstream::start_unix(&path);
    let answer = text(send(UnixStream::connect(&path).await?, "/v1/embeddings", "{}").await?).await?;
    assert!(answer.contains("[0.25,-1.0,3.5]"), "{answer}");
    assert_eq!(stub.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn the_gateway_changes_both_directions() -> Result<()> {
    let stub = StubUpstream::start().await;
    let gateway = TamperingGateway::start(stub.address(), TlsSides::default(), |message| {
        match message {
            Message::Request { body, parts } => {
                *body = Bytes::from_static(b"changed, and longer than it was");
                parts.headers.remove("x-test");
            }
            Message::Response { request, body, parts } => {
                assert_eq!(request.uri.path(), "/x");
                parts.status = http::StatusCode::IM_A_TEAPOT;
                *body = Bytes::from_static(b"tea");
            }
        }
        Verdict::Forward
    })
    .await;
    let response = post(gateway.address(), "/x", "original").await?;
    assert_eq!(response.status(), 418);
    assert_eq!(text(response).await?, "tea");
    assert_eq!(&stub.last().body[..], b"changed, and longer than it was");
    assert_eq!(stub.last().header("x-test"), "");
    assert!(gateway.seen().windows(8).any(|window| window == b"original"));

    gateway.tamper(|message| match message {
        Message::Request { .. } => Verdict::Forward,
        Message::Response { .. } => Verdict::CutAfter(3),
    });
    let mut cut = post(gateway.address(), "/x", "").await?.into_body();
    assert_eq!(cut.frame().await.expect("a frame")?.into_data().expect("data").len(), 3);
    assert!(cut.collect().await.is_err());

    gateway.tamper(|_| Verdict::Abort);
    stub.clear();
    assert!(post(gateway.address(), "/x", "").await.is_err());
    assert!(stub.requests().is_empty());
    Ok(())
}
