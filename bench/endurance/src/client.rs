//! What a tool does: a chat, an upload, a stream that is read to its end and checked delta by delta.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::upstream::word;

const BOUNDARY: &str = "endurance";
/// So much is written at a time.
const PIECE: usize = 64 << 10;

/// Where the tool sends.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) key: String,
}

impl Target {
    /// One chat with a unary answer.
    pub(crate) async fn chat(&self) -> Result<()> {
        let body = Full::new(Bytes::from_static(br#"{"model":"instant","messages":[]}"#)).boxed_unsync();
        let answer = self.send("/v1/chat/completions", "application/json", None, body).await?;
        let _ = answer.into_body().collect().await?;
        Ok(())
    }

    /// Uploads a form of `total` bytes, nearly all of which are a file; returns how long that took.
    pub(crate) async fn upload(&self, total: usize) -> Result<Duration> {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"files\"; filename=\"a.pdf\"\r\n\
             Content-Type: application/pdf\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let file = total.saturating_sub(head.len() + tail.len());
        let piece = Bytes::from(vec![b'x'; PIECE]);
        let body = Form { head: Some(head.into()), piece, left: file, tail: Some(tail.into()) };
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let begun = Instant::now();
        // Forms with a model are speech, which is limited to less.
        let path = "/unstructured/general/v0/general";
        let answer = self.send(path, &kind, Some(total), body.boxed_unsync()).await?;
        let text = answer.into_body().collect().await?.to_bytes();
        let taken = begun.elapsed();
        let answer: serde_json::Value = serde_json::from_slice(&text)?;
        let arrived: usize =
            answer[0]["text"].as_str().with_context(|| format!("no length in {answer}"))?.parse()?;
        ensure!(arrived == total, "{arrived} of {total} bytes arrived");
        Ok(taken)
    }

    /// Reads a stream to its end; fails unless it holds exactly `deltas`, each as it was sent, and the end mark.
    pub(crate) async fn stream(&self, deltas: u64) -> Result<()> {
        let body = Full::new(Bytes::from_static(br#"{"model":"instant","stream":true,"messages":[]}"#));
        let path = "/v1/chat/completions";
        let answer = self.send(path, "application/json", None, body.boxed_unsync()).await?;
        let mut body = answer.into_body();
        let mut check = Check::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| format!("behind delta {}", check.next))?;
            if let Some(data) = frame.data_ref() {
                check.take(data)?;
            }
        }
        ensure!(check.done, "the stream ended behind delta {} without its end mark", check.next);
        ensure!(check.next == deltas, "{} deltas arrived of {deltas}", check.next);
        Ok(())
    }

    async fn send(
        &self,
        path: &str,
        content_type: &str,
        length: Option<usize>,
        body: UnsyncBoxBody<Bytes, Infallible>,
    ) -> Result<Response<Incoming>> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::post(path)
            .header("host", &self.address)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", content_type);
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let answer = sender.send_request(request.body(body)?).await?;
        if !answer.status().is_success() {
            let status = answer.status();
            let text = answer.into_body().collect().await?.to_bytes();
            bail!("{path}: {status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(answer)
    }
}

#[derive(Default)]
struct Check {
    rest: Vec<u8>,
    next: u64,
    done: bool,
}

impl Check {
    fn take(&mut self, data: &[u8]) -> Result<()> {
        self.rest.extend_from_slice(data);
        while let Some(end) = self.rest.windows(2).position(|window| window == b"\n\n") {
            let event: Vec<u8> = self.rest.drain(..end + 2).collect();
            let event = std::str::from_utf8(&event)?.trim_end();
            ensure!(!self.done, "behind the end mark: {event}");
            let Some(data) = event.strip_prefix("data: ") else {
                // A comment keeps the connection alive.
                ensure!(event.starts_with(':'), "not an event of a chat: {event}");
                continue;
            };
            if data == "[DONE]" {
                self.done = true;
                continue;
            }
            let delta: serde_json::Value = serde_json::from_str(data)?;
            let Some(text) = delta["choices"][0]["delta"]["content"].as_str() else { continue };
            ensure!(text == word(self.next), "delta {} is {text:?}", self.next);
            self.next += 1;
        }
        Ok(())
    }
}

/// A form with a file, of which one piece is held.
struct Form {
    head: Option<Bytes>,
    piece: Bytes,
    left: usize,
    tail: Option<Bytes>,
}

impl Body for Form {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = if let Some(head) = self.head.take() {
            Some(head)
        } else if self.left > 0 {
            let piece = self.piece.slice(..self.left.min(self.piece.len()));
            self.left -= piece.len();
            Some(piece)
        } else {
            self.tail.take()
        };
        Poll::Ready(next.map(|data| Ok(Frame::data(data))))
    }
}
