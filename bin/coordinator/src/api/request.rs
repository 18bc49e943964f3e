//! Reads requests: type, size, JSON, base64 — in this order, so that nothing is parsed before it is capped.

use axum::body::{Body, Bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Request, header};
use privatemode_service::body::read_limited;
use serde::de::DeserializeOwned;
use zeroize::Zeroize as _;

use super::Fault;

/// Reads a JSON request of at most `max` bytes.
pub(crate) async fn json<T: DeserializeOwned>(request: Request<Body>, max: usize) -> Result<T, Fault> {
    check_content_type(request.headers())?;
    let body = read_limited(request.into_body(), max).await.map_err(|source| Fault::Body { source })?;
    serde_json::from_slice(&body).map_err(|source| Fault::Json { source })
}

/// Reads a JSON request of at most `max` bytes, and leaves it to the caller to parse it: it holds a secret.
pub(crate) async fn body(request: Request<Body>, max: usize) -> Result<Bytes, Fault> {
    check_content_type(request.headers())?;
    read_limited(request.into_body(), max).await.map_err(|source| Fault::Body { source })
}

/// Wipes a body, as far as nobody else holds it.
pub(crate) fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.as_mut().zeroize();
    }
}

/// Decodes the hash of a transition.
pub(crate) fn transition(member: &'static str, text: &str) -> Result<[u8; 32], Fault> {
    let wrong = || Fault::Transition { member };
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        // a sign would pass for a digit
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}

/// Decodes a nonce of exactly 32 bytes.
pub(crate) fn nonce(text: &str) -> Result<[u8; 32], Fault> {
    let bytes = base64("Nonce", text)?;
    <[u8; 32]>::try_from(bytes).map_err(|bytes| Fault::NonceLength { len: bytes.len() })
}

pub(crate) fn base64(member: &'static str, text: &str) -> Result<Vec<u8>, Fault> {
    STANDARD.decode(text).map_err(|source| Fault::Base64 { member, source })
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Fault> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    // two of them may mean different things to whoever is in front of us
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Fault::ContentType);
    };
    let kind = value.to_str().ok().and_then(|text| text.split(';').next()).map(str::trim);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        Ok(())
    } else {
        Err(Fault::ContentType)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, value.parse().unwrap());
        }
        check_content_type(&headers).is_ok()
    }

    #[test]
    fn one_content_type_and_it_is_json() {
        assert!(check(&["application/json"]));
        assert!(check(&["Application/JSON; charset=utf-8"]));
        for wrong in
            [&[][..], &["text/plain"], &["application/jsonx"], &["application/json", "application/json"]]
        {
            assert!(!check(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn transitions_have_64_digits() {
        assert_eq!(transition("x", &"aF".repeat(32)).unwrap(), [0xaf; 32]);
        for wrong in
            ["", "aa", &"a".repeat(63), &"a".repeat(65), &"g".repeat(64), &"+1".repeat(32), &"é".repeat(32)]
        {
            assert!(matches!(transition("x", wrong), Err(Fault::Transition { member: "x" })), "{wrong}");
        }
    }

    #[test]
    fn nonces_have_32_bytes() {
        assert_eq!(nonce(&STANDARD.encode([7; 32])).unwrap(), [7; 32]);
        for len in [0, 1, 31, 33, 64] {
            let refused = nonce(&STANDARD.encode(vec![7; len])).unwrap_err();
            assert!(matches!(refused, Fault::NonceLength { len: named } if named == len));
        }
        assert!(matches!(nonce("%"), Err(Fault::Base64 { member: "Nonce", .. })));
    }
}
