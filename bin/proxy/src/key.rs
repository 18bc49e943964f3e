//! API keys: the configured one, or the callers' own. Specification: product.md P6.
//!
//! With a configured key every request goes out under it. Without one each request goes out under its caller's own key,
//! and the first of those also pays for attestation and key exchange; it is dropped when the gateway refuses it, so that
//! the next caller's takes its place. Keys are never logged, and compared in constant time.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, HeaderValue, header};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Longest key that is believed to be one.
const MAX_KEY: usize = 4096;
/// Where Anthropic's clients put their key.
const X_API_KEY: &str = "x-api-key";

/// An API key. Shows itself to nobody.
pub(crate) struct ApiKey(Zeroizing<Box<str>>);

/// Why text is no API key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// Nothing there.
    #[error("the API key is empty")]
    Empty,
    /// It cannot stand in a header.
    #[error("the API key holds characters that no key has (spaces, line breaks or non-ASCII letters)")]
    Characters,
    /// Too long.
    #[error("the API key has more than {MAX_KEY} characters")]
    TooLong,
}

impl ApiKey {
    /// Takes a key, without the white space that files end with.
    ///
    /// # Errors
    /// [`KeyError`] never repeats the text.
    pub(crate) fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.len() > MAX_KEY {
            return Err(KeyError::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KeyError::Characters);
        }
        Ok(Self(Zeroizing::new(text.into())))
    }

    /// `Bearer KEY`, marked so that nothing prints it.
    #[must_use]
    pub(crate) fn authorization(&self) -> HeaderValue {
        let bearer = Zeroizing::new(format!("Bearer {}", &**self.0));
        let mut value = HeaderValue::from_str(&bearer).expect("`parse` admits visible ASCII only");
        value.set_sensitive(true);
        value
    }

    fn is(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// The caller's key: `Authorization: Bearer KEY`, or `x-api-key: KEY`.
    fn of_request(headers: &HeaderMap) -> Option<Self> {
        let bearer =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
                let (scheme, key) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then_some(key)
            });
        let key = bearer.or_else(|| headers.get(X_API_KEY).and_then(|value| value.to_str().ok()))?;
        Self::parse(key).ok()
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ApiKey(..)")
    }
}

/// Which key a call goes out under.
#[derive(Debug)]
pub(crate) struct KeyRing {
    configured: Option<Arc<ApiKey>>,
    /// Without a configured key: the caller's key that attestation runs under.
    borrowed: Mutex<Option<Arc<ApiKey>>>,
}

impl KeyRing {
    /// With the configured key, or for the callers' own.
    #[must_use]
    pub(crate) fn new(configured: Option<ApiKey>) -> Self {
        Self { configured: configured.map(Arc::new), borrowed: Mutex::new(None) }
    }

    /// Whether callers need to bring their own.
    #[must_use]
    pub(crate) fn is_configured(&self) -> bool {
        self.configured.is_some()
    }

    /// The key of a request, or `None` if neither the proxy nor the caller has one.
    #[must_use]
    pub(crate) fn for_request(&self, headers: &HeaderMap) -> Option<Arc<ApiKey>> {
        self.configured.clone().or_else(|| ApiKey::of_request(headers).map(Arc::new))
    }

    /// The key of attestation and key exchange.
    #[must_use]
    pub(crate) fn for_session(&self) -> Option<Arc<ApiKey>> {
        self.configured.clone().or_else(|| self.borrowed().clone())
    }

    /// A caller's key, to be used for the session if there is none. Returns whether it was taken.
    pub(crate) fn offer(&self, key: &Arc<ApiKey>) -> bool {
        if self.configured.is_some() {
            return false;
        }
        let mut borrowed = self.borrowed();
        if borrowed.is_none() {
            *borrowed = Some(Arc::clone(key));
            return true;
        }
        false
    }

    /// The gateway refused this key: no session is renewed with it any more.
    pub(crate) fn refused(&self, key: &ApiKey) {
        let mut borrowed = self.borrowed();
        if borrowed.as_ref().is_some_and(|borrowed| borrowed.is(key)) {
            *borrowed = None;
        }
    }

    fn borrowed(&self) -> std::sync::MutexGuard<'_, Option<Arc<ApiKey>>> {
        self.borrowed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Arc<ApiKey> {
        Arc::new(ApiKey::parse(text).unwrap())
    }

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    }

    fn sent(key: Option<Arc<ApiKey>>) -> Option<String> {
        key.map(|key| key.authorization().to_str().unwrap().to_owned())
    }

    #[test]
    fn nothing_prints_a_key() {
        let key = key("pm-secret");
        assert_eq!(format!("{key:?}"), "ApiKey(..)");
        assert_eq!(format!("{:?}", key.authorization()), "Sensitive");
    }

    #[test]
    fn text_that_is_no_key_is_refused() {
        assert_eq!(ApiKey::parse(" \n").unwrap_err(), KeyError::Empty);
        assert_eq!(ApiKey::parse("two words").unwrap_err(), KeyError::Characters);
        assert_eq!(ApiKey::parse("a\r\nX-Injected: 1").unwrap_err(), KeyError::Characters);
        assert_eq!(ApiKey::parse(&"a".repeat(MAX_KEY + 1)).unwrap_err(), KeyError::TooLong);
        assert_eq!(sent(Some(key("  abc\n"))), Some("Bearer abc".to_owned()));
    }

    #[test]
    fn a_configured_key_replaces_the_callers() {
        let ring = KeyRing::new(Some(ApiKey::parse("configured").unwrap()));
        let caller = headers("authorization", "Bearer caller");
        assert_eq!(sent(ring.for_request(&caller)), Some("Bearer configured".to_owned()));
        assert!(!ring.offer(&key("caller")));
        ring.refused(&key("configured"));
        assert_eq!(sent(ring.for_session()), Some("Bearer configured".to_owned()), "a configured key stays");
    }

    #[test]
    fn callers_keys_pass_and_the_first_one_is_borrowed_until_refused() {
        let ring = KeyRing::new(None);
        assert!(ring.for_request(&HeaderMap::new()).is_none());
        assert!(ring.for_request(&headers("authorization", "Basic abc")).is_none());
        assert_eq!(
            sent(ring.for_request(&headers("authorization", "bearer a"))),
            Some("Bearer a".to_owned())
        );
        assert_eq!(sent(ring.for_request(&headers("x-api-key", "b"))), Some("Bearer b".to_owned()));

        assert!(ring.for_session().is_none());
        assert!(ring.offer(&key("a")));
        assert!(!ring.offer(&key("b")), "one is enough");
        ring.refused(&key("b"));
        assert_eq!(sent(ring.for_session()), Some("Bearer a".to_owned()), "another one's refusal");
        ring.refused(&key("a"));
        assert!(ring.for_session().is_none());
        assert!(ring.offer(&key("b")));
    }
}
