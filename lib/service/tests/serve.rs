//! The server's limits and its drain, over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use privatemode_service::{
    Connection, Drained, FileTls, Limits, Shutdown, TlsSource, listen, serve, serve_router,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// A server whose handler says that it began and waits until it may end.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    began: Arc<Semaphore>,
    may_end: Arc<Semaphore>,
    task: JoinHandle<Drained>,
}

fn server(limits: Limits, tls: Option<Arc<dyn TlsSource>>) -> Server {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (shutdown, began, may_end) =
        (Shutdown::new(), Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (b, m) = (Arc::clone(&began), Arc::clone(&may_end));
    let service = service_fn(move |request: Request<Incoming>| {
        let (began, may_end) = (Arc::clone(&b), Arc::clone(&m));
        async move {
            let connection = Connection::of(&request).unwrap();
            assert!(connection.peer_certificates.is_empty());
            began.add_permits(1);
            may_end.acquire().await.unwrap().forget();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("done"))))
        }
    });
    let task = tokio::spawn(serve(listener, tls, service, limits, shutdown.clone()));
    Server { address, shutdown, began, may_end, task }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

#[tokio::test]
async fn the_drain_finishes_what_is_in_flight_and_closes() {
    let server = server(Limits::default(), None);
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(GET).await.unwrap();
    server.began.acquire().await.unwrap().forget();

    server.shutdown.trigger();
    assert_eq!(read_all(&mut idle).await, "", "an idle connection closes at once");
    server.may_end.add_permits(1);
    let answer = read_all(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\ndone"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(server.task.await.unwrap(), Drained { aborted: 0 });
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn the_drain_has_an_end() {
    let server = server(Limits { grace: Duration::from_millis(20), ..Limits::default() }, None);
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(GET).await.unwrap();
    server.began.acquire().await.unwrap().forget();
    server.shutdown.trigger();
    assert_eq!(server.task.await.unwrap(), Drained { aborted: 1 });
    assert_eq!(read_all(&mut busy).await, "");
}

#[tokio::test]
async fn a_slow_head_is_not_waited_for() {
    let server = server(Limits { header_timeout: Duration::from_millis(50), ..Limits::default() }, None);
    // Nothing, the start of HTTP/2, the start of HTTP/1: each is closed, none reaches the service.
    for start in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nhost: te"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(start).await.unwrap();
        let answer = read_all(&mut stream).await;
        assert!(!answer.contains("200"), "{answer}");
    }
    assert_eq!(server.began.available_permits(), 0);
    server.shutdown.trigger();
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_slow_tls_handshake_is_not_waited_for() {
    let (tls, _) = tls();
    let server = server(Limits { header_timeout: Duration::from_millis(50), ..Limits::default() }, Some(tls));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    server.shutdown.trigger();
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_large_head_is_refused() {
    let server = server(Limits::default(), None);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
    // The server may close before all of it is written.
    let _ = stream.write_all(&vec![b'x'; 70 * 1024]).await;
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 431");
    assert_eq!(server.began.available_permits(), 0);
}

#[tokio::test]
async fn further_connections_wait() {
    let server = server(Limits { max_connections: 1, ..Limits::default() }, None);
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(GET).await.unwrap();
    server.began.acquire().await.unwrap().forget();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    second.write_all(GET).await.unwrap();
    assert_eq!(server.began.available_permits(), 0, "the second is not even accepted");
    server.may_end.add_permits(2);
    drop(first);
    server.began.acquire().await.unwrap().forget();
    server.shutdown.trigger();
    assert!(read_all(&mut second).await.ends_with("done"));
}

#[tokio::test]
async fn a_full_house_can_be_shut_down() {
    let server = server(Limits { max_connections: 1, grace: Duration::ZERO, ..Limits::default() }, None);
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(GET).await.unwrap();
    server.began.acquire().await.unwrap().forget();
    server.shutdown.trigger();
    assert_eq!(server.task.await.unwrap(), Drained { aborted: 1 });
}

#[tokio::test]
async fn http2_without_tls() {
    let server = server(Limits::default(), None);
    server.may_end.add_permits(1);
    let stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(h2_request(stream).await, "done");
}

#[tokio::test]
async fn http2_over_tls() {
    let (tls, roots) = tls();
    let server = server(Limits::default(), Some(tls));
    server.may_end.add_permits(1);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("test.example".try_into().unwrap(), stream).await.unwrap();
    assert_eq!(h2_request(stream).await, "done");
}

#[tokio::test]
async fn a_router_learns_who_calls() {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let router = axum::Router::new().route(
        "/",
        axum::routing::get(|request: axum::extract::Request| async move {
            Connection::of(&request).unwrap().remote.to_string()
        }),
    );
    let task = tokio::spawn(serve_router(listener, None, router, Limits::default(), shutdown.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let own = stream.local_addr().unwrap().to_string();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with(&own));
    shutdown.trigger();
    task.await.unwrap();
}

async fn h2_request<I>(io: I) -> Bytes
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://test.example/").body(Full::<Bytes>::default()).unwrap();
    sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
}

fn tls() -> (Arc<dyn TlsSource>, rustls::RootCertStore) {
    let pair = rcgen::generate_simple_self_signed(vec!["test.example".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, pair.cert.pem()).unwrap();
    std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pair.cert.der().clone()).unwrap();
    (Arc::new(FileTls::load(certificate, key).unwrap()), roots)
}
