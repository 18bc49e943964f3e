//! Parsers of `core/wire`.

use privatemode_wire::message::RequestOpener;
use privatemode_wire::multipart::Form;
use privatemode_wire::receipt::SignedReceipt;
use privatemode_wire::stream::outer::{RequestSalt, ResponseSalt, parse_count, parse_usage};
use privatemode_wire::stream::{RequestHead, RequestReader, ResponseHead, Trailer};
use privatemode_wire::{Endpoint, Secret, SecretId, json, sse};

pub(crate) fn json(data: &[u8]) {
    let _ = json::Object::parse(data);
    let _ = json::Array::parse(data);
}

pub(crate) fn sse(data: &[u8]) {
    let look = |event: sse::Event<'_>| {
        let _ = event.data();
        Ok::<(), sse::SseError>(())
    };
    let mut framer = sse::Framer::new();
    for part in data.chunks(7) {
        if framer.push(part, look).is_err() {
            return;
        }
    }
    let _ = framer.finish();
}

pub(crate) fn multipart(data: &[u8]) {
    let _ = Form::parse("multipart/form-data; boundary=b", data);
}

/// Sealed fields under a known secret: whatever opens was not sealed by us.
pub(crate) fn sealed_fields(data: &[u8]) {
    let secret = Secret::from_slice(&[7; 32]).expect("a length that is allowed");
    let id = SecretId::parse("id").expect("an ID");
    for endpoint in [Endpoint::ChatCompletions, Endpoint::Messages, Endpoint::Unstructured] {
        let _ = RequestOpener::new(&id, &secret).open(endpoint, Some("application/json"), data);
    }
    let form = Some("multipart/form-data; boundary=b");
    let _ = RequestOpener::new(&id, &secret).open(Endpoint::Transcriptions, form, data);
}

/// A sealed body, in pieces: nothing that a stranger makes opens.
pub(crate) fn sealed_body(data: &[u8]) {
    let secret = Secret::from_slice(&[7; 32]).expect("a length that is allowed");
    let mut reader = RequestReader::new(&secret, &RequestSalt::from_bytes([1; 32]));
    for part in data.chunks(97) {
        let mut input = part;
        match reader.next(&mut input) {
            Ok(Some(_)) => panic!("a stranger's segment opened"),
            Ok(None) => {}
            Err(_) => return,
        }
    }
    assert!(reader.finish().is_err());
}

/// What comes out of a segment is authentic, and still parsed strictly: whatever parses has one spelling.
pub(crate) fn heads(data: &[u8]) {
    if let Ok(head) = RequestHead::parse(data) {
        assert_eq!(head.to_json().expect("what was parsed can be written").as_bytes(), data);
    }
    if let Ok(head) = ResponseHead::parse(data) {
        assert_eq!(head.to_json().expect("what was parsed can be written").as_bytes(), data);
    }
    if let Ok(trailer) = Trailer::parse(data) {
        assert_eq!(trailer.to_json().expect("what was parsed can be written").as_bytes(), data);
    }
}

pub(crate) fn receipt(data: &[u8]) {
    if let Ok(receipt) = SignedReceipt::parse(data) {
        assert_eq!(receipt.to_json().as_bytes(), data);
    }
}

pub(crate) fn outer_headers(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(salt) = RequestSalt::parse_header(text) {
        assert_eq!(salt.to_header(), text);
    }
    let _ = ResponseSalt::parse_header(text);
    let _ = parse_usage(text);
    if let Some(count) = parse_count(text) {
        assert_eq!(count.to_string(), text);
    }
}
