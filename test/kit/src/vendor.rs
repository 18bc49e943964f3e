//! A server that plays AMD's key distribution service, Intel's provisioning certification service and NVIDIA's
//! manifest and status services, from documents in memory, and misbehaves when told to.
//!
//! One server plays all of them: their paths do not overlap. It verifies nothing and knows nothing of what it hands out.

mod fault;
mod publish;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    connection::{Failure, FakeBody, never, serve},
    upstream::Recorded,
};
pub use fault::Fault;
pub use publish::{OCSP_PATH, Published, ROOT_CRL_PATH};

#[derive(Default)]
struct State {
    /// By path with query.
    documents: Mutex<HashMap<String, Published>>,
    /// By path and body: what a service answers that is asked with a document.
    answers: Mutex<HashMap<(String, Vec<u8>), Published>>,
    once: Mutex<HashMap<String, VecDeque<Fault>>>,
    always: Mutex<HashMap<String, Fault>>,
    requests: Mutex<Vec<Recorded>>,
    /// What is held back waits for this to be true.
    open: watch::Sender<bool>,
}

/// A vendor on a free port of 127.0.0.1. It stops, with all its connections, when it is dropped.
pub struct VendorServer {
    state: Arc<State>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl VendorServer {
    /// Starts one that publishes nothing yet.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(accept(Arc::clone(&state), listener));
        Self { state, address, accepting }
    }

    /// `http://127.0.0.1:PORT/`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Publishes a document under a path with its query, in place of an older one.
    pub fn publish(&self, path_and_query: &str, document: Published) {
        self.state.documents.lock().unwrap().insert(path_and_query.to_owned(), document);
    }

    /// Publishes the answer to one request body, in place of an older one. It goes before a document of the same path.
    pub fn answer(&self, path_and_query: &str, request: &[u8], document: Published) {
        let asked = (path_and_query.to_owned(), request.to_vec());
        self.state.answers.lock().unwrap().insert(asked, document);
    }

    /// Misbehaves on every request for `path` (without query), until told otherwise.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.state.always.lock().unwrap().insert(path.to_owned(), fault);
    }

    /// Misbehaves on the next request for `path` (without query); several queue up.
    pub fn fault_once(&self, path: &str, fault: Fault) {
        self.state.once.lock().unwrap().entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Behaves again, everywhere; what is held back stays so.
    pub fn heal(&self) {
        self.state.always.lock().unwrap().clear();
        self.state.once.lock().unwrap().clear();
    }

    /// Lets go of all answers held back by [`Fault::HeldBack`], now and from now on.
    pub fn release(&self) {
        self.state.open.send_replace(true);
    }

    /// Stops listening and drops its connections: further ones are refused.
    pub async fn stop(&mut self) {
        self.accepting.abort();
        let _aborted = (&mut self.accepting).await;
    }

    /// How many requests came for `path` (without query).
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| path_of(&request.path) == path).count()
    }

    /// All requests, in the order in which they were complete.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for VendorServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The listener and the connections belong to this task: all end together.
async fn accept(state: Arc<State>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        connections.spawn(serve(io, Arc::clone(&state), answer));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<FakeBody>, Failure> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
    let etag = parts.headers.get(header::IF_NONE_MATCH).cloned();
    let body = body.collect().await?.to_bytes();
    let asked = (target.clone(), body.to_vec());
    let recorded = Recorded { method: parts.method, path: target.clone(), headers: parts.headers, body };
    state.requests.lock().unwrap().push(recorded);
    let fault = state.next_fault(path_of(&target));
    if fault == Some(Fault::HeldBack) {
        state.open.subscribe().wait_for(|open| *open).await?;
    }
    let answered = state.answers.lock().unwrap().get(&asked).cloned();
    let document = answered.or_else(|| state.documents.lock().unwrap().get(&target).cloned());
    match fault {
        Some(fault) if fault != Fault::HeldBack => fault.answer(document).await,
        _ => match document {
            Some(document) if document.matches(etag.as_ref()) => status(StatusCode::NOT_MODIFIED),
            Some(document) => document.into_response(),
            None => status(StatusCode::NOT_FOUND),
        },
    }
}

fn status(status: StatusCode) -> Result<Response<FakeBody>, Failure> {
    Ok(Response::builder().status(status).body(Empty::new().map_err(never).boxed_unsync())?)
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

impl State {
    fn next_fault(&self, path: &str) -> Option<Fault> {
        if let Some(fault) = self.once.lock().unwrap().get_mut(path).and_then(VecDeque::pop_front) {
            return Some(fault);
        }
        self.always.lock().unwrap().get(path).cloned()
    }
}
