//! Whole exchanges.

use super::outer::{RequestSalt, ResponseSalt};
use super::*;
use crate::receipt::SealedDigest;
use crate::secret::Secret;
use crate::test_rng::TestRng;
use crate::usage::Usage;

mod order;
mod properties;
mod tampering;
mod vectors;

const ID: RequestId = RequestId::from_bytes([0x11; 16]);

fn secret(byte: u8) -> Secret {
    Secret::from_slice(&[byte; 32]).unwrap()
}

fn head(padding: Padding, receipt: bool) -> RequestHead {
    RequestHead {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        content_type: Some("application/json".into()),
        accept: None,
        model: Some("m".into()),
        stream: true,
        max_tokens: Some(5),
        n: None,
        shard_key: Some("0011-a".into()),
        ocsp_policy: None,
        request_id: ID,
        sent: UnixMillis(1_760_000_000_000),
        manifest: ManifestDigest([7; 32]),
        padding,
        receipt,
    }
}

/// A request on the wire, and what opens its answer.
struct Sent {
    salt: RequestSalt,
    wire: Vec<u8>,
    pending: PendingResponse,
    digest: Option<SealedDigest>,
}

fn send(secret: &Secret, head: &RequestHead, body: &[u8], seed: u64) -> Sent {
    let (mut writer, pending) = RequestWriter::begin(secret, head, &mut TestRng::new(seed)).unwrap();
    let (salt, mut wire) = (*writer.salt(), Vec::new());
    writer.write(body, &mut wire).unwrap();
    let digest = writer.finish(&mut wire).unwrap();
    Sent { salt, wire, pending, digest }
}

/// A request as the worker sees it.
fn receive(
    secret: &Secret,
    salt: &RequestSalt,
    pieces: &[&[u8]],
) -> Result<(RequestHead, Vec<u8>, Responder), ReadError> {
    let mut reader = RequestReader::new(secret, salt);
    let (mut head, mut body) = (None, Vec::new());
    for mut piece in pieces.iter().copied() {
        while let Some(part) = reader.next(&mut piece)? {
            match part {
                RequestPart::Head(first) => head = Some(first.clone()),
                RequestPart::Body(data) => body.extend_from_slice(data),
            }
        }
        assert!(piece.is_empty());
    }
    Ok((head.ok_or(ReadError::Truncated)?, body, reader.finish()?))
}

/// A response on the wire.
struct Answered {
    salt: ResponseSalt,
    wire: Vec<u8>,
    digest: Option<SealedDigest>,
}

fn trailer() -> Trailer {
    Trailer::complete(Some(Usage { prompt_tokens: 3, total_tokens: 3, ..Usage::default() }))
}

/// Each delta is flushed; in the mode `constant` there is a tick after each, and one more.
fn answer(responder: Responder, deltas: &[&[u8]], seed: u64) -> Answered {
    let (mut wire, mut rng) = (Vec::new(), TestRng::new(seed));
    let head = ResponseHead::new(200, Some("text/event-stream"), ID);
    let mut writer = responder.begin(&head, &mut rng, &mut wire).unwrap();
    let salt = *writer.salt();
    for delta in deltas {
        writer.write(delta, &mut wire).unwrap();
        writer.flush(&mut wire).unwrap();
        writer.tick(&mut wire).unwrap();
    }
    writer.tick(&mut wire).unwrap();
    let end = writer.close(&mut wire).unwrap();
    let digest = end.response_digest();
    end.finish(&trailer(), &mut wire).unwrap();
    Answered { salt, wire, digest }
}

/// A response as the client sees it.
fn read(
    pending: PendingResponse,
    salt: &ResponseSalt,
    pieces: &[&[u8]],
) -> Result<(ResponseHead, Vec<u8>, Trailer, Option<SealedDigest>), ReadError> {
    let mut reader = pending.open(salt);
    let (mut head, mut body, mut trailer) = (None, Vec::new(), None);
    for mut piece in pieces.iter().copied() {
        while let Some(part) = reader.next(&mut piece)? {
            match part {
                ResponsePart::Head(first) => head = Some(*first),
                ResponsePart::Body(data) => body.extend_from_slice(data),
                ResponsePart::Trailer(last) => trailer = Some(last),
            }
        }
    }
    reader.finish()?;
    let digest = reader.take_digest();
    Ok((head.ok_or(ReadError::Truncated)?, body, trailer.ok_or(ReadError::Truncated)?, digest))
}
