//! Answers as they flow: the engine's events, sealed one by one, each sent on before the next one is awaited.
//!
//! Holds what the engine sent in one piece, and at most one event that is not complete. Dropping the body, as happens
//! when the caller hangs up, drops the engine's connection.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use getrandom::{SysRng, rand_core::UnwrapErr};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use privatemode_service::{
    BoxBody, BoxError,
    metrics::{Counter, Entered, Histogram},
};
use privatemode_wire::{Endpoint, error_body::sse_error_event, message::StreamSealer};
use tokio::time::Sleep;

use crate::failure;

/// A sealed stream of events.
pub(crate) struct SealedStream {
    engine: Incoming,
    endpoint: Endpoint,
    state: State,
    /// An engine that is silent for this long has broken off.
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    /// The deadline counts from now on, not from an earlier pause.
    rearm: bool,
    /// The engine's last bytes, to see whether an event is complete.
    tail: Tail,
    broken: Counter,
    _open: Entered,
}

enum State {
    Flowing(StreamSealer),
    /// The stream will be cut: everything before the cut is written first, in a turn of its own.
    Cutting,
    Cut,
    Ended,
}

impl SealedStream {
    pub(crate) fn new(
        engine: Incoming,
        endpoint: Endpoint,
        sealer: StreamSealer,
        patience: Duration,
        broken: Counter,
        open: Entered,
    ) -> Self {
        Self {
            engine,
            endpoint,
            state: State::Flowing(sealer),
            patience,
            deadline: Box::pin(tokio::time::sleep(patience)),
            rearm: false,
            tail: Tail::default(),
            broken,
            _open: open,
        }
    }

    /// The engine's next bytes, sealed; nothing while an event is not complete.
    fn seal(&mut self, chunk: &[u8]) -> Bytes {
        let State::Flowing(sealer) = &mut self.state else { return Bytes::new() };
        self.tail.push(chunk);
        let mut out = Vec::with_capacity(chunk.len() * 2 + 256);
        if let Err(error) = sealer.push(chunk, &mut out, &mut UnwrapErr(SysRng)) {
            // the error's text says what is wrong with the engine's JSON by place, not by content
            self.cut(&error.to_string());
        }
        out.into()
    }

    /// The engine has ended its stream. It adds no end marker: a stream that it cut short stays recognisable as such.
    fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        if let State::Flowing(sealer) = std::mem::replace(&mut self.state, State::Ended)
            && let Err(error) = sealer.finish(&mut out, &mut UnwrapErr(SysRng))
        {
            self.cut(&error.to_string());
        }
        out.into()
    }

    /// The engine broke off. Between two events the caller is told so in a sealed one, which ends the stream in good
    /// order; within an event all that is left is to cut.
    fn break_off(&mut self) -> Bytes {
        let State::Flowing(mut sealer) = std::mem::replace(&mut self.state, State::Ended) else {
            return Bytes::new();
        };
        self.broken.increment();
        tracing::warn!("the engine broke off in the middle of a stream");
        let event = sse_error_event(&failure::sealable_json(self.endpoint, &failure::broken_answer()));
        let mut out = Vec::new();
        if !self.tail.between_events()
            || sealer.push(event.as_bytes(), &mut out, &mut UnwrapErr(SysRng)).is_err()
        {
            self.state = State::Cutting;
        }
        out.into()
    }

    /// Ready when the engine has been silent for too long.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.rearm) {
            self.deadline.as_mut().reset(tokio::time::Instant::now() + self.patience);
        }
        self.deadline.as_mut().poll(context)
    }

    fn cut(&mut self, reason: &str) {
        self.broken.increment();
        tracing::warn!(reason, "the engine's stream cannot be sealed, it is cut");
        self.state = State::Cutting;
    }
}

impl Body for SealedStream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            match self.state {
                State::Flowing(_) => {}
                State::Ended => return Poll::Ready(None),
                State::Cutting => {
                    // hyper writes what it has when a body has nothing to give, and drops it when a body fails
                    self.state = State::Cut;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Cut => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err("the engine's stream broke off".into())));
                }
            }
            let sealed = match Pin::new(&mut self.engine).poll_frame(context) {
                Poll::Pending => {
                    std::task::ready!(self.poll_deadline(context));
                    self.break_off()
                }
                Poll::Ready(None) => self.finish(),
                Poll::Ready(Some(Err(_))) => self.break_off(),
                Poll::Ready(Some(Ok(frame))) => {
                    self.rearm = true;
                    match frame.into_data() {
                        Ok(chunk) => self.seal(&chunk),
                        Err(_trailers) => continue,
                    }
                }
            };
            if !sealed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(sealed))));
            }
        }
    }
}

/// The last four bytes of a stream.
#[derive(Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn push(&mut self, chunk: &[u8]) {
        self.0.extend_from_slice(chunk.last_chunk::<4>().map_or(chunk, |last| last.as_slice()));
        let surplus = self.0.len().saturating_sub(4);
        self.0.drain(..surplus);
    }

    fn between_events(&self) -> bool {
        self.0.is_empty() || [&b"\n\n"[..], b"\r\r", b"\r\n\r\n"].iter().any(|end| self.0.ends_with(end))
    }
}

/// A body that is accounted for when it is dropped, complete or not.
pub(crate) struct Accounted {
    body: BoxBody,
    started: Instant,
    duration: Histogram,
    _open: Entered,
}

impl Accounted {
    pub(crate) fn new(body: BoxBody, started: Instant, duration: Histogram, open: Entered) -> Self {
        Self { body, started, duration, _open: open }
    }
}

impl Body for Accounted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Accounted {
    fn drop(&mut self) {
        self.duration.observe_duration(self.started.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_sees_ends_across_chunks() {
        let mut tail = Tail::default();
        assert!(tail.between_events());
        for (chunk, between) in [
            ("data: x", false),
            ("\n", false),
            ("\n", true),
            ("data: x\r\n\r", false),
            ("\n", true),
            ("", true),
        ] {
            tail.push(chunk.as_bytes());
            assert_eq!(tail.between_events(), between, "{chunk:?}");
        }
    }
}
