//! Headers on their way through: what is dropped, what is added, what is made safe for the log. protocol.md, section 2.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use privatemode_wire::header::{self as names, connection_options, is_hop_by_hop, sanitize_id};
use privatemode_wire::stream::outer::{ExchangeId, REQUEST_HEADER, RequestSalt};
use uuid::Uuid;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID);
const ENCRYPTED: HeaderName = HeaderName::from_static(names::ENCRYPTED);

/// The caller's credentials: the gateway's business, never the worker's.
const CREDENTIALS: [HeaderName; 3] =
    [header::AUTHORIZATION, HeaderName::from_static("x-api-key"), header::COOKIE];

/// What describes this connection, or would keep the usage from being read.
const REPLACED: [HeaderName; 4] =
    [header::HOST, header::CONTENT_LENGTH, header::EXPECT, header::ACCEPT_ENCODING];

/// The gateway's name for a request: a UUIDv7.
#[derive(Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn new() -> RequestId {
        let text = Uuid::now_v7().to_string();
        RequestId(HeaderValue::from_str(&text).expect("a UUID is a header value"))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The headers for the worker.
pub(crate) fn to_worker(mut headers: HeaderMap, id: &RequestId, remote: Option<IpAddr>) -> HeaderMap {
    drop_hop_by_hop(&mut headers);
    for name in CREDENTIALS.iter().chain(&REPLACED) {
        headers.remove(name);
    }
    headers.insert(REQUEST_ID, id.0.clone());
    if let Some(chain) = forwarded_for(&headers, remote) {
        headers.insert(FORWARDED_FOR, chain);
    }
    headers
}

/// The worker's headers, for the caller.
pub(crate) fn to_caller(headers: &mut HeaderMap, id: &RequestId) {
    drop_hop_by_hop(headers);
    headers.insert(REQUEST_ID, id.0.clone());
}

/// Marks an answer as the gateway's own: plain, and not from behind the encryption.
pub(crate) fn mark_own(headers: &mut HeaderMap, id: &RequestId) {
    headers.insert(REQUEST_ID, id.0.clone());
    headers.insert(ENCRYPTED, HeaderValue::from_static("false"));
}

/// An identifier that the caller sent, safe for the log; empty where there is none.
pub(crate) fn foreign_id(headers: &HeaderMap, name: &'static str) -> String {
    headers
        .get(name)
        .map_or_else(String::new, |value| sanitize_id(&String::from_utf8_lossy(value.as_bytes())))
}

/// The exchange that a sealed body begins, by its salt; `None` where there is none that a worker would take.
pub(crate) fn exchange_id(headers: &HeaderMap) -> Option<ExchangeId> {
    let mut salts = headers.get_all(REQUEST_HEADER).iter();
    let (Some(salt), None) = (salts.next(), salts.next()) else { return None };
    RequestSalt::parse_header(salt.to_str().ok()?).ok().map(|salt| salt.exchange_id())
}

fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(connection_options)
        .filter_map(|name| name.parse().ok())
        .collect();
    let standard: Vec<HeaderName> =
        headers.keys().filter(|name| is_hop_by_hop(name.as_str())).cloned().collect();
    for name in nominated.iter().chain(&standard) {
        headers.remove(name);
    }
}

fn forwarded_for(headers: &HeaderMap, remote: Option<IpAddr>) -> Option<HeaderValue> {
    let before =
        headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned);
    let chain: Vec<String> = before.chain(remote.map(|address| address.to_string())).collect();
    HeaderValue::from_str(&chain.join(", ")).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_gets() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer pm-x"),
            ("x-api-key", "pm-x"),
            ("cookie", "a=b"),
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("x-request-id", "from outside"),
            ("x-forwarded-for", "10.0.0.1"),
            ("privatemode-client", "SDK"),
            ("privatemode-secret-id", "abc"),
            ("content-type", "application/json"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let id = RequestId::new();
        let sent = to_worker(headers, &id, Some("192.0.2.7".parse().unwrap()));
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "content-type",
                "privatemode-client",
                "privatemode-secret-id",
                "x-forwarded-for",
                "x-request-id"
            ]
        );
        assert_eq!(sent["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
        assert_eq!(sent["x-request-id"], id.as_str());
        assert_eq!(sent["privatemode-client"], "SDK");
    }

    #[test]
    fn an_exchange_is_named_by_the_one_salt_there_is() {
        let salt = RequestSalt::from_bytes([5; 32]);
        let headers = |salts: &[&str]| {
            let salts = salts.iter().map(|salt| HeaderValue::from_str(salt).unwrap());
            salts.map(|salt| (HeaderName::from_static(REQUEST_HEADER), salt)).collect::<HeaderMap>()
        };
        let text = salt.to_header();
        assert_eq!(exchange_id(&headers(&[&text])), Some(salt.exchange_id()));
        for none in [&[][..], &["x"], &[&text, &text]] {
            assert_eq!(exchange_id(&headers(none)), None, "{none:?}");
        }
    }

    #[test]
    fn foreign_ids_cannot_forge_log_lines() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(b"a b\xffc").unwrap());
        assert_eq!(foreign_id(&headers, names::REQUEST_ID), "a?b?c");
        assert_eq!(foreign_id(&headers, names::USER_REQUEST_ID), "");
    }
}
