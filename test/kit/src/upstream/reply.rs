//! What the stub answers, as a list of steps.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::connection::{Failure, FakeBody};

#[derive(Debug, Clone)]
enum Step {
    Data(Bytes),
    Wait(Duration),
    /// Nothing more, for ever.
    Stall,
    /// The connection breaks.
    Die,
}

/// An answer of the stub.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(String, String)>,
    before_head: Option<Step>,
    steps: VecDeque<Step>,
}

impl Reply {
    /// Any bytes with a status and a content type.
    ///
    /// # Panics
    /// When the status is none.
    #[must_use]
    pub fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: vec![("content-type".into(), content_type.into())],
            before_head: None,
            steps: VecDeque::from([Step::Data(body.into())]),
        }
    }

    /// JSON text, sent as it is.
    #[must_use]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::raw(status, "application/json", body)
    }

    /// An error in OpenAI's shape.
    #[must_use]
    pub fn error(status: u16, message: &str) -> Self {
        let body = serde_json::json!({
            "error": {"message": message, "type": "BadRequestError", "param": null, "code": status}
        });
        Self::json(status, body.to_string())
    }

    /// The HTML page of a reverse proxy that lost its engine.
    #[must_use]
    pub fn html_502() -> Self {
        Self::raw(502, "text/html", "<html><body><h1>502 Bad Gateway</h1></body></html>")
    }

    /// Server-sent events; each part is sent as one piece.
    #[must_use]
    pub fn stream<P: Into<Bytes>>(parts: impl IntoIterator<Item = P>) -> Self {
        let mut reply = Self::raw(200, "text/event-stream; charset=utf-8", Bytes::new());
        reply.steps = parts.into_iter().map(|part| Step::Data(part.into())).collect();
        reply
    }

    /// The same, of another content type.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &str) -> Self {
        self.headers = vec![("content-type".into(), content_type.into())];
        self
    }

    /// Never answers, not even with a status.
    #[must_use]
    pub fn stall() -> Self {
        let mut reply = Self::raw(200, "text/plain", Bytes::new());
        reply.before_head = Some(Step::Stall);
        reply
    }

    /// Closes the connection before the first byte of an answer.
    #[must_use]
    pub fn hang_up() -> Self {
        let mut reply = Self::raw(200, "text/plain", Bytes::new());
        reply.before_head = Some(Step::Die);
        reply
    }

    /// The same, with another header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same, the status line only after `time`.
    #[must_use]
    pub fn after(mut self, time: Duration) -> Self {
        self.before_head = Some(Step::Wait(time));
        self
    }

    /// The same, with a pause before every part but the first.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        let parts = std::mem::take(&mut self.steps);
        for (number, part) in parts.into_iter().enumerate() {
            if number > 0 {
                self.steps.push_back(Step::Wait(pause));
            }
            self.steps.push_back(part);
        }
        self
    }

    /// The first `parts` parts, then the connection breaks.
    #[must_use]
    pub fn dying_after(mut self, parts: usize) -> Self {
        self.steps.truncate(parts);
        self.steps.push_back(Step::Die);
        self
    }

    /// The first `parts` parts, then nothing more, while the connection stays open.
    #[must_use]
    pub fn stalling_after(mut self, parts: usize) -> Self {
        self.steps.truncate(parts);
        self.steps.push_back(Step::Stall);
        self
    }
}

/// A reply being played. Dropped before its end, it counts as abandoned.
pub(super) struct Script {
    reply: Reply,
    sleep: Option<Pin<Box<Sleep>>>,
    dying: bool,
    ended: bool,
    abandoned: Arc<AtomicUsize>,
}

impl Script {
    pub(super) fn new(reply: Reply, abandoned: Arc<AtomicUsize>) -> Self {
        let ended = reply.before_head.is_none() && reply.steps.is_empty();
        Self { reply, sleep: None, dying: false, ended, abandoned }
    }

    pub(super) async fn into_response(mut self) -> Result<Response<FakeBody>, Failure> {
        match self.reply.before_head.take() {
            Some(Step::Stall) => std::future::pending().await,
            Some(Step::Wait(time)) => tokio::time::sleep(time).await,
            Some(Step::Die) => {
                self.ended = true;
                return Err("the stub hangs up".into());
            }
            Some(Step::Data(_)) | None => {}
        }
        let mut response = Response::builder().status(self.reply.status);
        for (name, value) in &self.reply.headers {
            response = response.header(name, value);
        }
        Ok(response.body(self.boxed_unsync())?)
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                match sleep.as_mut().poll(context) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(()) => self.sleep = None,
                }
            }
            match self.reply.steps.pop_front() {
                None => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Some(Step::Data(data)) => {
                    self.ended = self.reply.steps.is_empty();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Step::Wait(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::Stall) => {
                    self.reply.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Die) if self.dying => {
                    self.ended = true;
                    return Poll::Ready(Some(Err("the stub dies".into())));
                }
                Some(Step::Die) => {
                    // one turn later, so that hyper has written what came before
                    self.dying = true;
                    self.reply.steps.push_front(Step::Die);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.reply.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.reply.steps.iter().collect::<Vec<_>>().as_slice() {
            [] => SizeHint::with_exact(0),
            [Step::Data(only)] => SizeHint::with_exact(only.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if !self.ended {
            self.abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}
