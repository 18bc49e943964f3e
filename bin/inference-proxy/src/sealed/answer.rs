//! The answer as it flows: the engine's bytes, sealed segment by segment, and what they cost behind them.
//!
//! Holds what the engine sent in one piece and one segment; in the mode `constant` also what waits for records, up to
//! [`QUEUE`]. Each event of a stream leaves at once; other answers leave as segments fill. Dropping the body, as
//! happens when the gateway hangs up, drops the engine's connection.
//!
//! When the gateway says that the caller has left ([`crate::running`]), the answer comes to its trailer: a stream is given up
//! on the spot, and what it has cost is counted; of a document the engine has done all the work, so it is read to where its
//! cost stands, and not sealed any more.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use getrandom::{SysRng, rand_core::UnwrapErr};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use privatemode_service::{
    ApiError, BoxBody, BoxError, Chain,
    metrics::{self, Counter},
};
use privatemode_store::claims::Now;
use privatemode_wire::{
    header::REQUEST_ID,
    sse::EventEnds,
    stream::{
        Outcome, Responder, ResponseHead, ResponseWriter, Trailer, WriteError,
        outer::{CONTENT_TYPE, RESPONSE_HEADER, USAGE, usage_header},
    },
};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use super::{
    Exchange,
    cost::Count,
    denial::Denial,
    receipts::{Begun, Draft},
    upload,
    work::{Asked, Known},
};
use crate::{failure, handler::plain, request::foreign_id, running::Entered};

/// Bytes that may wait for records before the engine has to wait.
const QUEUE: usize = 256 * 1024;
const USAGE_HEADER: HeaderName = HeaderName::from_static(USAGE);

impl Exchange<'_> {
    /// The engine's answer, whatever it is; what clients could not act on becomes an error.
    pub(super) fn answer(&self, responder: Responder, asked: Asked) -> Response<BoxBody> {
        let status = asked.status;
        let is_json = asked.content_type.as_deref().is_some_and(|kind| is_kind(kind, "application/json"));
        let is_error = status.is_client_error() || status.is_server_error();
        if !(status.is_success() || is_error && is_json) {
            return self.deny(responder, Denial::from(failure::silent(status)));
        }
        let mut head =
            ResponseHead::new(status.as_u16(), asked.content_type.as_deref(), self.head.request_id);
        let retry = asked.retry_after.clone();
        head.headers.extend(retry.map(|seconds| (header::RETRY_AFTER.to_string(), seconds)));
        let name = foreign_id(&self.parts.headers, REQUEST_ID);
        let entered = name.map(|name| self.worker.running().enter(&name));
        self.respond(responder, &head, Asked { entered, ..asked }, Outcome::Complete)
    }

    /// Seals `asked.body` under `head`; `outcome` is what the trailer says if the body comes to its end.
    pub(super) fn respond(
        &self,
        responder: Responder,
        head: &ResponseHead,
        asked: Asked,
        outcome: Outcome,
    ) -> Response<BoxBody> {
        let sealing = self.worker.sealing();
        let begun = Begun {
            status: head.status,
            sampling: asked.sampling,
            received: self.received,
            started: (sealing.now)(),
            remote_engine: !self.worker.engine().target().is_local(),
        };
        let draft = Draft::new(&sealing.signer, &self.outer.salt, &self.head, begun);
        let mut out = Vec::new();
        let writer = match responder.begin(head, &mut UnwrapErr(SysRng), &mut out) {
            Ok(writer) => writer,
            // A head that the engine's headers made too long, for example. Nothing of the answer was sent.
            Err(error) => return plain(ApiError::internal(Chain(&error)).response(&HeaderMap::new())),
        };
        let salt = writer.salt().to_header();
        let metrics = self.worker.metrics();
        let content_type = head.content_type.as_deref().unwrap_or_default();
        let events = is_kind(content_type, "text/event-stream");
        let patience = self.worker.engine().patience();
        let body = SealedAnswer {
            ticker: writer.interval_millis().map(|millis| ticker(Duration::from_millis(millis.into()))),
            engine: Some(asked.body),
            state: State::Flowing(Box::new(writer)),
            ending: None,
            outcome,
            out,
            ends: events.then(EventEnds::new),
            count: Count::of(content_type, if head.status < 300 { asked.known } else { Known::default() }),
            entered: asked.entered,
            discard: false,
            draft,
            now: sealing.now.clone(),
            patience,
            deadline: Box::pin(tokio::time::sleep(patience)),
            rearm: false,
            broken: metrics.broken_streams(),
            cancelled: metrics.cancelled_answers(),
            _open: events.then(|| metrics.open_streams.enter()),
            _upload: asked.upload,
        };
        let mut response = Response::new(body.boxed_unsync());
        *response.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::TRAILER, HeaderValue::from_static(USAGE));
        if let Ok(salt) = HeaderValue::from_str(&salt) {
            headers.insert(RESPONSE_HEADER, salt);
        }
        response
    }
}

fn ticker(period: Duration) -> Interval {
    let mut ticker = tokio::time::interval_at(Instant::now() + period, period);
    // A client that reads slowly gets fewer records, never a burst.
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

pub(super) fn is_kind(content_type: &str, kind: &str) -> bool {
    content_type.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(kind))
}

/// A sealed response's body, with its HTTP trailer.
struct SealedAnswer {
    /// Gone when it has ended.
    engine: Option<BoxBody>,
    state: State,
    /// How the body ended, while records of it are still to be sent.
    ending: Option<Outcome>,
    /// What the end of the body means.
    outcome: Outcome,
    /// Sealed and not yet sent.
    out: Vec<u8>,
    ends: Option<EventEnds>,
    count: Count,
    /// Tells when the caller has left.
    entered: Option<Entered>,
    /// The caller has left: what comes is counted, and nothing else.
    discard: bool,
    draft: Option<Draft>,
    now: Now,
    ticker: Option<Interval>,
    /// An engine that is silent for this long has broken off.
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    /// The deadline counts from now on, not from an earlier pause.
    rearm: bool,
    broken: Counter,
    cancelled: Counter,
    _open: Option<metrics::Entered>,
    _upload: Option<upload::Sender>,
}

enum State {
    Flowing(Box<ResponseWriter>),
    Trailers(HeaderMap),
    /// What was sealed cannot be ended: the client must notice.
    Cut,
    Ended,
}

impl SealedAnswer {
    /// The engine's next bytes.
    fn seal(&mut self, chunk: &[u8]) -> Result<(), WriteError> {
        self.count.push(chunk);
        if self.discard {
            return Ok(());
        }
        let State::Flowing(writer) = &mut self.state else { return Ok(()) };
        let end = self.ends.as_mut().and_then(|ends| ends.push(chunk)).unwrap_or(0);
        let (events, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
        if !events.is_empty() {
            writer.write(events, &mut self.out)?;
            writer.flush(&mut self.out)?;
        }
        writer.write(rest, &mut self.out)
    }

    /// The body has ended. In the mode `constant` the cadence goes on until all of it is out.
    fn end(&mut self, outcome: Outcome) -> Result<(), WriteError> {
        self.engine = None;
        if outcome == Outcome::Failed {
            self.broken.increment();
            tracing::warn!("the engine broke off in the middle of an answer");
        }
        self.ending = Some(outcome);
        if self.ticker.is_none() { self.finish(outcome) } else { Ok(()) }
    }

    /// The caller has left.
    fn cancel(&mut self) -> Result<(), WriteError> {
        self.ticker = None;
        if let Some(outcome) = self.ending {
            return self.finish(outcome); // nobody is left to see the cadence
        }
        self.cancelled.increment();
        if self.count.is_document() {
            self.outcome = Outcome::Cancelled;
            self.discard = true;
            return Ok(());
        }
        self.engine = None;
        self.ending = Some(Outcome::Cancelled);
        self.finish(Outcome::Cancelled)
    }

    fn poll_told(&mut self, context: &mut Context<'_>) -> bool {
        let Some(entered) = &mut self.entered else { return false };
        let Poll::Ready(told) = Pin::new(&mut entered.told).poll(context) else { return false };
        self.entered = None; // told once, or never
        told.is_ok()
    }

    /// One record.
    fn tick(&mut self) -> Result<(), WriteError> {
        let State::Flowing(writer) = &mut self.state else { return Ok(()) };
        writer.tick(&mut self.out)?;
        match self.ending {
            Some(outcome) if writer.waiting() == 0 => self.finish(outcome),
            _ => Ok(()),
        }
    }

    /// The trailers, the sealed one and the one for the gateway.
    fn finish(&mut self, outcome: Outcome) -> Result<(), WriteError> {
        let State::Flowing(writer) = std::mem::replace(&mut self.state, State::Cut) else { return Ok(()) };
        // What was given up is counted by us where the engine has said nothing yet; what failed is nobody's to pay.
        let usage = if outcome == Outcome::Cancelled { self.count.so_far() } else { self.count.usage() };
        let end = writer.close(&mut self.out)?;
        let finished = (self.now)();
        let receipt = self.draft.take().and_then(|draft| draft.sign(&end, outcome, usage, finished));
        end.finish(&Trailer { outcome, usage, receipt }, &mut self.out)?;
        let mut trailers = HeaderMap::new();
        if let Some(value) = usage.and_then(|usage| HeaderValue::try_from(usage_header(usage)).ok()) {
            trailers.insert(USAGE_HEADER, value);
        }
        self.state = State::Trailers(trailers);
        Ok(())
    }

    fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.ticker {
            Some(ticker) => ticker.poll_tick(context).map(drop),
            None => Poll::Pending,
        }
    }

    /// Ready when the engine has been silent for too long.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::take(&mut self.rearm) {
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        self.deadline.as_mut().poll(context)
    }

    /// Whether the engine may send more now.
    fn has_room(&self) -> bool {
        matches!(&self.state, State::Flowing(writer) if self.discard || writer.waiting() < QUEUE)
    }

    fn poll_engine(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        if !self.has_room() {
            // The next record makes room and wakes us; meanwhile the engine is not to blame.
            self.rearm = true;
            return Poll::Pending;
        }
        let Some(engine) = &mut self.engine else { return Poll::Pending };
        Poll::Ready(match Pin::new(engine).poll_frame(context) {
            Poll::Pending => {
                std::task::ready!(self.poll_deadline(context));
                self.end(Outcome::Failed)
            }
            Poll::Ready(None) => self.end(self.outcome),
            Poll::Ready(Some(Err(_))) => self.end(Outcome::Failed),
            Poll::Ready(Some(Ok(frame))) => {
                self.rearm = true;
                frame.into_data().map_or(Ok(()), |chunk| self.seal(&chunk))
            }
        })
    }
}

impl Body for SealedAnswer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if !self.out.is_empty() {
                let out = std::mem::take(&mut self.out);
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
            match &mut self.state {
                State::Flowing(_) => {}
                State::Trailers(trailers) => {
                    let trailers = std::mem::take(trailers);
                    self.state = State::Ended;
                    if !trailers.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                }
                State::Cut => {
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err("the answer could not be sealed to its end".into())));
                }
                State::Ended => return Poll::Ready(None),
            }
            if matches!(self.state, State::Ended) {
                return Poll::Ready(None);
            }
            let step = if self.poll_told(context) {
                self.cancel()
            } else if self.poll_tick(context).is_ready() {
                self.tick()
            } else {
                std::task::ready!(self.poll_engine(context))
            };
            if let Err(error) = step {
                tracing::error!(error = %Chain(&error), "an answer cannot be sealed, it is cut");
                self.state = State::Cut;
            }
        }
    }
}
