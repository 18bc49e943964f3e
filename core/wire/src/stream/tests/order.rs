//! What may follow what.

use super::*;

#[test]
fn an_exchange() {
    for padding in ["off", "bucket", "constant/256/20"].map(|text| text.parse().unwrap()) {
        for receipt in [false, true] {
            let (secret, head) = (secret(1), head(padding, receipt));
            let sent = send(&secret, &head, b"{\"a\":1}", 1);
            let (seen, body, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
            assert_eq!((&seen, body.as_slice()), (&head, &b"{\"a\":1}"[..]));
            assert_eq!((sent.digest.is_some(), sent.digest), (receipt, responder.request_digest()));
            let answered = answer(responder, &[b"one", b"", b"three"], 2);
            let (head, body, end, digest) = read(sent.pending, &answered.salt, &[&answered.wire]).unwrap();
            assert_eq!((head.status, body.as_slice()), (200, &b"onethree"[..]));
            assert_eq!(end, trailer());
            assert_eq!((digest.is_some(), digest), (receipt, answered.digest));
        }
    }
}

#[test]
fn lengths_are_known_before_anything_is_sent() {
    for padding in ["off", "bucket", "constant/256/20"].map(|text| text.parse().unwrap()) {
        for length in [0usize, 1, 500, 65_534, 200_000] {
            let (secret, head) = (secret(1), head(padding, false));
            let (writer, _) = RequestWriter::begin(&secret, &head, &mut TestRng::new(1)).unwrap();
            let sent = send(&secret, &head, &vec![b'x'; length], 1);
            assert_eq!(writer.wire_length(length as u64), sent.wire.len() as u64);
            let (_, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
            let tokens = writer.length_tokens(length as u64);
            assert_eq!(responder.check_length_tokens(Some(&tokens.to_string())), Ok(()));
            assert_eq!(responder.check_length_tokens(None), Ok(()));
            let mismatch = HeadMismatch { field: HeadField::ContentLengthTokens };
            for wrong in [format!("0{tokens}"), (tokens + 1).to_string(), String::new()] {
                assert_eq!(responder.check_length_tokens(Some(&wrong)), Err(mismatch));
            }
        }
    }
}

#[test]
fn an_early_refusal_is_sealed_and_a_success_is_not_possible() {
    let (secret, head) = (secret(1), head(Padding::Bucket, false));
    let sent = send(&secret, &head, &[b'x'; 100_000], 1);
    let half = || {
        let mut reader = RequestReader::new(&secret, &sent.salt);
        assert!(matches!(reader.next(&mut &sent.wire[..70_000]), Ok(Some(RequestPart::Head(_)))));
        reader
    };
    assert_eq!(half().finish().err(), Some(ReadError::Truncated));
    let mut out = Vec::new();
    let success = ResponseHead::new(200, None, ID);
    let refused = half().refuse().unwrap().begin(&success, &mut TestRng::new(2), &mut out);
    assert_eq!(refused.err(), Some(WriteError::RequestIncomplete { status: 200 }));

    let too_large = ResponseHead::new(413, Some("application/json"), ID);
    let mut writer = half().refuse().unwrap().begin(&too_large, &mut TestRng::new(2), &mut out).unwrap();
    writer.write(b"{\"error\":{}}", &mut out).unwrap();
    let salt = *writer.salt();
    writer.close(&mut out).unwrap().finish(&Trailer::complete(None), &mut out).unwrap();
    let (head, body, ..) = read(sent.pending, &salt, &[&out]).unwrap();
    assert_eq!((head.status, body.as_slice()), (413, &b"{\"error\":{}}"[..]));
}

#[test]
fn nobody_is_answered_before_the_head() {
    assert!(RequestReader::new(&secret(1), &RequestSalt::from_bytes([0; 32])).refuse().is_none());
}

#[test]
fn an_untaken_piece_is_not_a_whole_request() {
    let (secret, head) = (secret(1), head(Padding::Off, false));
    let sent = send(&secret, &head, b"body", 1);
    let mut reader = RequestReader::new(&secret, &sent.salt);
    assert!(matches!(reader.next(&mut &sent.wire[..]), Ok(Some(RequestPart::Head(_)))));
    assert_eq!(reader.finish().err(), Some(ReadError::Truncated));
}

#[test]
fn answers_name_their_request() {
    let (secret, head) = (secret(1), head(Padding::Off, false));
    let sent = send(&secret, &head, b"body", 1);
    let (_, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
    let other = ResponseHead::new(200, None, RequestId::from_bytes([2; 16]));
    let error = responder.begin(&other, &mut TestRng::new(1), &mut Vec::new()).err();
    assert_eq!(error, Some(WriteError::RequestId));
    // A worker that does it nevertheless is found out.
    let other = RequestHead { request_id: RequestId::from_bytes([2; 16]), ..head };
    let keys = key::ExchangeKeys::new(&secret, &sent.salt);
    let answered = {
        let (mut out, mut rng) = (Vec::new(), TestRng::new(3));
        let responder = Responder::new(keys, &other, None, 0, true);
        let head = ResponseHead::new(200, None, other.request_id);
        let writer = responder.begin(&head, &mut rng, &mut out).unwrap();
        let salt = *writer.salt();
        writer.close(&mut out).unwrap().finish(&trailer(), &mut out).unwrap();
        (salt, out)
    };
    assert_eq!(read(sent.pending, &answered.0, &[&answered.1]).err(), Some(ReadError::RequestId));
}

#[test]
fn a_dropped_writer_leaves_a_truncated_answer() {
    let (secret, head) = (secret(1), head(Padding::Bucket, false));
    let sent = send(&secret, &head, b"body", 1);
    let (_, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
    let mut out = Vec::new();
    let mut writer =
        responder.begin(&ResponseHead::new(200, None, ID), &mut TestRng::new(2), &mut out).unwrap();
    writer.write(b"half", &mut out).unwrap();
    writer.flush(&mut out).unwrap();
    let salt = *writer.salt();
    drop(writer);
    assert_eq!(read(sent.pending, &salt, &[&out]).err(), Some(ReadError::Truncated));
}

#[test]
fn constant_records_look_alike() {
    let record = 256 + 33;
    let padding: Padding = "constant/256/20".parse().unwrap();
    let (secret, head) = (secret(1), head(padding, false));
    let sent = send(&secret, &head, b"body", 1);
    let (_, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
    let mut out = Vec::new();
    let response = ResponseHead::new(200, None, ID);
    let mut writer = responder.begin(&response, &mut TestRng::new(2), &mut out).unwrap();
    let salt = *writer.salt();
    assert_eq!(writer.interval_millis(), Some(20));
    let mut seen = out.len();
    for text in ["", "a", "bcd", &"e".repeat(300), "", ""] {
        writer.write(text.as_bytes(), &mut out).unwrap();
        writer.flush(&mut out).unwrap();
        assert_eq!(out.len(), seen, "neither events nor flushes show");
        writer.tick(&mut out).unwrap();
        assert_eq!(out.len() - seen, record);
        seen = out.len();
    }
    assert_eq!(writer.waiting(), 0);
    let end = writer.close(&mut out).unwrap();
    assert_eq!(out.len(), seen);
    end.finish(&trailer(), &mut out).unwrap();
    let (_, body, ..) = read(sent.pending, &salt, &[&out]).unwrap();
    assert_eq!(body.len(), 304);
}

#[test]
fn the_longest_head_and_trailer_fit_the_first_and_last_segment() {
    for padding in ["off", "bucket", "constant/256/20", "constant/32769/20", "constant/65536/20"] {
        let padding: Padding = padding.parse().unwrap();
        let (secret, mut head) = (secret(1), head(padding, false));
        head.shard_key = Some("s".repeat(4096));
        head.path = format!("/{}", "p".repeat(2047));
        let sent = send(&secret, &head, &[b'x'; 70_000], 1);
        let (seen, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
        assert_eq!(seen, head);
        let mut response = ResponseHead::new(200, None, ID);
        for i in 0..15 {
            response.headers.insert(format!("x-{i}"), "v".repeat(1024));
        }
        let (mut out, mut rng) = (Vec::new(), TestRng::new(2));
        let writer = responder.begin(&response, &mut rng, &mut out).unwrap();
        let salt = *writer.salt();
        writer.close(&mut out).unwrap().finish(&trailer(), &mut out).unwrap();
        assert_eq!(read(sent.pending, &salt, &[&out]).unwrap().0, response);
    }
}

#[test]
fn oversize_heads_are_not_sent() {
    let mut response = ResponseHead::new(200, None, ID);
    for i in 0..16 {
        response.headers.insert(format!("x-{i}"), "v".repeat(1024));
    }
    let (secret, head) = (secret(1), head(Padding::Off, false));
    let sent = send(&secret, &head, b"", 1);
    let (_, _, responder) = receive(&secret, &sent.salt, &[&sent.wire]).unwrap();
    let error = responder.begin(&response, &mut TestRng::new(2), &mut Vec::new()).err().unwrap();
    assert!(matches!(error, WriteError::Head(HeadError::Json(CanonicalError::TooLong { max: 16_384, .. }))));
}

#[test]
fn the_end_of_a_large_request_comes_piece_by_piece() {
    let (secret, head) = (secret(1), head(Padding::Bucket, true));
    let body = vec![b'x'; 16 << 20];
    let (mut writer, _) = RequestWriter::begin(&secret, &head, &mut TestRng::new(1)).unwrap();
    let (salt, mut wire) = (*writer.salt(), Vec::new());
    writer.write(&body, &mut wire).unwrap();
    let (mut end, mut more, mut pieces) = (writer.end(), true, 0);
    while more {
        // Cut off anywhere before the last piece, it is no request.
        let cut = receive(&secret, &salt, &[&wire]).err();
        assert_eq!(cut, Some(ReadError::Truncated));
        let mut piece = Vec::new();
        more = end.write(&mut piece).unwrap();
        assert!(!piece.is_empty() && piece.len() <= (64 << 10) + 64, "{}", piece.len());
        wire.extend_from_slice(&piece);
        pieces += 1;
    }
    assert!(pieces >= 2, "{pieces}: the padding is longer than a segment");
    let mut nothing = Vec::new();
    assert!(!end.write(&mut nothing).unwrap() && nothing.is_empty(), "behind the end");
    // The same bytes as at once.
    let sent = send(&secret, &head, &body, 1);
    assert_eq!((&wire, end.digest()), (&sent.wire, sent.digest));
}

#[test]
fn a_request_without_its_end_has_no_digest() {
    let (writer, _) =
        RequestWriter::begin(&secret(1), &head(Padding::Bucket, true), &mut TestRng::new(1)).unwrap();
    assert_eq!(writer.end().digest(), None);
}
