//! A gateway gone bad: a man in the middle that shows every message to a closure and sends on what it leaves of it.
//!
//! HTTP/1.1 on both sides, TLS on either. Messages are gathered whole, so that a closure sees and changes complete
//! bodies; a stream arrives at the client at its end.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, header, request, response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::connection::{Failure, FakeBody, never, serve};

/// What passes through.
pub enum Message<'a> {
    /// From the client, before it is sent on.
    Request {
        /// Method, path and headers.
        parts: &'a mut request::Parts,
        /// The whole body.
        body: &'a mut Bytes,
    },
    /// From the upstream, before it is sent back.
    Response {
        /// The request that it answers, as it was sent on.
        request: &'a request::Parts,
        /// Status and headers.
        parts: &'a mut response::Parts,
        /// The whole body.
        body: &'a mut Bytes,
    },
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on, with what was changed in it.
    Forward,
    /// The client's connection breaks.
    Abort,
    /// Of a response, so many bytes of the body go on, then the client's connection breaks. A request: as `Abort`.
    CutAfter(usize),
}

/// TLS towards the client and towards the upstream; none is plain HTTP.
#[derive(Default, Clone)]
pub struct TlsSides {
    /// How the client is met.
    pub server: Option<Arc<ServerConfig>>,
    /// How the upstream is met, and by which name.
    pub upstream: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

type Hook = Box<dyn FnMut(Message<'_>) -> Verdict + Send>;

/// The man in the middle. It stops, with all its connections, when it is dropped.
pub struct TamperingGateway {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    upstream: SocketAddr,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    hook: Mutex<Hook>,
    seen: Mutex<Vec<u8>>,
}

impl TamperingGateway {
    /// Listens on a free port of 127.0.0.1 and sends everything on to `upstream`, after `hook`.
    pub async fn start(
        upstream: SocketAddr,
        tls: TlsSides,
        hook: impl FnMut(Message<'_>) -> Verdict + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            upstream,
            tls: tls.upstream.map(|(config, name)| (TlsConnector::from(Arc::new(only_http1(&config))), name)),
            hook: Mutex::new(Box::new(hook)),
            seen: Mutex::default(),
        });
        let acceptor = tls.server.map(|config| {
            let mut config = ServerConfig::clone(&config);
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsAcceptor::from(Arc::new(config))
        });
        let accepting = tokio::spawn(accept(listener, acceptor, Arc::clone(&state)));
        Self { address, state, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tampers in another way from now on.
    pub fn tamper(&self, hook: impl FnMut(Message<'_>) -> Verdict + Send + 'static) {
        *self.state.hook.lock().unwrap() = Box::new(hook);
    }

    /// Everything that it saw inside TLS, before its own changes: heads and bodies of both directions, one after the
    /// other. No plaintext may be in it.
    #[must_use]
    pub fn seen(&self) -> Vec<u8> {
        self.state.seen.lock().unwrap().clone()
    }
}

impl Drop for TamperingGateway {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
        connections.spawn(async move {
            let _latency_only = io.set_nodelay(true);
            match acceptor {
                None => serve(io, state, relay).await,
                Some(acceptor) => {
                    // a client that refuses us is a result that the test sees on the client's side
                    if let Ok(io) = acceptor.accept(io).await {
                        serve(io, state, relay).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn relay(state: Arc<State>, request: Request<Incoming>) -> Result<Response<FakeBody>, Failure> {
    let (mut parts, body) = request.into_parts();
    let mut body = body.collect().await?.to_bytes();
    state.note(&format!("{} {} {:?}", parts.method, parts.uri, parts.headers), &body);
    if state.show(Message::Request { parts: &mut parts, body: &mut body }) != Verdict::Forward {
        return Err("the gateway drops the request".into());
    }
    own_length(&mut parts.headers);
    let (mut head, mut answer) = state.send(Request::from_parts(parts.clone(), Full::new(body))).await?;
    state.note(&format!("{} {:?}", head.status, head.headers), &answer);
    let verdict = state.show(Message::Response { request: &parts, parts: &mut head, body: &mut answer });
    own_length(&mut head.headers);
    let body = match verdict {
        Verdict::Abort => return Err("the gateway drops the response".into()),
        Verdict::Forward => Full::new(answer).map_err(never).boxed_unsync(),
        Verdict::CutAfter(length) => {
            let kept = answer.slice(..length.min(answer.len()));
            let frames = [Ok(hyper::body::Frame::data(kept)), Err(Failure::from("the gateway cuts"))];
            Cut(frames.into_iter().collect(), false).boxed_unsync()
        }
    };
    Ok(Response::from_parts(head, body))
}

impl State {
    fn show(&self, message: Message<'_>) -> Verdict {
        (self.hook.lock().unwrap())(message)
    }

    fn note(&self, head: &str, body: &[u8]) {
        let mut seen = self.seen.lock().unwrap();
        for part in [head.as_bytes(), b"\n", body, b"\n"] {
            seen.extend_from_slice(part);
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<(response::Parts, Bytes)> {
        let io = TcpStream::connect(self.upstream).await.context("cannot reach the upstream")?;
        io.set_nodelay(true)?;
        match &self.tls {
            None => exchange(io, request).await,
            Some((connector, name)) => {
                let io = connector.connect(name.clone(), io).await.context("no TLS with the upstream")?;
                exchange(io, request).await
            }
        }
    }
}

/// One request on a connection of its own.
async fn exchange<I>(io: I, request: Request<Full<Bytes>>) -> anyhow::Result<(response::Parts, Bytes)>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::Builder::new().preserve_header_case(true).handshake(TokioIo::new(io)).await?;
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let (parts, body) = sender.send_request(request).await?.into_parts();
    Ok((parts, body.collect().await?.to_bytes()))
}

/// Bodies are whole here: their length is known anew, however they came.
fn own_length(headers: &mut http::HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::CONNECTION);
}

fn only_http1(config: &ClientConfig) -> ClientConfig {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Gives its frames one turn apart, so that hyper writes the first before it sees the error.
struct Cut(std::collections::VecDeque<Result<hyper::body::Frame<Bytes>, Failure>>, bool);

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Failure>>> {
        self.1 = !self.1;
        if self.1 {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(self.0.pop_front())
    }
}
