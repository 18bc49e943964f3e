//! A worker that speaks sealed bodies, and what goes wrong with its answers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use privatemode_client::{Entropy as _, SystemEntropy, testing::Deployment};
use privatemode_service::{BoxBody, BoxError, body};
use privatemode_wire::{
    Secret,
    receipt::{Receipt, SignedReceipt},
    replay::Refusal,
    stream::{
        Outcome, Outer, RequestHead, RequestPart, RequestReader, Responder, ResponseHead, Trailer,
        UnixMillis,
        outer::{self, RequestSalt},
    },
    usage::Usage,
};

use super::gateway::{Seen, State};

/// Changes what is on the wire: status, headers, segments with their lengths.
type Change = Arc<dyn Fn(&mut StatusCode, &mut HeaderMap, &mut Vec<Vec<u8>>) + Send + Sync>;

/// What becomes of a request.
#[derive(Clone)]
pub(super) struct Sealed {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// Written one by one, each flushed; none echoes the request.
    pub(super) body: Vec<Vec<u8>>,
    pub(super) outcome: Outcome,
    pub(super) refusals: Vec<Refusal>,
    /// Outside of the seal.
    pub(super) told: Option<Usage>,
    pub(super) change: Option<Change>,
    /// Behind so many segments the connection breaks.
    pub(super) broken_after: Option<usize>,
}

impl Default for Sealed {
    fn default() -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            body: Vec::new(),
            outcome: Outcome::Complete,
            refusals: Vec::new(),
            told: Some(USAGE),
            change: None,
            broken_after: None,
        }
    }
}

pub(super) const USAGE: Usage = Usage {
    prompt_tokens: 3,
    completion_tokens: 4,
    total_tokens: 7,
    cached_tokens: 0,
    audio_seconds: 0,
    audio_bytes: 0,
};

impl Sealed {
    pub(super) fn events(events: &[&str]) -> Self {
        let body = events.iter().map(|event| event.as_bytes().to_vec()).collect();
        Self { content_type: "text/event-stream; charset=utf-8", body, ..Self::default() }
    }

    pub(super) fn changed(
        self,
        change: impl Fn(&mut StatusCode, &mut HeaderMap, &mut Vec<Vec<u8>>) + Send + Sync + 'static,
    ) -> Self {
        Self { change: Some(Arc::new(change)), ..self }
    }
}

/// Opens a request as workers do and answers it.
pub(super) async fn answer(
    state: &Arc<State>,
    deployment: &Deployment,
    secret: &Secret,
    mut seen: Seen,
) -> Result<Response<BoxBody>, BoxError> {
    let (head, opened, responder) = open(secret, &seen)?;
    let seen_salt = seen.headers[outer::REQUEST_HEADER].to_str()?.to_owned();
    seen.opened = Some(opened.clone());
    state.seen.lock().unwrap().push(seen);
    state.heads.lock().unwrap().push(head.clone());
    let (refusal, sealed) = {
        let mut sealed = state.sealed.lock().unwrap();
        (sealed.refusals.pop(), sealed.clone())
    };
    let answer = match refusal {
        Some(refusal) => ResponseHead::refused(refusal, "application/json", head.request_id),
        None => {
            let mut answer = ResponseHead::new(sealed.status, Some(sealed.content_type), head.request_id);
            answer.headers.insert("retry-after".to_owned(), "3".to_owned());
            answer.headers.insert("location".to_owned(), "https://evil.example/".to_owned());
            answer
        }
    };
    let salt = RequestSalt::parse_header(seen_salt.as_str())?;
    seal(deployment, &head, &salt, &opened, responder, &answer, &sealed)
}

fn open(secret: &Secret, seen: &Seen) -> Result<(RequestHead, Vec<u8>, Responder), BoxError> {
    let text = |name: &str| seen.headers.get(name).map(|value| value.to_str().unwrap());
    let salt = RequestSalt::parse_header(text(outer::REQUEST_HEADER).ok_or("no salt")?)?;
    let mut reader = RequestReader::new(secret, &salt);
    let (mut input, mut body, mut head) = (&seen.sealed[..], Vec::new(), None);
    while let Some(part) = reader.next(&mut input)? {
        match part {
            RequestPart::Head(found) => head = Some(found.clone()),
            RequestPart::Body(data) => body.extend_from_slice(data),
        }
    }
    let head = head.ok_or("no head")?;
    let outer = Outer {
        method: "POST",
        path: &seen.path,
        model: text("privatemode-target-model"),
        shard_key: text("privatemode-shard-key"),
        max_tokens: text(outer::MAX_TOKENS),
        ocsp_policy: text("privatemode-nvidia-ocsp-policy"),
    };
    head.check_outer(&outer)?;
    let responder = reader.finish()?;
    responder.check_length_tokens(text(outer::CONTENT_LENGTH_TOKENS))?;
    Ok((head, body, responder))
}

fn seal(
    deployment: &Deployment,
    head: &RequestHead,
    salt: &RequestSalt,
    opened: &[u8],
    responder: Responder,
    answer: &ResponseHead,
    sealed: &Sealed,
) -> Result<Response<BoxBody>, BoxError> {
    let mut out = Vec::new();
    let mut writer = responder.begin(answer, &mut *SystemEntropy.rng(), &mut out)?;
    let exchange = salt.exchange_id();
    let salt = writer.salt().to_header();
    let echo = [opened.to_vec()];
    for piece in if sealed.body.is_empty() { &echo[..] } else { &sealed.body } {
        writer.write(piece, &mut out)?;
        writer.flush(&mut out)?;
    }
    let end = writer.close(&mut out)?;
    let receipt = head.receipt.then(|| {
        let receipt = Receipt {
            request_id: head.request_id,
            exchange,
            request_digest: end.request_digest(),
            response_digest: end.response_digest().unwrap(),
            status: answer.status,
            outcome: sealed.outcome,
            model: head.model.clone().unwrap_or_default(),
            model_root: None,
            engine_image: None,
            manifest: head.manifest,
            sampling: Default::default(),
            usage: Some(USAGE),
            received: UnixMillis(1_800_000_000_000),
            started: UnixMillis(1_800_000_000_000),
            finished: UnixMillis(1_800_000_000_000),
            downgrades: Default::default(),
            certificates: vec![deployment.worker.certificate().to_vec()],
        };
        SignedReceipt::sign(receipt, |message| Ok::<_, ()>(deployment.worker.sign(message))).unwrap()
    });
    let trailer = Trailer { outcome: sealed.outcome, usage: Some(USAGE), receipt: receipt.map(Box::new) };
    end.finish(&trailer, &mut out)?;

    let mut status = StatusCode::from_u16(answer.status)?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", outer::CONTENT_TYPE),
        (outer::RESPONSE_HEADER, &salt),
        ("x-request-id", "gateway-1"),
        ("set-cookie", "a=b"),
        ("trailer", outer::USAGE),
    ] {
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
    }
    let mut segments = split(&out);
    if let Some(change) = &sealed.change {
        change(&mut status, &mut headers, &mut segments);
    }
    let mut frames: Vec<Result<_, BoxError>> =
        segments.into_iter().map(|segment| Ok(Frame::data(Bytes::from(segment)))).collect();
    match sealed.broken_after {
        Some(count) => {
            frames.truncate(count);
            frames.push(Err("broken".into()));
        }
        None => {
            if let Some(told) = sealed.told {
                let value = outer::usage_header(told).parse()?;
                let trailers = HeaderMap::from_iter([(HeaderName::from_static(outer::USAGE), value)]);
                frames.push(Ok(Frame::trailers(trailers)));
            }
        }
    }
    let frames = stream::iter(frames).then(|frame: Result<_, BoxError>| async {
        if frame.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await; // what came before leaves first
        }
        frame
    });
    let mut response = Response::new(body::boxed(StreamBody::new(Box::pin(frames))));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Each segment with its length.
fn split(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let mut segments = Vec::new();
    while let Some(length) = wire.first_chunk::<4>() {
        let (segment, rest) = wire.split_at(4 + u32::from_be_bytes(*length) as usize);
        segments.push(segment.to_vec());
        wire = rest;
    }
    segments
}
