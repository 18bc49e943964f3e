//! An inference engine that answers what it is told to and remembers exactly what it got.

mod reply;
mod shapes;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    net::{TcpListener, UnixListener},
    task::{JoinHandle, JoinSet},
};

use crate::connection::{Failure, FakeBody, serve};
pub use reply::Reply;
use reply::Script;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// Path with query, as sent.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl Recorded {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's value as text; empty when it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

type Maker = Arc<dyn Fn(&Recorded) -> Reply + Send + Sync>;

#[derive(Default)]
struct State {
    requests: Mutex<Vec<Recorded>>,
    once: Mutex<HashMap<String, VecDeque<Reply>>>,
    always: Mutex<HashMap<String, Maker>>,
    abandoned: Arc<AtomicUsize>,
}

/// An OpenAI-shaped stub engine. It stops, with all its connections, when it is dropped.
pub struct StubUpstream {
    state: Arc<State>,
    address: Option<SocketAddr>,
    accepting: JoinHandle<()>,
}

impl StubUpstream {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().ok();
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(Arc::clone(&state), async move || {
            let (io, _) = listener.accept().await?;
            io.set_nodelay(true)?;
            Ok(io)
        }));
        Self { state, address, accepting }
    }

    /// Listens on a Unix socket.
    ///
    /// # Panics
    /// When the socket cannot be made.
    #[must_use]
    pub fn start_unix(path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a new socket");
        let state = Arc::new(State::default());
        let accepting =
            tokio::spawn(accept(Arc::clone(&state), async move || Ok(listener.accept().await?.0)));
        Self { state, address: None, accepting }
    }

    /// `http://127.0.0.1:PORT`.
    ///
    /// # Panics
    /// When it listens on a Unix socket.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it listens.
    ///
    /// # Panics
    /// When it listens on a Unix socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("listens on TCP")
    }

    /// Answers every request for `path` (without query) with `reply`, from now on.
    pub fn on(&self, path: &str, reply: Reply) {
        self.on_each(path, move |_| reply.clone());
    }

    /// Answers every request for `path` with what `make` makes of it, from now on.
    pub fn on_each(&self, path: &str, make: impl Fn(&Recorded) -> Reply + Send + Sync + 'static) {
        self.state.always.lock().unwrap().insert(path.to_owned(), Arc::new(make));
    }

    /// Answers the next request for `path` with `reply`; several queue up.
    pub fn once(&self, path: &str, reply: Reply) {
        self.state.once.lock().unwrap().entry(path.to_owned()).or_default().push_back(reply);
    }

    /// All requests so far, in the order in which their bodies were complete.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The latest request.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last(&self) -> Recorded {
        self.state.requests.lock().unwrap().last().cloned().expect("the engine was asked")
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        self.state.requests.lock().unwrap().clear();
    }

    /// How many answers the peer hung up on before they were complete.
    #[must_use]
    pub fn abandoned(&self) -> usize {
        self.state.abandoned.load(Ordering::SeqCst)
    }
}

impl Drop for StubUpstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The set of connections belongs to this task: both end together.
async fn accept<I>(state: Arc<State>, mut next: impl AsyncFnMut() -> std::io::Result<I>)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut connections = JoinSet::new();
    while let Ok(io) = next().await {
        connections.spawn(serve(io, Arc::clone(&state), answer));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<FakeBody>, Failure> {
    let (parts, body) = request.into_parts();
    let recorded = Recorded {
        method: parts.method,
        path: parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string),
        headers: parts.headers,
        body: body.collect().await?.to_bytes(),
    };
    let reply = state.reply(parts.uri.path(), &recorded);
    state.requests.lock().unwrap().push(recorded);
    Script::new(reply, Arc::clone(&state.abandoned)).into_response().await
}

impl State {
    fn reply(&self, path: &str, request: &Recorded) -> Reply {
        if let Some(reply) = self.once.lock().unwrap().get_mut(path).and_then(VecDeque::pop_front) {
            return reply;
        }
        let make = self.always.lock().unwrap().get(path).cloned();
        make.map_or_else(|| shapes::default_reply(path, request), |make| make(request))
    }
}
