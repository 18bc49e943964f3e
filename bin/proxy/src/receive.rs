//! Answers on their way to the caller: opened whole, or event by event as they come. Believes nothing that does not
//! open: a plain answer passes only as an error, and a stream that was cut ends as an error. Specification: protocol.md
//! §2, §3, §10.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header as names};
use http_body::Frame;
use http_body_util::StreamBody;
use privatemode_service::{
    BoxBody, BoxError, Chain,
    body::{boxed, full},
};
use privatemode_wire::{
    Endpoint,
    error_body::sse_error_event,
    header,
    message::{OpenError, ResponseOpener, StreamOpener},
    stream::ResponseHead,
};

use crate::{
    dump::DumpFile,
    failure::{Failure, is_error_json},
    fields::{AnswerBody, Exchange},
    upstream::{read, unreachable},
};

/// Longest whole answer: 128 MiB opened, twice that in hexadecimal, and the frame.
const MAX_ANSWER: usize = (256 << 20) + (1 << 20);
/// Between the error event of a broken stream and the end of its connection.
pub(crate) const FLUSH: Duration = Duration::from_millis(50);
/// Longest plain error.
const MAX_PLAIN: usize = 1 << 20;

/// What of an answer's head reaches the caller. Anything else could be an order to the caller's client: `Location` would send
/// the prompt in clear text to wherever a gateway likes, and most clients follow it. `Retry-After` can put a client to sleep:
/// it passes with an error of whoever wrote it, and from under the seal.
const PASSED: [HeaderName; 2] = [names::CONTENT_TYPE, names::RETRY_AFTER];
const PASSED_TEXT: [&str; 2] = [header::REQUEST_ID, "request-id"];
const PASSED_PREFIXES: [&str; 2] = ["x-ratelimit-", "anthropic-ratelimit-"];

/// An error in plain text: from the gateway, or from a worker that could not open the request.
pub(crate) struct PlainAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl PlainAnswer {
    /// Reads it, if it is an error. `marked`: it says itself that it is plain; else it must have an error's shape.
    pub(crate) async fn read(answer: reqwest::Response, marked: bool) -> Result<Self, Failure> {
        let (status, headers) = (answer.status(), answer.headers().clone());
        // Anybody on the way can write one: it may explain a refusal, never give an answer.
        if !is_error(status) {
            return Err(Failure::PlainAnswer { status });
        }
        let body = read(answer, MAX_PLAIN).await.map_err(|source| Failure::Unreachable { source })?;
        if !marked && !is_error_json(&body) {
            return Err(Failure::ForeignError { status });
        }
        Ok(Self { status, headers, body })
    }

    /// For the caller.
    pub(crate) fn response(self) -> Response<BoxBody> {
        let mut response = Response::new(full(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = pass_headers(&self.headers);
        response
    }
}

/// Whether an answer says of itself that it is plain.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get(header::ENCRYPTED).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"))
}

/// What the sealed head adds to the outer headers, or puts in their place.
pub(crate) fn pass_sealed_headers(head: &ResponseHead, headers: &mut HeaderMap) {
    // The outer ones speak of the seal, or are anybody's.
    headers.remove(names::CONTENT_TYPE);
    headers.remove(names::RETRY_AFTER);
    let text = |value: &str| HeaderValue::from_str(value).ok();
    let sealed = head.headers.iter().filter_map(|(name, value)| Some((name.parse().ok()?, text(value)?)));
    headers.extend(pass_headers(&sealed.collect()));
    headers.remove(names::CONTENT_TYPE); // it has a member of its own
    if let Some(content_type) = head.content_type.as_deref().and_then(text) {
        headers.insert(names::CONTENT_TYPE, harmless(content_type));
    }
}

/// Turns what came into what the caller gets. `stream`: the caller waits for events.
pub(crate) async fn open(
    endpoint: Endpoint,
    stream: bool,
    exchange: Exchange,
    dump: Option<DumpFile>,
) -> Result<Response<BoxBody>, Failure> {
    let Exchange { status, headers, body, opener } = exchange;
    let mut response = Response::new(());
    *response.status_mut() = check_status(status)?;
    *response.headers_mut() = pass_headers(&headers);
    if !is_error(status) {
        response.headers_mut().remove(names::RETRY_AFTER);
    }
    if is_plain(&headers) {
        // Anybody on the way can write this header: it may explain a refusal, never give an answer.
        if !is_error(status) {
            return Err(Failure::PlainAnswer { status });
        }
        let body = whole(body, MAX_PLAIN).await?;
        return Ok(PlainAnswer { status, headers, body }.response());
    }
    let is_stream = headers.get(names::CONTENT_TYPE).is_some_and(is_event_stream);
    match body {
        AnswerBody::Coming(answer) if is_stream && !is_error(status) => {
            Ok(response.map(|()| events(answer, opener.into_stream(endpoint), dump)))
        }
        body => {
            let body = whole(body, MAX_ANSWER).await?;
            // To a client that reads events, a document is a stream without any: an empty answer, and no error. So would
            // be an empty body, which the cipher lets pass.
            if !is_error(status) && (stream || body.is_empty()) {
                return Err(Failure::Open { status, source: OpenError::Truncated });
            }
            let opened = open_whole(endpoint, status, opener, &body)?;
            if let Some(mut dump) = dump {
                dump.write(&opened);
            }
            Ok(response.map(|()| full(opened)))
        }
    }
}

fn open_whole(
    endpoint: Endpoint,
    status: StatusCode,
    mut opener: ResponseOpener,
    body: &[u8],
) -> Result<Vec<u8>, Failure> {
    match opener.open(endpoint, body) {
        Ok(opened) => Ok(opened),
        Err(_) if is_error(status) && is_error_json(body) => Ok(body.to_vec()), // as the marked plain errors above
        Err(_) if is_error(status) => Err(Failure::ForeignError { status }),
        Err(source) => Err(Failure::Open { status, source }),
    }
}

/// Neither an answer nor an error: a redirection, which would take the caller's prompt elsewhere.
pub(crate) fn check_status(status: StatusCode) -> Result<StatusCode, Failure> {
    if status.is_success() || is_error(status) { Ok(status) } else { Err(Failure::Status { status }) }
}

pub(crate) fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

pub(crate) fn is_event_stream(value: &HeaderValue) -> bool {
    media_type(value).eq_ignore_ascii_case(b"text/event-stream")
}

fn is_data(value: &HeaderValue) -> bool {
    is_event_stream(value) || media_type(value).eq_ignore_ascii_case(b"application/json")
}

fn media_type(value: &HeaderValue) -> &[u8] {
    value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

async fn whole(body: AnswerBody, max: usize) -> Result<Vec<u8>, Failure> {
    match body {
        AnswerBody::Whole(body) => Ok(body),
        AnswerBody::Coming(answer) => {
            read(answer, max).await.map_err(|source| Failure::Unreachable { source })
        }
    }
}

/// The part of an answer's head that reaches the caller, with a content type that no browser runs. Whatever a gateway says,
/// nobody keeps an answer.
pub(crate) fn pass_headers(headers: &HeaderMap) -> HeaderMap {
    let passes = |name: &HeaderName| {
        PASSED.contains(name)
            || PASSED_TEXT.contains(&name.as_str())
            || PASSED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    let kept = headers.iter().filter(|(name, _)| passes(name));
    let mut kept: HeaderMap = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(content_type) = kept.remove(names::CONTENT_TYPE) {
        kept.insert(names::CONTENT_TYPE, harmless(content_type));
    }
    kept.insert(names::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    kept
}

/// A content type that no browser runs.
fn harmless(value: HeaderValue) -> HeaderValue {
    if is_data(&value) { value } else { HeaderValue::from_static("text/plain; charset=utf-8") }
}

/// A stream of events: one chunk in memory, each event passed on as soon as it is whole.
fn events(answer: reqwest::Response, opener: StreamOpener, dump: Option<DumpFile>) -> BoxBody {
    let start = Events::Open(Box::new(Opening { answer, opener, dump }));
    boxed(StreamBody::new(stream::unfold(start, Events::next)))
}

enum Events {
    Open(Box<Opening>),
    /// The caller has seen the error event; now the connection must end as broken ones do.
    Broken(String),
    Over,
}

struct Opening {
    answer: reqwest::Response,
    opener: StreamOpener,
    dump: Option<DumpFile>,
}

type Item = Result<Frame<Bytes>, BoxError>;

impl Events {
    async fn next(self) -> Option<(Item, Self)> {
        match self {
            Self::Open(opening) => opening.next().await,
            // an HTTP/1 body without its end, or RST_STREAM: no client takes it for a whole answer
            Self::Broken(reason) => {
                // An error drops what the server has not written yet: give the error event the time to leave.
                tokio::time::sleep(FLUSH).await;
                Some((Err(io::Error::other(reason).into()), Self::Over))
            }
            Self::Over => None,
        }
    }
}

impl Opening {
    async fn next(mut self: Box<Self>) -> Option<(Item, Events)> {
        let mut opened = Vec::new();
        loop {
            let failure = match self.answer.chunk().await {
                Ok(Some(chunk)) => match self.opener.push(&chunk, &mut opened) {
                    Ok(()) if opened.is_empty() => continue, // an event is not whole yet
                    Ok(()) => {
                        if let Some(dump) = &mut self.dump {
                            dump.write(&opened);
                        }
                        return Some((Ok(Frame::data(opened.into())), Events::Open(self)));
                    }
                    Err(error) => of_open(&error),
                },
                Ok(None) => match self.opener.finish() {
                    Ok(()) => return None,
                    Err(error) => of_open(&error),
                },
                Err(error) => {
                    format!("the connection to the API endpoint broke: {}", Chain(&unreachable(error)))
                }
            };
            tracing::warn!(reason = failure, "a streamed answer ended as an error");
            opened.extend_from_slice(error_event(&failure).as_bytes());
            return Some((Ok(Frame::data(opened.into())), Events::Broken(failure)));
        }
    }
}

fn of_open(error: &OpenError) -> String {
    match error {
        OpenError::Truncated => {
            "the stream ended before its end mark; it was cut on the way, so the answer is not complete"
                .to_owned()
        }
        other => format!("an event was refused, because it was changed on the way: {}", Chain(other)),
    }
}

/// What the caller's stream ends with.
pub(crate) fn error_event(reason: &str) -> String {
    let message =
        format!("The answer broke off: {reason}. Do not use what came so far as a whole answer; try again.");
    let json = privatemode_wire::error_body::openai(&message, "server_error", None, Some("answer_broken"));
    sse_error_event(&json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_not_for_the_caller_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "5"),
            ("set-cookie", "a=b"),
            ("location", "https://evil.example/v1"),
            ("refresh", "0; url=https://evil.example"),
            ("www-authenticate", "Basic"),
            ("x-ratelimit-remaining-tokens", "7"),
            ("content-type", "application/json"),
            ("x-request-id", "0190"),
            ("retry-after", "3"),
            ("cache-control", "public, max-age=31536000"),
            ("privatemode-encrypted", "false"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let passed = pass_headers(&headers);
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected =
            ["cache-control", "content-type", "retry-after", "x-ratelimit-remaining-tokens", "x-request-id"];
        assert_eq!(names, expected);
        assert_eq!(passed["cache-control"], "no-store");
        assert_eq!(passed["content-type"], "application/json");
        headers.insert("content-type", HeaderValue::from_static("text/html"));
        assert_eq!(pass_headers(&headers)["content-type"], "text/plain; charset=utf-8");
    }

    /// Around a sealed answer, the gateway can neither make a client keep it nor put the client to sleep.
    #[test]
    fn what_stands_outside_a_seal_orders_nobody() {
        let outer = [("content-type", "text/html"), ("retry-after", "86400"), ("cache-control", "public")];
        let outer =
            outer.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = pass_headers(&HeaderMap::from_iter(outer));
        let id = privatemode_wire::stream::RequestId::from_bytes([1; 16]);
        let mut head = ResponseHead::new(200, None, id);
        pass_sealed_headers(&head, &mut headers);
        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!((names, &headers["cache-control"]), (vec!["cache-control"], &"no-store".parse().unwrap()));
        head.headers.insert("retry-after".into(), "3".into());
        pass_sealed_headers(&head, &mut headers);
        assert_eq!(headers["retry-after"], "3");
    }

    #[test]
    fn event_streams_by_their_type() {
        assert!(is_event_stream(&HeaderValue::from_static("Text/Event-Stream; charset=utf-8")));
        assert!(!is_event_stream(&HeaderValue::from_static("application/json")));
    }
}
