//! One attempt up to the opened head of its answer. What is not sealed may explain a refusal, and nothing more.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use privatemode_wire::{
    header,
    stream::{Outcome, ReadError, RequestId, RequestWriter, ResponseHead, outer},
};

use super::{
    head,
    leaving::Ending,
    request::{RequestDigest, SealedRequest},
    segments::{Part, Segments},
};
use crate::{
    failure::Failure,
    forward::{self, Attempt, Call, Exchange},
    payload::Payload,
    receive::{PlainAnswer, check_status, is_plain},
};

/// A sealed answer whose head was opened.
pub(crate) struct Answer {
    /// What stood outside.
    pub(super) headers: HeaderMap,
    pub(super) status: StatusCode,
    pub(super) head: Box<ResponseHead>,
    pub(super) segments: Segments,
    pub(super) request_id: RequestId,
    pub(super) request_digest: RequestDigest,
    /// Ends the answer where its caller leaves.
    pub(super) ending: Ending,
    /// What was attested when the request was sealed.
    pub(super) verification: Arc<privatemode_client::Verification>,
}

/// Why an answer that claims to be sealed is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(
        "its header Privatemode-OAE-Response-Header is missing, though its content type says that it is sealed"
    )]
    NoSalt,
    #[error("its header Privatemode-OAE-Response-Header is malformed")]
    Salt(#[source] outer::SaltError),
    #[error("it cannot be opened")]
    Read(#[source] ReadError),
    #[error("its status is {outer} outside and {sealed} under the seal: it was changed on the way")]
    Status { outer: u16, sealed: u16 },
    #[error("it is a document where a stream of events was asked for")]
    NoEvents,
    #[error("the stream ended before its end mark: the engine did not finish it, so it is not complete")]
    NoEnd,
    #[error("the engine failed in the middle of it, so it is not complete")]
    EngineFailed,
    #[error("it was given up in the middle, so it is not complete")]
    Cancelled,
    #[error("the connection to the API endpoint broke")]
    Broken { source: reqwest::Error },
}

impl AnswerError {
    /// Whether the other side is honest and merely failed.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::EngineFailed | Self::Cancelled | Self::NoEnd | Self::Broken { .. })
    }

    /// What an outcome other than complete means.
    pub(super) fn of_outcome(outcome: Outcome) -> Result<(), Self> {
        match outcome {
            Outcome::Complete => Ok(()),
            Outcome::Failed => Err(Self::EngineFailed),
            Outcome::Cancelled => Err(Self::Cancelled),
        }
    }
}

/// Seals while it sends, and waits for the head of the answer.
pub(crate) async fn attempt(call: &Call<'_>) -> Result<Attempt, Failure> {
    let (head, mut headers) = head::of(call);
    // step 1: a fresh salt, and so fresh keys, for each attempt
    let sealing = RequestWriter::begin(call.credential.secret(), &head, &mut *call.app.entropy.rng());
    let (writer, pending) = sealing.map_err(|source| Failure::SealBody { source })?;
    let text = |value: &str| HeaderValue::from_str(value).map_err(|_| Failure::Task);
    let ending = Ending {
        upstream: Arc::clone(&call.app.upstream),
        key: Arc::clone(call.key),
        exchange: writer.salt().exchange_id(),
    };
    headers.insert(outer::REQUEST_HEADER, text(&writer.salt().to_header())?);
    if let Payload::Whole(body) = &call.prepared.body {
        let tokens = HeaderValue::from(writer.length_tokens(body.len() as u64));
        headers.insert(outer::CONTENT_LENGTH_TOKENS, tokens);
    }
    let (body, request_digest) = SealedRequest::new(writer, &call.prepared.body);
    let path = &call.caller.path;
    let answer = match call.app.upstream.send(Method::POST, path, headers, reqwest::Body::wrap(body)).await {
        Err(error) => return call.not_sent(error),
        Ok(answer) => answer,
    };
    let (status, headers) = (answer.status(), answer.headers().clone());
    call.answered(status);
    // step 2: a redirection is nobody's answer, sealed or not
    check_status(status)?;
    // step 3: sealed, or only an error
    if is_plain(&headers) || !is_sealed(&headers) {
        return plain(answer).await;
    }
    let salt = headers.get(outer::RESPONSE_HEADER).ok_or(AnswerError::NoSalt);
    let salt = salt.and_then(|salt| {
        outer::ResponseSalt::parse_header(salt.to_str().unwrap_or_default()).map_err(AnswerError::Salt)
    });
    let salt = salt.map_err(|source| Failure::Answer { status, source })?;
    let mut segments = Segments::new(answer, pending.open(&salt));
    // step 4: the head, which answers this request and no other
    let sealed = match segments.next().await.map_err(|source| Failure::Answer { status, source })? {
        Part::Head(head) => head,
        Part::Body(_) | Part::End(_) => {
            return Err(Failure::Answer { status, source: AnswerError::Read(ReadError::HeadCut) });
        }
    };
    // step 5: two statuses would be two answers
    if sealed.status != status.as_u16() {
        let source = AnswerError::Status { outer: status.as_u16(), sealed: sealed.status };
        return Err(Failure::Answer { status, source });
    }
    if let Some(skew) = sealed.clock_skew() {
        return Ok(Attempt::ClockSkew(skew));
    }
    Ok(Attempt::Answered(Exchange::Sealed(Box::new(Answer {
        headers,
        status,
        head: sealed,
        segments,
        request_id: head.request_id,
        request_digest,
        ending,
        verification: Arc::clone(call.credential.verification()),
    }))))
}

fn is_sealed(headers: &HeaderMap) -> bool {
    let content_type = headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // With the header and another content type, somebody changed one of them: it will not open, and says so.
    content_type.is_some_and(outer::is_sealed) || headers.contains_key(outer::RESPONSE_HEADER)
}

/// Marked as plain or not sealed at all: anybody on the way can write this.
async fn plain(answer: reqwest::Response) -> Result<Attempt, Failure> {
    let marked = answer.headers().get(header::ENCRYPTED).is_some();
    let plain = PlainAnswer::read(answer, marked).await?;
    let lost = plain.status.is_server_error() && forward::is_secret_lost(&plain.body);
    let exchange = Exchange::Plain(plain);
    Ok(if lost { Attempt::SecretLost(exchange) } else { Attempt::Answered(exchange) })
}
