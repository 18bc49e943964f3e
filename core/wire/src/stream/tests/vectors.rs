//! Exchanges and heads that another program made.

use super::*;

fn vectors() -> serde_json::Value {
    serde_json::from_str(include_str!("../../../../../testdata/head.json")).unwrap()
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &serde_json::Value) -> Vec<u8> {
    hex::decode(text(value)).unwrap()
}

#[test]
fn exchanges() {
    let vectors = vectors();
    let exchanges = vectors["exchanges"].as_array().unwrap();
    assert_eq!(exchanges.len(), 9);
    for vector in exchanges {
        let secret = Secret::from_slice(&bytes(&vector["secret"])).unwrap();
        let salt = RequestSalt::parse_header(text(&vector["request_header"])).unwrap();
        assert_eq!(salt.exchange_id().to_string(), text(&vector["exchange"]));
        let wire = bytes(&vector["request"]);
        let (head, body, responder) = receive(&secret, &salt, &[&wire]).unwrap();
        assert_eq!(head.to_json().unwrap(), text(&vector["request_head"]));
        assert_eq!(body, text(&vector["request_body"]).as_bytes());
        let digest = responder.request_digest().map(|digest| hex::encode(digest.0));
        assert_eq!(digest.as_deref(), head.receipt.then(|| text(&vector["request_digest"])));
        // Ours has other nonces and the same length.
        let ours = send(&secret, &head, &body, 1);
        assert_eq!(ours.wire.len(), wire.len());

        let response_salt = ResponseSalt::parse_header(text(&vector["response_header"])).unwrap();
        let keys = key::ExchangeKeys::new(&secret, &salt);
        let pending = PendingResponse::new(keys, head.request_id, head.receipt);
        let wire = bytes(&vector["response"]);
        let (response, body, end, digest) = read(pending, &response_salt, &[&wire]).unwrap();
        assert_eq!(response.to_json().unwrap(), text(&vector["response_head"]));
        assert_eq!(end.to_json().unwrap(), text(&vector["trailer"]));
        let digest = digest.map(|digest| hex::encode(digest.0));
        assert_eq!(digest.as_deref(), head.receipt.then(|| text(&vector["response_digest"])));
        let deltas: Vec<&str> = vector["deltas"].as_array().unwrap().iter().map(text).collect();
        assert_eq!(body, deltas.concat().as_bytes());
        if response.status == 409 {
            let server_time = head.sent.plus(5);
            let send_as = head.sent.plus(120_000);
            assert_eq!(response.clock_skew(), Some(ClockSkew { server_time, send_as }));
        }
        assert_eq!(our_response(responder, &response, &deltas, &end).len(), wire.len());
    }
}

fn our_response(responder: Responder, head: &ResponseHead, deltas: &[&str], end: &Trailer) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = responder.begin(head, &mut TestRng::new(2), &mut out).unwrap();
    for delta in deltas {
        writer.write(delta.as_bytes(), &mut out).unwrap();
        writer.flush(&mut out).unwrap();
    }
    writer.close(&mut out).unwrap().finish(end, &mut out).unwrap();
    out
}

#[test]
fn malformed_heads() {
    let vectors = vectors();
    let heads = vectors["heads"].as_object().unwrap();
    assert_eq!(heads.len(), 22);
    for (name, json) in heads {
        let parsed = RequestHead::parse(text(json).as_bytes());
        let member =
            |member: &str| matches!(&parsed, Err(HeadError::Member { member: found }) if *found == member);
        let as_expected = match name.as_str() {
            "good" => parsed.is_ok(),
            "version" => parsed == Err(HeadError::Version { version: 2 }),
            // A member that is `null` is read as absent, and then the spelling differs.
            "white_space" | "order" | "escape" | "behind" | "null_member" => {
                parsed == Err(HeadError::Json(CanonicalError::NotCanonical))
            }
            "method" | "path" | "model" | "accept" | "manifest" | "padding" => member(name),
            "request_id_short" | "request_id_case" => member("request_id"),
            _ => matches!(parsed, Err(HeadError::Json(CanonicalError::Json { .. }))),
        };
        assert!(as_expected, "{name}: {parsed:?}");
    }
    let long = vec![b' '; RequestHead::MAX_LENGTH + 1];
    let error = CanonicalError::TooLong { length: 16_385, max: 16_384 };
    assert_eq!(RequestHead::parse(&long), Err(HeadError::Json(error)));
}
