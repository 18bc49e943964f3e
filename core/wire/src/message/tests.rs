//! Whole exchanges: against the vectors, against themselves, and against a gateway that meddles.

mod forms;
mod properties;
mod streams;
mod tampering;
mod vectors;

use super::*;
use crate::profile::Endpoint;
use crate::secret::{Secret, SecretId};
use crate::test_rng::TestRng;

const CHAT: Endpoint = Endpoint::ChatCompletions;

fn secret() -> Secret {
    Secret::from_slice(&[7; 32]).unwrap()
}

fn id() -> SecretId {
    SecretId::parse("id").unwrap()
}

fn seal_request(endpoint: Endpoint, body: &[u8], seed: u64) -> (Vec<u8>, ResponseOpener) {
    let mut rng = TestRng::new(seed);
    let mut sealer = RequestSealer::new(&id(), &secret(), &mut rng);
    let sealed = sealer.seal(endpoint, None, body, &mut rng).unwrap();
    (sealed, sealer.finish())
}

fn open_request(endpoint: Endpoint, sealed: &[u8]) -> Result<(Vec<u8>, ResponseSealer), OpenError> {
    let mut opener = RequestOpener::new(&id(), &secret());
    let opened = opener.open(endpoint, None, sealed)?;
    Ok((opened, opener.finish(&mut TestRng::new(99))))
}

/// Both ends of one exchange whose request was `{"messages":1,"temperature":2}`, and that request sealed.
fn exchange() -> (Vec<u8>, ResponseOpener, ResponseSealer) {
    let (sealed, opener) = seal_request(CHAT, br#"{"messages":1,"temperature":2}"#, 1);
    let (_, sealer) = open_request(CHAT, &sealed).unwrap();
    (sealed, opener, sealer)
}

#[test]
fn plain_members_and_white_space_stay() {
    let body = br#"{ "model" : "m" , "n":1,"x": [1.0,"\u00e9" ] ,"stream":false, "stream_options":{} }"#;
    let (sealed, _) = seal_request(CHAT, body, 1);
    let text = String::from_utf8(sealed.clone()).unwrap();
    assert!(text.starts_with(r#"{ "model" : "m" , "n":1,"x": "id:"#), "{text}");
    assert!(text.ends_with(r#"" ,"stream":false, "stream_options":{} }"#), "{text}");
    assert_eq!(open_request(CHAT, &sealed).unwrap().0, body);
}

#[test]
fn every_endpoint_has_its_own_plain_list() {
    let body = br#"{"model":"m","max_tokens":1,"max_output_tokens":2,"stream":true}"#;
    for (endpoint, plain) in [
        (Endpoint::ChatCompletions, vec!["model", "max_tokens", "stream"]),
        (Endpoint::Responses, vec!["model", "max_output_tokens", "stream"]),
        (Endpoint::Messages, vec!["model", "stream"]),
        (Endpoint::Embeddings, vec!["model"]),
    ] {
        let (sealed, _) = seal_request(endpoint, body, 1);
        let object = crate::json::Object::parse(&sealed).unwrap();
        let kept: Vec<&str> =
            object.members().iter().filter(|m| !m.raw.starts_with(b"\"id:")).map(|m| &*m.name).collect();
        assert_eq!(kept, plain, "{endpoint:?}");
        assert_eq!(open_request(endpoint, &sealed).unwrap().0, body);
    }
}

#[test]
fn empty_bodies_pass() {
    let (sealed, mut opener) = seal_request(CHAT, b"", 1);
    assert_eq!(sealed, b"");
    let (opened, mut sealer) = open_request(CHAT, b"").unwrap();
    assert_eq!(opened, b"");
    assert_eq!(sealer.seal(CHAT, b"", &mut TestRng::new(1)), Ok(Vec::new()));
    assert_eq!(opener.open(CHAT, b""), Ok(Vec::new()));
}

#[test]
fn bodies_that_are_no_documents() {
    let mut rng = TestRng::new(1);
    let mut sealer = RequestSealer::new(&id(), &secret(), &mut rng);
    for body in ["\"text\"", "7", "null", "{", "{\"a\":1,\"\\u0061\":2}", "{}x"] {
        let error = sealer.seal(CHAT, None, body.as_bytes(), &mut rng).unwrap_err();
        assert!(matches!(error, SealError::Json(_)), "{body}: {error:?}");
        assert!(matches!(open_request(CHAT, body.as_bytes()), Err(OpenError::Json(_))), "{body}");
    }
    // A refused body uses up no sequence number.
    let sealed = sealer.seal(CHAT, None, b"{\"a\":1}", &mut rng).unwrap();
    assert_eq!(open_request(CHAT, &sealed).unwrap().0, b"{\"a\":1}");
}

#[test]
fn old_key_lengths() {
    for length in [16, 24, 32] {
        let secret = Secret::from_slice(&vec![9; length]).unwrap();
        let mut rng = TestRng::new(1);
        let sealed =
            RequestSealer::new(&id(), &secret, &mut rng).seal(CHAT, None, b"{\"a\":1}", &mut rng).unwrap();
        assert_eq!(RequestOpener::new(&id(), &secret).open(CHAT, None, &sealed).unwrap(), b"{\"a\":1}");
    }
}

#[test]
fn a_response_continues_its_own_counter() {
    let (_, mut opener, mut sealer) = exchange();
    let mut rng = TestRng::new(3);
    for body in
        [br#"{"id":"1","choices":[],"object":"o"}"#.as_slice(), b"[1,2,3]", br#"{"error":{"message":"m"}}"#]
    {
        let sealed = sealer.seal(CHAT, body, &mut rng).unwrap();
        assert_eq!(opener.open(CHAT, &sealed).unwrap(), body);
    }
}

#[test]
fn unstructured_is_one_value() {
    let body = b"--b\r\nanything: not json \0\xff";
    let (sealed, _) = seal_request(Endpoint::Unstructured, body, 1);
    assert!(sealed.starts_with(b"\"id:") && sealed.ends_with(b"\""));
    assert_eq!(open_request(Endpoint::Unstructured, &sealed).unwrap().0, body);
}

#[test]
fn a_request_without_sealed_fields_fixes_no_nonce() {
    let (sealed, mut opener) = seal_request(CHAT, br#"{"model":"m"}"#, 1);
    assert_eq!(sealed, br#"{"model":"m"}"#);
    let (_, mut sealer) = open_request(CHAT, &sealed).unwrap();
    let response = sealer.seal(CHAT, br#"{"choices":1}"#, &mut TestRng::new(1)).unwrap();
    assert_eq!(opener.open(CHAT, &response), Err(OpenError::WrongNonce { name: "choices".into() }));
}

#[test]
fn attack_an_answer_of_plain_members_only() {
    let (_, mut opener, _) = exchange();
    for body in [" {}", r#"{"id":"x","usage":{"total_tokens":1}}"#] {
        assert_eq!(opener.open(CHAT, body.as_bytes()), Err(OpenError::NothingSealed), "{body}");
    }
    assert_eq!(opener.open(Endpoint::Unstructured, b"[]"), Ok(b"[]".to_vec()), "a document without text");
}
