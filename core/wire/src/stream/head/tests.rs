use super::*;
use crate::replay::Refusal;
use crate::stream::UnixMillis;

fn request() -> RequestHead {
    RequestHead {
        method: "POST".into(),
        path: "/v1/completions?a=b".into(),
        content_type: None,
        accept: Some("text/event-stream".into()),
        model: Some("m".into()),
        stream: false,
        max_tokens: Some(5),
        n: Some(2),
        shard_key: Some("s".into()),
        ocsp_policy: Some("p".into()),
        request_id: RequestId([1; 16]),
        sent: UnixMillis(5),
        manifest: ManifestDigest([2; 32]),
        padding: crate::stream::Padding::Bucket,
        receipt: false,
    }
}

fn outer() -> Outer<'static> {
    Outer {
        method: "POST",
        path: "/v1/completions?a=b",
        model: Some("m"),
        shard_key: Some("s"),
        max_tokens: Some("5"),
        ocsp_policy: Some("p"),
    }
}

#[test]
fn outer_headers() {
    let head = request();
    let same = outer();
    assert_eq!(head.check_outer(&same), Ok(()));
    for (outer, field) in [
        (Outer { method: "GET", ..same }, HeadField::Method),
        (Outer { path: "/v1/completions", ..same }, HeadField::Path),
        (Outer { model: Some("M"), ..same }, HeadField::Model),
        (Outer { model: None, ..same }, HeadField::Model),
        (Outer { shard_key: Some("t"), ..same }, HeadField::ShardKey),
        (Outer { shard_key: None, ..same }, HeadField::ShardKey),
        (Outer { max_tokens: Some("6"), ..same }, HeadField::MaxTokens),
        (Outer { max_tokens: Some("05"), ..same }, HeadField::MaxTokens),
        (Outer { max_tokens: None, ..same }, HeadField::MaxTokens),
        (Outer { ocsp_policy: Some("q"), ..same }, HeadField::OcspPolicy),
        (Outer { ocsp_policy: None, ..same }, HeadField::OcspPolicy),
    ] {
        assert_eq!(head.check_outer(&outer), Err(HeadMismatch { field }));
    }
    // What the head lacks may not be added outside either.
    let bare = RequestHead { model: None, shard_key: None, max_tokens: None, ocsp_policy: None, ..head };
    for (outer, field) in [
        (same, HeadField::Model),
        (Outer { model: None, ..same }, HeadField::ShardKey),
        (Outer { model: None, shard_key: None, ..same }, HeadField::MaxTokens),
        (Outer { model: None, shard_key: None, max_tokens: None, ..same }, HeadField::OcspPolicy),
    ] {
        assert_eq!(bare.check_outer(&outer), Err(HeadMismatch { field }));
    }
}

#[test]
fn bodies() {
    let head = request();
    let same = BodyFields { model: Some("m"), stream: false, max_tokens: Some(5), n: Some(2) };
    assert_eq!(head.check_body(&same), Ok(()));
    for (body, field) in [
        (BodyFields { model: Some("x"), ..same }, HeadField::Model),
        (BodyFields { stream: true, ..same }, HeadField::Stream),
        (BodyFields { max_tokens: None, ..same }, HeadField::MaxTokens),
        (BodyFields { n: Some(3), ..same }, HeadField::N),
    ] {
        assert_eq!(head.check_body(&body), Err(HeadMismatch { field }));
    }
}

#[test]
fn refusals() {
    let server_time = UnixMillis(7);
    let skew = |refusal: Refusal| {
        let head = ResponseHead::refused(refusal, "application/json", RequestId([1; 16]));
        let parsed = ResponseHead::parse(head.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(parsed, head);
        (parsed.status, parsed.clock_skew())
    };
    let corrected = |send_as| Some(ClockSkew { server_time, send_as: UnixMillis(send_as) });
    assert_eq!(skew(Refusal::Replayed), (409, None));
    assert_eq!(skew(Refusal::Share), (429, None));
    assert_eq!(skew(Refusal::Full), (503, None));
    assert_eq!(skew(Refusal::TooOld { server_time }), (409, corrected(7)));
    assert_eq!(skew(Refusal::FromFuture { server_time }), (409, corrected(7)));
    let before = |not_before| Refusal::BeforeStart { server_time, not_before: UnixMillis(not_before) };
    assert_eq!(skew(before(9)), (409, corrected(9)));
    assert_eq!(skew(before(3)), (409, corrected(7)));
}

#[test]
fn malformed_responses() {
    let member = |member| Err(HeadError::Member { member });
    let id = "01".repeat(16);
    let head = |status: u16, more: &str| {
        let (front, back) = more.split_once('|').unwrap_or((more, ""));
        ResponseHead::parse(
            format!("{{{front}\"request_id\":\"{id}\"{back},\"status\":{status},\"v\":1}}").as_bytes(),
        )
    };
    assert!(head(200, "").is_ok());
    assert_eq!(head(199, ""), member("status"));
    assert_eq!(head(600, ""), member("status"));
    assert_eq!(head(200, "\"refusal\":\"full\","), member("status"));
    assert_eq!(head(409, "\"refusal\":\"too_old\","), member("refusal"));
    assert_eq!(head(409, "\"not_before_ms\":1,"), member("refusal"));
    assert_eq!(head(200, "|,\"server_ms\":1"), member("refusal"));
    assert_eq!(head(200, "\"headers\":{\"X\":\"\"},"), member("headers"));
    assert_eq!(head(200, "\"headers\":{\"x\":\"a\\nb\"},"), member("headers"));
    assert_eq!(head(200, "\"headers\":{},"), Err(HeadError::Json(CanonicalError::NotCanonical)));
    assert_eq!(head(200, "\"content_type\":\"\\n\","), member("content_type"));
    let many: Vec<String> = (10..27).map(|i| format!("\"x-{i}\":\"\"")).collect();
    assert_eq!(head(200, &format!("\"headers\":{{{}}},", many.join(","))), member("headers"));
    let version = format!("{{\"request_id\":\"{id}\",\"status\":200,\"v\":3}}");
    assert_eq!(ResponseHead::parse(version.as_bytes()), Err(HeadError::Version { version: 3 }));
}

#[test]
fn framing() {
    let framed = framed("{}").unwrap();
    assert_eq!(framed, b"\0\0\0\x02{}");
    assert_eq!(split(b"\0\0\0\x02{}body"), Ok((&b"{}"[..], 6)));
    assert_eq!(split(b"\0\0\0"), Err(ReadError::HeadCut));
    assert_eq!(split(b"\0\0\0\x02{"), Err(ReadError::HeadCut));
    assert_eq!(split(&16_385u32.to_be_bytes()), Err(ReadError::HeadTooLong { length: 16_385 }));
    assert_eq!(split(&16_384u32.to_be_bytes()), Err(ReadError::HeadCut));
}
