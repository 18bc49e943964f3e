//! What is known of one request from its arrival to the last byte of its answer, and the body that carries that answer.
//!
//! Whoever drops the [`Exchange`], in whatever state, causes its one line in the access log and its counts. Neither holds a
//! key, a body, or a header that was not made safe.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use privatemode_service::BoxError;
use privatemode_service::metrics::Entered;

use crate::accounts::KeyId;
use crate::headers::RequestId;
use crate::ledger::{Amounts, Ledger};
use crate::meter::Meter;
use crate::metrics::Metrics;
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

/// A worker's answer on its way to the caller. Dropping it cancels the worker's request.
pub(crate) struct Download {
    body: Incoming,
    meter: Meter,
    exchange: Exchange,
    _lease: Lease,
}

impl Download {
    pub(crate) fn new(body: Incoming, meter: Meter, mut exchange: Exchange, lease: Lease) -> Download {
        if body.is_end_stream() {
            exchange.outcome = Outcome::Done;
        }
        Download { body, meter, exchange, _lease: lease }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => this.exchange.outcome = Outcome::Done,
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(
                    request_id = this.exchange.id.as_str(),
                    error = %privatemode_service::Chain(error),
                    "a worker broke off its answer"
                );
                this.exchange.metrics.upstream_error("broke_off");
                this.exchange.outcome = Outcome::UpstreamBroke;
            }
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.meter.push(data);
                    this.exchange.sent_bytes += data.len() as u64;
                }
                // With a known length the server may never ask for the end.
                if this.body.is_end_stream() {
                    this.exchange.outcome = Outcome::Done;
                }
            }
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Also of a cut answer: with continuous usage it is what was computed so far.
        self.exchange.amounts = Some(self.meter.amounts());
    }
}
