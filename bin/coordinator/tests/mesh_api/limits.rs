//! What one connection may do, asked over HTTP/2 by hand.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use privatemode_coordinator::mesh_api::Limits;
use privatemode_mesh::atls::{Client, Demand, wall_clock};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::body::Body;

use crate::stand::{GATEWAY, One, Platform, Stand};

const NEW_MESH_CERT: &str = "/meshapi.MeshAPI/NewMeshCert";

async fn open(stand: &Stand, one: &One) -> (SendRequest<Body>, JoinHandle<()>) {
    let client = Client::attested(stand.identity(GATEWAY), wall_clock());
    let stream = TcpStream::connect(one.address).await.unwrap();
    let unverified = client.connect(stream).await.unwrap();
    let attested = unverified.verify(&stand.expected(1), Demand::Coordinator).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(attested)).await.unwrap();
    (sender, tokio::spawn(async move { connection.await.unwrap_or_default() }))
}

/// The gRPC status of a call with this message.
async fn call(sender: &mut SendRequest<Body>, path: &str, message: &[u8]) -> Code {
    use axum::body::HttpBody as _;
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let request = Request::post(format!("http://coordinator{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(http_body_of(Bytes::from(frame))))
        .unwrap();
    let (head, mut body) = sender.send_request(request).await.unwrap().into_parts();
    let mut trailers = head.headers;
    while let Some(frame) =
        std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
    {
        if let Ok(last) = frame.unwrap().into_trailers() {
            trailers.extend(last);
        }
    }
    Code::from_bytes(trailers["grpc-status"].as_bytes())
}

fn http_body_of(bytes: Bytes) -> axum::body::Body {
    axum::body::Body::from(bytes)
}

#[tokio::test]
async fn calls_sizes_and_names_are_limited() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.start_with(Limits { max_calls: 4, ..Limits::default() }, |coordinator| coordinator).await;
    stand.set_manifest(&one, 1).await;
    let (mut sender, _connection) = open(&stand, &one).await;
    assert_eq!(call(&mut sender, NEW_MESH_CERT, b"").await, Code::Ok);
    assert_eq!(call(&mut sender, "/meshapi.MeshAPI/Reset", b"").await, Code::Unimplemented);
    assert_eq!(call(&mut sender, NEW_MESH_CERT, &[0; 1025]).await, Code::OutOfRange);
    assert_eq!(call(&mut sender, NEW_MESH_CERT, b"\xff").await, Code::Internal);
    assert_eq!(call(&mut sender, NEW_MESH_CERT, b"").await, Code::ResourceExhausted);
    drop(sender);
    one.stop().await;
}

#[tokio::test]
async fn a_connection_does_not_outlive_the_manifest_that_its_caller_was_verified_under() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.set().await;
    let (mut sender, _connection) = open(&stand, &one).await;
    assert_eq!(call(&mut sender, NEW_MESH_CERT, b"").await, Code::Ok);
    stand.set_manifest(&one, 2).await;
    assert_eq!(call(&mut sender, NEW_MESH_CERT, b"").await, Code::FailedPrecondition);
    drop(sender);
    one.stop().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_a_drain_does_not_wait_for_one() {
    let stand = Stand::new(Platform::Simulated);
    let limits = Limits { idle: Duration::from_millis(50), ..Limits::default() };
    let one = stand.start_with(limits, |coordinator| coordinator).await;
    stand.set_manifest(&one, 1).await;
    let (sender, connection) = open(&stand, &one).await;
    // the sender stays: it is the server that ends this
    tokio::time::timeout(Duration::from_secs(60), connection).await.unwrap().unwrap();
    drop(sender);
    one.stop().await;

    let one = stand.start(|coordinator| coordinator).await;
    let silent = TcpStream::connect(one.address).await.unwrap();
    one.stop().await;
    drop(silent);
}
