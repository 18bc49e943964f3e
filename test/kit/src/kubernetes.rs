//! A Kubernetes API server that knows ConfigMaps, and misbehaves when told to.
//!
//! Speaks the real protocol: bearer tokens, resource versions with conflicts, names that are taken, watches as chunked lines
//! of JSON with a field selector, bookmarks and `410 Gone`. Grants what the coordinator's role grants: get, create, update
//! and watch, not list. One server has all its objects in one namespace.

mod objects;
mod watch;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch as signal,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    connection::{Failure, FakeBody, never, serve},
    upstream::Recorded,
};
use objects::Objects;
pub use watch::Stop;

/// What is told of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with a `Status` object.
    Status(u16),
    /// The connection is closed without an answer.
    Reset,
    /// No answer before [`FakeKubernetes::release`].
    HeldBack,
    /// It is done; the answer is lost with the connection.
    DoneAndReset,
}

struct State {
    namespace: String,
    token: Mutex<String>,
    objects: Mutex<Objects>,
    faults: Mutex<VecDeque<Fault>>,
    watch_faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<Recorded>>,
    /// What is held back waits for this to be true.
    open: signal::Sender<bool>,
}

/// An API server on a free port of 127.0.0.1. It stops, with all its connections, when it is dropped.
pub struct FakeKubernetes {
    state: Arc<State>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl FakeKubernetes {
    /// Starts one without objects. Whoever shows `token` may use `namespace`.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start(tls: Arc<ServerConfig>, namespace: &str, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State {
            namespace: namespace.to_owned(),
            token: Mutex::new(token.to_owned()),
            objects: Mutex::default(),
            faults: Mutex::default(),
            watch_faults: Mutex::default(),
            requests: Mutex::default(),
            open: signal::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(Arc::clone(&state), listener, TlsAcceptor::from(tls)));
        Self { state, address, accepting }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts this token from now on, and no other.
    pub fn rotate_token(&self, token: &str) {
        token.clone_into(&mut self.state.token.lock().unwrap());
    }

    /// Misbehaves on the next request; several queue up.
    pub fn fault_once(&self, fault: Fault) {
        self.state.faults.lock().unwrap().push_back(fault);
    }

    /// Misbehaves on the next watch; several queue up.
    pub fn fault_watch_once(&self, fault: Fault) {
        self.state.watch_faults.lock().unwrap().push_back(fault);
    }

    /// Lets go of all answers held back by [`Fault::HeldBack`], now and from now on.
    pub fn release(&self) {
        self.state.open.send_replace(true);
    }

    /// The ConfigMap of this name.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Value> {
        self.objects().get(name).cloned()
    }

    /// The names of all ConfigMaps.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.objects().names()
    }

    /// Puts a ConfigMap in place, as somebody else with all rights; its watchers see it.
    pub fn put(&self, object: Value) {
        self.objects().force(object);
    }

    /// Removes a ConfigMap, as somebody else with all rights; its watchers see it.
    pub fn delete(&self, name: &str) {
        self.objects().delete(name);
    }

    /// Forgets the past: to watch on from a version before now is answered with 410, by the status or by an event.
    pub fn compact(&self, by_status: bool) {
        self.objects().compact(by_status);
    }

    /// Counts versions on, as other objects of the cluster do; watchers learn of it by a bookmark.
    pub fn bookmark(&self) {
        self.objects().bookmark();
    }

    /// Ends all watches.
    pub fn stop_watches(&self, how: Stop) {
        self.objects().stop_watches(how);
    }

    /// How many watches are open.
    #[must_use]
    pub fn watches(&self) -> usize {
        self.objects().watches()
    }

    /// All requests, in the order in which they were complete.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }

    fn objects(&self) -> std::sync::MutexGuard<'_, Objects> {
        self.state.objects.lock().unwrap()
    }
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The listener and the connections belong to this task: all end together.
async fn accept(state: Arc<State>, listener: TcpListener, tls: TlsAcceptor) {
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        let (state, tls) = (Arc::clone(&state), tls.clone());
        connections.spawn(async move {
            // a client that does not trust us breaks off here
            if let Ok(io) = tls.accept(io).await {
                serve(io, state, answer).await;
            }
        });
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
    state.requests.lock().unwrap().push(recorded.clone());
    let fault = state.next_fault(&recorded);
    match fault {
        Some(Fault::Status(code)) => {
            let said = Refusal::new(code, "InternalError", "told to fail");
            return said.into_response();
        }
        Some(Fault::Reset) => return Err("told to hang up".into()),
        Some(Fault::HeldBack) => {
            state.open.subscribe().wait_for(|open| *open).await?;
        }
        Some(Fault::DoneAndReset) | None => {}
    }
    let done = state.handle(&recorded).or_else(Refusal::into_response);
    if fault == Some(Fault::DoneAndReset) { Err("told to hang up".into()) } else { done }
}

impl State {
    fn next_fault(&self, request: &Recorded) -> Option<Fault> {
        let watch = request.path.contains("watch=true");
        let fault = if watch { self.watch_faults.lock().unwrap().pop_front() } else { None };
        fault.or_else(|| self.faults.lock().unwrap().pop_front())
    }

    fn handle(&self, request: &Recorded) -> Result<Response<FakeBody>, Refusal> {
        let expected = format!("Bearer {}", self.token.lock().unwrap());
        if request.header("authorization") != expected {
            return Err(Refusal::new(401, "Unauthorized", "Unauthorized"));
        }
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let all = format!("/api/v1/namespaces/{}/configmaps", self.namespace);
        let Some(below) = path.strip_prefix(&all) else {
            return Err(Refusal::new(403, "Forbidden", "this account has no rights there"));
        };
        let name = below.strip_prefix('/');
        let mut objects = self.objects.lock().unwrap();
        match (&request.method, name) {
            (&Method::GET, None) => {
                let query = watch::Query::parse(query)?;
                let body = objects.watch(&query)?;
                Ok(Response::builder()
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(body)
                    .expect("a fixed response"))
            }
            (&Method::POST, None) => {
                let object = objects.create(&self.namespace, json_of(request)?)?;
                Ok(whole(StatusCode::CREATED, &object))
            }
            (&Method::GET, Some(name)) => objects
                .get(name)
                .map(|object| whole(StatusCode::OK, object))
                .ok_or_else(|| Refusal::not_found(name)),
            (&Method::PUT, Some(name)) => {
                let object = objects.replace(name, json_of(request)?)?;
                Ok(whole(StatusCode::OK, &object))
            }
            _ => Err(Refusal::new(403, "Forbidden", "this account may get, create, update and watch")),
        }
    }
}

fn json_of(request: &Recorded) -> Result<Value, Refusal> {
    if request.header("content-type") != "application/json" {
        let said = "the body of the request was in an unknown format";
        return Err(Refusal::new(415, "UnsupportedMediaType", said));
    }
    serde_json::from_slice(&request.body).map_err(|error| Refusal::new(400, "BadRequest", &error.to_string()))
}

fn whole(status: StatusCode, object: &Value) -> Response<FakeBody> {
    let body = Full::new(Bytes::from(object.to_string())).map_err(never).boxed_unsync();
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a fixed response")
}

/// An answer that says no.
struct Refusal {
    code: u16,
    status: Value,
}

impl Refusal {
    fn new(code: u16, reason: &str, message: &str) -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Self { code, status }
    }

    fn not_found(name: &str) -> Self {
        Self::new(404, "NotFound", &format!("configmaps \"{name}\" not found"))
    }

    fn into_response(self) -> Result<Response<FakeBody>, Failure> {
        Ok(whole(StatusCode::from_u16(self.code)?, &self.status))
    }
}
