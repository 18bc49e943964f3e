//! Everything behind a gateway, in one plain HTTP server that remembers what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use privatemode_service::{BoxBody, Limits, Shutdown, body, listen, serve};
use privatemode_wire::header::CANCEL_PATH;
use privatemode_wire::stream::outer;
use tokio::sync::{Notify, mpsc};

pub(super) const ANSWER: &str = r#"{"id":"1","choices":"id:aa:bb:cc","usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
/// Holds what the gateway would read as usage, were it to look.
pub(super) const SEALED: &[u8] = b"\0\0{\"usage\":{\"prompt_tokens\":1000}}";
pub(super) const SEALED_USAGE: &str =
    r#"{"audio_seconds":0,"cached_tokens":2,"completion_tokens":3,"prompt_tokens":5,"total_tokens":8}"#;
pub(super) const ATTESTATION: &str = "{\"version\": \"1\"}\n";

pub(super) struct Seen {
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What the server does with client paths.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    pub(super) seen: Mutex<Vec<Seen>>,
    /// Feeds the streamed answer of the next request with `x-test: stream`.
    pub(super) events: mpsc::UnboundedSender<&'static str>,
    feed: Mutex<Option<mpsc::UnboundedReceiver<&'static str>>>,
    /// The streamed answer's body was dropped.
    pub(super) cancelled: Notify,
    pub(super) shutdown: Shutdown,
    pub(super) attestation: Mutex<String>,
    models: String,
}

impl Stub {
    pub(super) async fn start(models: &[&str]) -> Arc<Stub> {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let (events, feed) = mpsc::unbounded_channel();
        let entries: Vec<String> = models
            .iter()
            .map(|id| format!(r#"{{"id":"{id}", "object":"model","tasks":["generate"],"own":1e400}}"#))
            .collect();
        let stub = Arc::new(Stub {
            address: listener.local_addr().unwrap(),
            seen: Mutex::default(),
            events,
            feed: Mutex::new(Some(feed)),
            cancelled: Notify::new(),
            shutdown: Shutdown::new(),
            attestation: Mutex::new(ATTESTATION.to_owned()),
            models: format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(",")),
        });
        let service = {
            let stub = Arc::clone(&stub);
            service_fn(move |request| {
                let stub = Arc::clone(&stub);
                async move { Ok::<_, Infallible>(stub.answer(request).await) }
            })
        };
        let limits = Limits { grace: std::time::Duration::ZERO, ..Limits::default() };
        tokio::spawn(serve(listener, None, service, limits, stub.shutdown.clone()));
        stub
    }

    async fn answer(self: Arc<Stub>, request: Request<Incoming>) -> Response<BoxBody> {
        let test = request.headers().get("x-test").map(|value| value.to_str().unwrap().to_owned());
        match (request.uri().path(), test.as_deref()) {
            ("/v1/models", _) => return json(self.models.clone()),
            ("/attest", _) => return json(self.attestation.lock().unwrap().clone()),
            // Closes the connection without an answer, after having begun to read.
            (_, Some("break")) => panic!("asked to break the connection"),
            _ => {}
        }
        let target = request.uri().to_string();
        let headers = request.headers().clone();
        let Ok(collected) = request.into_body().collect().await else {
            return json("{}".to_owned());
        };
        let body = collected.to_bytes();
        self.seen.lock().unwrap().push(Seen {
            target: target.clone(),
            headers: headers.clone(),
            body: body.clone(),
        });
        match test.as_deref() {
            Some("stream") => self.stream(),
            Some("hang") => std::future::pending().await,
            Some("sealed") => sealed(),
            Some("sealed stream") => self.sealed_stream(),
            _ if target == CANCEL_PATH => self.cancel(&headers),
            Some("refuse") => {
                let mut response = json(r#"{"error":"sealed"}"#.to_owned());
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
            _ if target == "/v1/secret" => json(String::from_utf8(body.to_vec()).unwrap()),
            _ => {
                let mut response = json(ANSWER.to_owned());
                response.headers_mut().insert("x-request-id", "of-the-worker".parse().unwrap());
                response.headers_mut().insert("keep-alive", "timeout=1".parse().unwrap());
                response
            }
        }
    }

    /// Ends the running answer, as a worker does, if it is to the request that is named. All that a worker does then is tested
    /// where it is: here the end comes by the feed.
    fn cancel(&self, headers: &HeaderMap) -> Response<BoxBody> {
        let named = |seen: &Seen| seen.headers.get("x-request-id") == headers.get("x-request-id");
        let known = self.seen.lock().unwrap().iter().any(|seen| seen.target != CANCEL_PATH && named(seen));
        let mut response = Response::new(body::empty());
        *response.status_mut() = if known && self.events.send("end").is_ok() {
            StatusCode::NO_CONTENT
        } else {
            StatusCode::NOT_FOUND
        };
        response
    }

    /// As [`sealed`]; the trailer comes when it is fed the end.
    fn sealed_stream(self: Arc<Stub>) -> Response<BoxBody> {
        let feed = self.feed.lock().unwrap().take().unwrap();
        let fed = Fed { feed, stub: self };
        let trailers = async {
            Some(Ok(HeaderMap::from_iter([(outer::USAGE.parse().unwrap(), SEALED_USAGE.parse().unwrap())])))
        };
        sealed().map(|_| body::boxed(fed.with_trailers(trailers)))
    }

    fn stream(self: Arc<Stub>) -> Response<BoxBody> {
        let feed = self.feed.lock().unwrap().take().unwrap();
        let mut response = Response::new(body::boxed(Fed { feed, stub: self }));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    }
}

/// What a worker answers with a body that is sealed as a whole; of its trailers one is nobody's business.
fn sealed() -> Response<BoxBody> {
    let mut trailers = HeaderMap::new();
    trailers.insert(outer::USAGE, SEALED_USAGE.parse().unwrap());
    trailers.insert("x-private", "1".parse().unwrap());
    let frames = [Frame::data(Bytes::from_static(SEALED)), Frame::trailers(trailers)];
    let frames = futures_util::stream::iter(frames.map(Ok::<_, Infallible>));
    let mut response = Response::new(body::boxed(http_body_util::StreamBody::new(frames)));
    *response.status_mut() = StatusCode::CONFLICT;
    for (name, value) in [
        ("content-type", outer::CONTENT_TYPE),
        (outer::RESPONSE_HEADER, ":salt:"),
        ("trailer", "privatemode-usage, x-private"),
    ] {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

struct Fed {
    feed: mpsc::UnboundedReceiver<&'static str>,
    stub: Arc<Stub>,
}

impl Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let event = self.feed.poll_recv(context);
        event.map(|event| event.filter(|event| *event != "end").map(|event| Ok(Frame::data(event.into()))))
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.stub.cancelled.notify_one();
    }
}

fn json(text: String) -> Response<BoxBody> {
    let mut response = Response::new(body::full(text));
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}
