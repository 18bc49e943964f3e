//! Serves HTTP/1.1 and HTTP/2 on a listener, plain or over TLS, within limits, and drains when asked to. Does not route
//! and does not open the listener. Order of what a connection meets:
//!
//! 1. connection cap — before accept: the kernel's queue is the waiting room
//! 2. TLS handshake, with a deadline — before any HTTP byte
//! 3. which HTTP: ALPN, or the first bytes of a plain connection, with a deadline
//! 4. header size and header deadline — before the service sees a request
//! 5. the service, with [`Connection`] in the request's extensions

mod sniff;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use http_body::Body;
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use rustls::pki_types::CertificateDer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use self::sniff::Protocol;
use crate::{BoxError, Chain, Shutdown, TlsSource};

/// Streams that one HTTP/2 connection may have open.
const MAX_H2_STREAMS: u32 = 1024;
/// Longest HTTP/2 frame that is taken, in bytes: two segments of a sealed body. One frame per connection is held while it
/// arrives. The protocol's default of 16 KiB costs several times the system calls and wake-ups for large bodies.
const MAX_H2_FRAME: u32 = 128 << 10;
/// A silent HTTP/2 peer is asked for a sign of life this often, and dropped when none comes.
const H2_KEEP_ALIVE: Duration = Duration::from_secs(30);
/// The pause after an accept error that will come again at once (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one listener may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Deadline of the TLS handshake, and of each request's head. Also how long a kept-alive HTTP/1 connection may idle.
    pub header_timeout: Duration,
    /// Size of a request's head.
    pub max_header_bytes: u32,
    /// How long requests in flight may go on once the drain has begun.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 8192,
            header_timeout: Duration::from_secs(15),
            max_header_bytes: 64 * 1024,
            grace: Duration::from_secs(10),
        }
    }
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because the grace period was over.
    pub aborted: usize,
}

/// Who is at the other end; in the extensions of every request.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The peer's address.
    pub remote: SocketAddr,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's certificates as the TLS handshake verified them, leaf first; empty without client authentication.
    pub peer_certificates: Arc<[CertificateDer<'static>]>,
}

impl Connection {
    /// The connection that a request came over. `None` only where the request did not come through [`serve`].
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Option<&Self> {
        request.extensions().get()
    }
}

/// Serves a tower service, for example an `axum::Router`, until `shutdown`, then drains. See [`serve`].
pub async fn serve_router<S, B>(
    listener: TcpListener,
    tls: Option<Arc<dyn TlsSource>>,
    router: S,
    limits: Limits,
    shutdown: Shutdown,
) -> Drained
where
    S: tower_service::Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError> + Send + Sync + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    serve(listener, tls, TowerToHyperService::new(router), limits, shutdown).await
}

/// Serves `service` on `listener` until `shutdown`; then closes the listener, lets requests in flight finish for
/// `limits.grace`, and cuts the rest.
pub async fn serve<S, B>(
    listener: TcpListener,
    tls: Option<Arc<dyn TlsSource>>,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
) -> Drained
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    loop {
        let (stream, remote, slot) = tokio::select! {
            biased;
            () = shutdown.triggered() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                report(ended);
                continue;
            }
            accepted = accept(&listener, &slots) => match accepted {
                Some(accepted) => accepted,
                None => continue,
            },
        };
        let (tls, service, shutdown) = (tls.clone(), service.clone(), shutdown.clone());
        connections.spawn(async move {
            if let Err(error) = connection(stream, remote, tls, service, limits, shutdown).await {
                // Peers that go away or speak nonsense are the network's normal weather.
                tracing::debug!(%remote, error = %Chain(&*error), "connection ended");
            }
            drop(slot);
        });
    }
    drop(listener); // new connections are refused from here on
    drain(connections, limits.grace).await
}

async fn drain(mut connections: JoinSet<()>, grace: Duration) -> Drained {
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if timeout(grace, finish).await.is_ok() {
        return Drained { aborted: 0 };
    }
    let aborted = connections.len();
    tracing::warn!(aborted, "connections cut: they did not finish within the grace period");
    connections.shutdown().await;
    Drained { aborted }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        // The payload may hold a request's data: it stays out of the log.
        tracing::error!("a request handler panicked, its connection is closed");
    }
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection, or `None` after an error that concerns one connection or passes.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, remote)) => Some((stream, remote, slot)),
        Err(error) => {
            use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
            if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
            {
                tracing::warn!(%error, "cannot accept connections, trying again");
                // EMFILE comes back at once: without a pause this would spin.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

async fn connection<S, B>(
    stream: TcpStream,
    remote: SocketAddr,
    tls: Option<Arc<dyn TlsSource>>,
    service: S,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), BoxError>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // Answers are streamed in small events: each has to leave at once.
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let plain = Connection { remote, local, peer_certificates: Arc::new([]) };
    let Some(tls) = tls else {
        let opening = tokio::select! {
            opening = timeout(limits.header_timeout, sniff::sniff(stream)) => opening,
            () = shutdown.triggered() => return Ok(()), // nothing was asked yet
        };
        let (stream, protocol) = opening.map_err(|_| NoRequest)??;
        return http(stream, protocol, WithConnection { service, connection: plain }, limits, shutdown).await;
    };
    let handshake = TlsAcceptor::from(tls.current()).accept(stream);
    let stream = tokio::select! {
        handshake = timeout(limits.header_timeout, handshake) => handshake.map_err(|_| NoHandshake)??,
        () = shutdown.triggered() => return Ok(()),
    };
    let session = stream.get_ref().1;
    let certificates = session.peer_certificates().unwrap_or_default();
    let peer_certificates = certificates.iter().map(|der| der.clone().into_owned()).collect();
    let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::Http2 } else { Protocol::Http1 };
    let connection = Connection { peer_certificates, ..plain };
    http(stream, protocol, WithConnection { service, connection }, limits, shutdown).await
}

#[derive(Debug, thiserror::Error)]
#[error("no TLS handshake in time")]
struct NoHandshake;

#[derive(Debug, thiserror::Error)]
#[error("no request in time")]
struct NoRequest;

async fn http<I, S, B>(
    io: I,
    protocol: Protocol,
    service: WithConnection<S>,
    limits: Limits,
    shutdown: Shutdown,
) -> Result<(), BoxError>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut builder = match protocol {
        Protocol::Http1 => auto::Builder::new(TokioExecutor::new()).http1_only(),
        Protocol::Http2 => auto::Builder::new(TokioExecutor::new()).http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_header_bytes as usize)
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.max_header_bytes)
        .max_concurrent_streams(MAX_H2_STREAMS)
        .max_frame_size(MAX_H2_FRAME)
        .keep_alive_interval(H2_KEEP_ALIVE)
        .keep_alive_timeout(H2_KEEP_ALIVE);
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.triggered() => {}
    }
    // HTTP/1: `Connection: close` after the request in flight. HTTP/2: GOAWAY. An idle connection closes at once.
    connection.as_mut().graceful_shutdown();
    connection.await
}

/// Puts the [`Connection`] into each request.
struct WithConnection<S> {
    service: S,
    connection: Connection,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithConnection<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        request.extensions_mut().insert(self.connection.clone());
        self.service.call(request)
    }
}
