//! A sealed answer on its way to the caller, as it opens.
//!
//! Events go out one by one, and an answer that breaks ends with an error event and a broken connection. Documents of up
//! to 1 MiB wait for their trailer, so that all that is wrong with them is an error with status 502. Longer ones are passed on as they
//! come; then an error can only break the connection, which no client takes for the end of an answer.

use std::{io, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header as names};
use http_body::Frame;
use http_body_util::StreamBody;
use privatemode_service::{
    BoxBody, BoxError, Chain,
    body::{boxed, full},
};
use privatemode_wire::{
    Endpoint,
    stream::{ReadError, outer},
};

use super::{
    answer::{Answer, AnswerError},
    leaving::Ending,
    segments::{End, Part, Segments},
    whole_events::WholeEvents,
};
use crate::{
    dump::DumpFile,
    failure::Failure,
    receipts::{Evidence, Receipts},
    receive::{FLUSH, error_event, is_error, is_event_stream, pass_headers, pass_sealed_headers},
};

/// Longest document that waits for its trailer.
const HELD: usize = 1 << 20;
/// Longest receipt in a header: clients and servers stop reading heads not far above.
const MAX_RECEIPT_HEADER: usize = 8 << 10;

/// Whom the answer is for.
pub(crate) struct Recipient {
    pub(crate) endpoint: Endpoint,
    /// Waits for events.
    pub(crate) stream: bool,
    pub(crate) wants_receipt: bool,
    pub(crate) dump: Option<DumpFile>,
}

/// Turns an opened head and what follows into what the caller gets.
pub(crate) async fn deliver(
    answer: Answer,
    recipient: Recipient,
    receipts: &Arc<Receipts>,
) -> Result<Response<BoxBody>, Failure> {
    let Answer { headers, status, head, segments, request_id, request_digest, ending, verification } = answer;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = pass_headers(&headers);
    pass_sealed_headers(&head, response.headers_mut());
    let is_stream = response.headers().get(names::CONTENT_TYPE).is_some_and(is_event_stream);
    let evidence = Evidence { request_id, exchange: ending.exchange, request_digest, verification };
    let closing = Closing { receipts: Arc::clone(receipts), evidence, to_caller: recipient.wants_receipt };
    let ending = receipts.are_kept().then_some(ending);
    let body = Opening { open: Some(Open { segments, closing, ending }), dump: recipient.dump };
    if is_stream && !is_error(status) {
        if recipient.wants_receipt {
            response.headers_mut().insert(names::TRAILER, HeaderValue::from_static(outer::RECEIPT));
        }
        return Ok(response.map(|()| events(recipient.endpoint, body)));
    }
    // To a client that reads events, a document is a stream without any: an empty answer, and no error.
    if recipient.stream && !is_error(status) {
        return Err(Failure::Answer { status, source: AnswerError::NoEvents });
    }
    document(body, response).await
}

/// What is left to do when an answer has ended.
struct Closing {
    receipts: Arc<Receipts>,
    evidence: Evidence,
    to_caller: bool,
}

impl Closing {
    /// Keeps the receipt, holds the bill against the count, and judges how the answer ended. The receipt for the caller.
    fn close(&self, end: End) -> (Option<String>, Result<(), AnswerError>) {
        let End { trailer, outer, digest } = end;
        let Evidence { request_id, .. } = self.evidence;
        if let Some(told) = outer.get(outer::USAGE) {
            let told = told.to_str().ok().and_then(|told| outer::parse_usage(told).ok());
            if told != trailer.usage {
                tracing::warn!(
                    request.sealed_id = %request_id, gateway = ?told, worker = ?trailer.usage,
                    "the gateway was told another usage than the worker sealed"
                );
            }
        }
        let receipt = trailer.receipt.as_ref().map(|receipt| {
            self.receipts.keep(receipt, &self.evidence, digest);
            receipt.to_json()
        });
        (receipt.filter(|_| self.to_caller), AnswerError::of_outcome(trailer.outcome))
    }
}

/// An answer's body. Dropped before its end, it is wound up.
struct Opening {
    /// Gone when the answer is over.
    open: Option<Open>,
    dump: Option<DumpFile>,
}

struct Open {
    segments: Segments,
    closing: Closing,
    /// Where there is a use for the receipt of an answer that nobody reads to its end.
    ending: Option<Ending>,
}

/// What comes next of a body.
enum Next {
    Data(Bytes),
    /// The receipt, if the caller wants it.
    End(Option<String>),
}

impl Opening {
    async fn next(&mut self) -> Result<Next, AnswerError> {
        let Some(open) = &mut self.open else { return Err(AnswerError::Read(ReadError::Truncated)) };
        let part = open.segments.next().await.inspect_err(|_| self.open = None)?;
        match part {
            Part::Body(data) => {
                if let Some(dump) = &mut self.dump {
                    dump.write(&data);
                }
                Ok(Next::Data(data))
            }
            Part::End(end) => {
                let Some(open) = self.open.take() else { return Ok(Next::End(None)) };
                let (receipt, outcome) = open.closing.close(*end);
                outcome.map(|()| Next::End(receipt))
            }
            Part::Head(_) => Err(AnswerError::Read(ReadError::RequestId)),
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(Open { segments, closing, ending: Some(ending) }) = self.open.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Some(end) = ending.wind_up(segments).await {
                // Nobody is left to be told how it ended; the receipt says it.
                let _ = closing.close(*end);
            }
        });
    }
}

async fn document(mut body: Opening, mut response: Response<()>) -> Result<Response<BoxBody>, Failure> {
    let status = response.status();
    let mut held = BytesMut::new();
    loop {
        match body.next().await.map_err(|source| Failure::Answer { status, source })? {
            Next::Data(data) => held.extend_from_slice(&data),
            Next::End(receipt) => {
                if let Some(receipt) = receipt.and_then(|receipt| in_header(&receipt)) {
                    response.headers_mut().insert(outer::RECEIPT, receipt);
                }
                return Ok(response.map(|()| full(held.freeze())));
            }
        }
        if held.len() > HELD {
            return Ok(response.map(|()| long_document(held.freeze(), body)));
        }
    }
}

fn in_header(receipt: &str) -> Option<HeaderValue> {
    base64_of(receipt).filter(|value| value.len() <= MAX_RECEIPT_HEADER)
}

fn base64_of(receipt: &str) -> Option<HeaderValue> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    HeaderValue::from_str(&STANDARD.encode(receipt)).ok()
}

type Item = Result<Frame<Bytes>, BoxError>;

/// What was held, and the rest as it comes. An error breaks the connection.
fn long_document(held: Bytes, body: Opening) -> BoxBody {
    let start = (Some(held), Some(body));
    boxed(StreamBody::new(stream::unfold(start, async |(held, body)| {
        if let Some(held) = held {
            return Some((Ok(Frame::data(held)) as Item, (None, body)));
        }
        let mut body = body?;
        match body.next().await {
            Ok(Next::Data(data)) => Some((Ok(Frame::data(data)), (None, Some(body)))),
            Ok(Next::End(_)) => None,
            Err(error) => {
                tracing::warn!(reason = %Chain(&error), "a long answer broke off");
                Some((Err(io::Error::other(Chain(&error).to_string()).into()), (None, None)))
            }
        }
    })))
}

enum Events {
    Open(Box<Opening>, WholeEvents),
    /// The last of a whole answer is out; what follows is only the receipt.
    Ended(Option<String>),
    /// The caller has seen the error event; now the connection must end as broken ones do.
    Broken(String),
    Over,
}

fn events(endpoint: Endpoint, body: Opening) -> BoxBody {
    boxed(StreamBody::new(stream::unfold(
        Events::Open(Box::new(body), WholeEvents::new(endpoint)),
        Events::next,
    )))
}

impl Events {
    async fn next(self) -> Option<(Item, Self)> {
        let (mut body, mut whole) = match self {
            Self::Open(body, whole) => (body, whole),
            Self::Ended(receipt) => {
                let value = base64_of(&receipt?)?;
                let trailers = HeaderMap::from_iter([(HeaderName::from_static(outer::RECEIPT), value)]);
                return Some((Ok(Frame::trailers(trailers)), Self::Over));
            }
            Self::Broken(reason) => {
                // An error drops what the server has not written yet: give the error event the time to leave.
                tokio::time::sleep(FLUSH).await;
                return Some((Err(io::Error::other(reason).into()), Self::Over));
            }
            Self::Over => return None,
        };
        loop {
            let error = match body.next().await {
                Ok(Next::Data(data)) => {
                    let events = whole.push(data);
                    if events.is_empty() {
                        continue;
                    }
                    return Some((Ok(Frame::data(events)), Self::Open(body, whole)));
                }
                // An empty frame is none on the wire.
                Ok(Next::End(receipt)) => match whole.finish() {
                    Some(rest) => return Some((Ok(Frame::data(rest)), Self::Ended(receipt))),
                    None => AnswerError::NoEnd,
                },
                Err(error) => error,
            };
            let reason = Chain(&error).to_string();
            tracing::warn!(reason, "a streamed answer ended as an error");
            let event = error_event(&reason);
            return Some((Ok(Frame::data(event.into())), Self::Broken(reason)));
        }
    }
}
