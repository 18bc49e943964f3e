//! An engine that answers at once, and one that streams deltas which say when they were sent.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"instant","object":"model","created":0,"owned_by":"bench"}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":0,"model":"instant","choices":[{"index":0,"message":{"role":"assistant","content":"At once."},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}"#;

/// What a request asks of this engine, beside the API's own members.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// Deltas to stream.
    #[serde(default)]
    pub(crate) deltas: u64,
    /// Microseconds before each delta but the first.
    #[serde(default)]
    pub(crate) gap_us: u64,
    /// Microseconds between the last delta and the end.
    #[serde(default)]
    pub(crate) hold_us: u64,
}

/// Nanoseconds since the first call: upstream and client are one process, and so share a clock.
pub(crate) fn now() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Serves on a free port of loopback; returns its address.
pub(crate) async fn start() -> Result<String> {
    now();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        loop {
            // Out of file descriptors: the next attempt may succeed.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                let _ = connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            });
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<hyper::body::Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
    let is_list = request.method() == Method::GET;
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let wish: Wish = serde_json::from_slice(&body).unwrap_or_default();
    if wish.deltas > 0 {
        return Ok(typed("text/event-stream", stream(wish)));
    }
    let body = if is_list { MODELS } else { ANSWER };
    Ok(typed("application/json", Full::new(Bytes::from_static(body.as_bytes())).boxed()))
}

fn typed(kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Response<BoxBody<Bytes, Infallible>> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response
}

fn stream(wish: Wish) -> BoxBody<Bytes, Infallible> {
    let (mut sender, body) = Channel::new(1);
    tokio::spawn(async move {
        for number in 0..wish.deltas {
            if number > 0 {
                tokio::time::sleep(Duration::from_micros(wish.gap_us)).await;
            }
            let event = format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"instant\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}},\"finish_reason\":null}}]}}\n\n",
                now()
            );
            // nobody listens any more
            if sender.send_data(event.into()).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(Duration::from_micros(wish.hold_us)).await;
        let end = format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":0,\"model\":\"instant\",\"choices\":[],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":{0},\"total_tokens\":{0}}}}}\n\ndata: [DONE]\n\n",
            wish.deltas
        );
        let _ = sender.send_data(end.into()).await;
    });
    body.boxed()
}
