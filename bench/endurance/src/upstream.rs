//! An engine that sends a delta at fixed times, and counts what is uploaded.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::time::{Interval, MissedTickBehavior};

const MODELS: &str = r#"{"object":"list","data":[{"id":"instant","object":"model","created":0,"owned_by":"bench"},{"id":"unstructured","object":"model","created":0,"owned_by":"bench"}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":0,"model":"instant","choices":[{"index":0,"message":{"role":"assistant","content":"At once."},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}"#;

/// What a stream is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) deltas: u64,
    pub(crate) every: Duration,
}

/// The text of delta `number`, so that a lost, repeated or changed one is noticed.
pub(crate) fn word(number: u64) -> String {
    format!("word {number} ")
}

/// Serves on a free port of loopback; returns its address.
pub(crate) async fn start(pace: Pace) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let connection = Builder::new(TokioExecutor::new());
                let service = service_fn(move |request| answer(request, pace));
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
    pace: Pace,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path.ends_with("/general/v0/general") {
        let text = format!(r#"[{{"text":"{}"}}]"#, count(request.into_body()).await);
        return Ok(whole("application/json", text));
    }
    if path == "/v1/models" {
        return Ok(whole("application/json", MODELS.to_owned()));
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    if asked["stream"] != true {
        return Ok(whole("application/json", ANSWER.to_owned()));
    }
    let mut interval = tokio::time::interval(pace.every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut response = Response::new(Deltas { left: pace.deltas, sent: 0, interval }.boxed_unsync());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// Bytes of the body, none of which is kept.
async fn count(mut body: Incoming) -> usize {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
    }
    length
}

fn whole(content_type: &'static str, text: String) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(content_type));
    response
}

struct Deltas {
    left: u64,
    sent: u64,
    interval: Interval,
}

impl Body for Deltas {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent > self.left {
            return Poll::Ready(None);
        }
        ready!(self.interval.poll_tick(context));
        let number = self.sent;
        self.sent += 1;
        let event = if number == self.left {
            format!(
                "data: {}\n\ndata: {}\n\ndata: [DONE]\n\n",
                r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":0,"model":"instant","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
                r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":0,"model":"instant","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}"#,
            )
        } else {
            format!(
                "data: {}\n\n",
                serde_json::json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0,
                    "model": "instant", "choices": [{"index": 0, "delta": {"content": word(number)},
                    "finish_reason": null}]})
            )
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(event)))))
    }
}
