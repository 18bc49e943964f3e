//! What is known of one request from its arrival to the last byte of its answer, and the body that carries that answer.
//!
//! Whoever drops the [`Exchange`], in whatever state, causes its one line in the access log and its counts. Neither holds a
//! key, a body, or a header that was not made safe.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use privatemode_service::BoxError;
use privatemode_service::metrics::Entered;
use privatemode_wire::header::{CANCEL_PATH, REQUEST_ID};
use privatemode_wire::stream::outer::{ExchangeId, USAGE};

use crate::accounts::KeyId;
use crate::database::now;
use crate::headers::RequestId;
use crate::ledger::{Amounts, Ledger};
use crate::meter::Meter;
use crate::metrics::Metrics;
use crate::origin::control_request;
use crate::requests::BilledRequest;
use crate::running::Entered as Running;
use crate::workers::Lease;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The whole answer went out.
    Done,
    /// The caller went away first.
    ClientLeft,
    /// The worker broke off in the middle of its answer.
    UpstreamBroke,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::ClientLeft => "client_left",
            Outcome::UpstreamBroke => "upstream_broke",
        }
    }
}

pub(crate) struct Exchange {
    pub(crate) id: RequestId,
    /// Sanitised: what the caller calls the request.
    pub(crate) foreign_id: String,
    pub(crate) user_request_id: String,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) method: http::Method,
    /// One of our own names, never the caller's text.
    pub(crate) endpoint: &'static str,
    pub(crate) key: Option<KeyId>,
    pub(crate) model: Option<Arc<str>>,
    /// What a receipt calls it, where the body is sealed as a whole.
    pub(crate) sealed: Option<ExchangeId>,
    /// May be ended from outside until then.
    pub(crate) running: Option<Running>,
    pub(crate) worker: Option<String>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) outcome: Outcome,
    pub(crate) amounts: Option<Amounts>,
    pub(crate) sent_bytes: u64,
    pub(crate) began: Instant,
    pub(crate) metrics: Metrics,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) _in_flight: Entered,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let (Some(key), Some(model), Some(amounts)) = (&self.key, &self.model, self.amounts) {
            self.ledger.used(key, model, amounts);
            self.ledger.billed(self.billed(key, model).with_amounts(amounts));
            self.metrics.tokens(model, amounts);
        }
        let duration = self.began.elapsed();
        let status = self.status.map_or(0, |status| status.as_u16());
        self.metrics.request(self.endpoint, status, self.outcome.name(), duration);
        let amounts = self.amounts.unwrap_or_default();
        tracing::info!(
            request_id = self.id.as_str(),
            foreign_request_id = self.foreign_id,
            user_request_id = self.user_request_id,
            remote = self.remote.map(tracing::field::display),
            key = self.key.as_ref().map(tracing::field::display),
            method = %self.method,
            endpoint = self.endpoint,
            model = self.model.as_deref(),
            worker = self.worker,
            status,
            outcome = self.outcome.name(),
            bytes = self.sent_bytes,
            prompt_tokens = amounts.prompt_tokens,
            completion_tokens = amounts.completion_tokens,
            milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

impl Exchange {
    fn billed(&self, key: &KeyId, model: &Arc<str>) -> BilledRequest {
        BilledRequest {
            id: self.id.as_str().to_owned(),
            key_id: key.clone(),
            exchange: self.sealed,
            model: model.to_string(),
            status: self.status.map_or(0, |status| status.as_u16()),
            prompt_tokens: 0,
            completion_tokens: 0,
            cached_tokens: 0,
            audio_seconds: 0,
            audio_bytes: 0,
            ended_at: now(),
        }
    }
}

/// How long a sealed answer is awaited for its trailer after its caller has left. The worker ends it at once when it is told;
/// this is for what is under way, and for a worker that does not answer.
const LEFT_BEHIND: Duration = Duration::from_secs(10);

/// A worker's answer on its way to the caller. Dropping it cancels the worker's request, at once or soon.
///
/// What a sealed answer used is said behind its last byte, where all other answers say it as they go. A caller that leaves
/// when it has read enough would never be billed: so the worker is told to end the answer, and it is read on for
/// [`LEFT_BEHIND`], into nothing, to the trailer that says what it cost until then.
pub(crate) struct Download(Option<Flow>);

struct Flow {
    body: Incoming,
    meter: Meter,
    exchange: Exchange,
    lease: Lease,
}

impl Download {
    pub(crate) fn new(body: Incoming, meter: Meter, mut exchange: Exchange, lease: Lease) -> Download {
        if body.is_end_stream() {
            exchange.outcome = Outcome::Done;
        }
        Download(Some(Flow { body, meter, exchange, lease }))
    }
}

impl Flow {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context).map_ok(only_usage);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.exchange.outcome = Outcome::Done,
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(
                    request_id = self.exchange.id.as_str(),
                    error = %privatemode_service::Chain(error),
                    "a worker broke off its answer"
                );
                self.exchange.metrics.upstream_error("broke_off");
                self.exchange.outcome = Outcome::UpstreamBroke;
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.meter.push(data);
                    self.exchange.sent_bytes += data.len() as u64;
                }
                if let Some(trailers) = frame.trailers_ref() {
                    self.meter.trailers(trailers);
                }
                // With a known length the server may never ask for the end.
                if self.body.is_end_stream() {
                    self.exchange.outcome = Outcome::Done;
                }
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    /// Reads on for the trailer, which nobody else is left to read.
    async fn meter_on(mut self) {
        let cancel = tell_to_end(&self.lease, &self.exchange.id);
        let trailer = async {
            while let Some(Ok(frame)) = self.body.frame().await {
                if let Some(trailers) = frame.trailers_ref() {
                    self.meter.trailers(trailers);
                }
            }
        };
        // Too late: the worker is cancelled, and what it did is not known here.
        let both = async { tokio::join!(trailer, cancel) };
        if tokio::time::timeout(LEFT_BEHIND, both).await.is_err() {
            tracing::warn!(
                request_id = self.exchange.id.as_str(),
                "a worker did not say what an abandoned answer cost: it is not billed"
            );
            self.exchange.metrics.upstream_error("no_usage");
        }
    }
}

/// Tells a worker that the caller of a request has left. Best effort: it may have ended meanwhile.
async fn tell_to_end(worker: &Lease, id: &RequestId) {
    let mut request =
        control_request(worker, http::Method::POST, CANCEL_PATH, privatemode_service::body::empty());
    request.headers_mut().insert(REQUEST_ID, id.header());
    if let Err(error) = worker.control(request, 1024).await {
        tracing::debug!(request_id = id.as_str(), error = %privatemode_service::Chain(&error), "cannot end an answer");
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.get_mut().0.as_mut().map_or(Poll::Ready(None), |flow| flow.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flow| flow.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map(|flow| flow.body.size_hint()).unwrap_or_default()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let Some(flow) = self.0.take() else { return };
        let left = flow.exchange.outcome == Outcome::ClientLeft && flow.meter.waits_for_trailer();
        if let (true, Ok(runtime)) = (left, tokio::runtime::Handle::try_current()) {
            runtime.spawn(flow.meter_on());
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        // Also of a cut answer: with continuous usage it is what was computed so far.
        self.exchange.amounts = Some(self.meter.amounts());
    }
}

/// Of a worker's trailers only the usage is passed on.
fn only_usage(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.into_trailers().map_or_else(
        |data| data,
        |mut trailers| {
            let values: Vec<_> = trailers.get_all(USAGE).iter().cloned().collect();
            trailers.clear();
            for value in values {
                trailers.append(USAGE, value);
            }
            Frame::trailers(trailers)
        },
    )
}
