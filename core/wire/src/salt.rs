//! Makes sure that a request carries a `cache_salt`, which keeps its prompt cache apart from other people's.
//!
//! The worker enforces it again ([`crate::admit`]). protocol.md, section 5.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_core::CryptoRng;

use crate::json::{Editor, JsonError, Object, quote, string_value};
use crate::profile::Endpoint;

/// Shortest salt, in characters.
pub const MIN_SALT: usize = 32;
const MEMBER: &str = "cache_salt";

/// Which salt a request gets that brings none.
#[derive(Clone, PartialEq, Eq)]
pub enum SaltPolicy {
    /// A new random one for each request: nothing is shared.
    Random,
    /// This one: all requests with it share a cache.
    Shared(String),
}

impl SaltPolicy {
    /// One random salt to share, for the life of a proxy.
    pub fn shared_random(rng: &mut dyn CryptoRng) -> SaltPolicy {
        SaltPolicy::Shared(random_salt(rng))
    }
}

/// A salt guards a cache: it is not shown.
impl fmt::Debug for SaltPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SaltPolicy::Random => "Random",
            SaltPolicy::Shared(_) => "Shared(..)",
        })
    }
}

/// Why a request cannot get a salt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaltError {
    /// The body is not a JSON object.
    #[error("the body is not a valid JSON object")]
    Json(#[source] JsonError),
    /// `cache_salt` is not a string.
    #[error("`cache_salt` must be a string")]
    NotAString,
    /// The salt, the request's own or the configured one, can be guessed.
    #[error("`cache_salt` must have at least {MIN_SALT} characters, it has {length}")]
    TooShort {
        /// How many it has.
        length: usize,
    },
}

/// The body with a salt, and the salt. The request's own wins; an endpoint that needs none, and an empty body, stay as they are.
pub fn ensure_salt<'a>(
    endpoint: Endpoint,
    body: &'a [u8],
    policy: &SaltPolicy,
    rng: &mut dyn CryptoRng,
) -> Result<(Cow<'a, [u8]>, Option<String>), SaltError> {
    if !endpoint.requires_cache_salt() || body.is_empty() {
        return Ok((Cow::Borrowed(body), None));
    }
    let object = Object::parse(body).map_err(SaltError::Json)?;
    // Some clients write every option that they know; null is theirs for "not set".
    if let Some(own) = object.get(MEMBER).filter(|own| own.raw != b"null") {
        let salt = string_value(own.raw).ok_or(SaltError::NotAString)?.into_owned();
        check_length(&salt)?;
        return Ok((Cow::Borrowed(body), Some(salt)));
    }
    let salt = match policy {
        SaltPolicy::Random => random_salt(rng),
        SaltPolicy::Shared(salt) => salt.clone(),
    };
    check_length(&salt)?;
    let mut editor = Editor::new(body);
    editor.set(&object, 0, &[(MEMBER, quote(&salt).as_bytes())]);
    Ok((Cow::Owned(editor.finish()), Some(salt)))
}

/// Whether a salt is long enough.
pub fn check_length(salt: &str) -> Result<(), SaltError> {
    let length = salt.chars().count();
    if length < MIN_SALT { Err(SaltError::TooShort { length }) } else { Ok(()) }
}

fn random_salt(rng: &mut dyn CryptoRng) -> String {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_rng::TestRng;

    fn salted(body: &str, policy: &SaltPolicy) -> Result<(String, Option<String>), SaltError> {
        let (body, salt) =
            ensure_salt(Endpoint::ChatCompletions, body.as_bytes(), policy, &mut TestRng::new(1))?;
        Ok((String::from_utf8(body.into_owned()).unwrap(), salt))
    }

    #[test]
    fn own_salt_wins() {
        let body = format!(r#"{{"cache_salt":"{}"}}"#, "a".repeat(32));
        assert_eq!(salted(&body, &SaltPolicy::Random), Ok((body.clone(), Some("a".repeat(32)))));
    }

    #[test]
    fn inserted_in_place() {
        let shared = SaltPolicy::Shared("\"".repeat(32));
        let escaped = "\\\"".repeat(32);
        let (body, salt) = salted("{ \"a\" : 1.0 \n}", &shared).unwrap();
        assert_eq!(body, format!("{{ \"a\" : 1.0,\"cache_salt\":\"{escaped}\" \n}}"));
        assert_eq!(salt, Some("\"".repeat(32)));
        assert_eq!(salted("{ }", &shared).unwrap().0, format!("{{ \"cache_salt\":\"{escaped}\"}}"));
        assert_eq!(
            salted("{\"cache_salt\":null}", &shared).unwrap().0,
            format!("{{\"cache_salt\":\"{escaped}\"}}")
        );
    }

    #[test]
    fn random_salts_differ() {
        let mut rng = TestRng::new(1);
        let mut next =
            || ensure_salt(Endpoint::Messages, b"{}", &SaltPolicy::Random, &mut rng).unwrap().1.unwrap();
        let (first, second) = (next(), next());
        assert_ne!(first, second);
        assert_eq!(first.len(), 44);
    }

    #[test]
    fn refused() {
        let short = "{\"cache_salt\":\"".to_owned() + &"a".repeat(31) + "\"}";
        assert_eq!(salted(&short, &SaltPolicy::Random), Err(SaltError::TooShort { length: 31 }));
        assert_eq!(salted("{}", &SaltPolicy::Shared("short".into())), Err(SaltError::TooShort { length: 5 }));
        assert_eq!(salted("{\"cache_salt\":7}", &SaltPolicy::Random), Err(SaltError::NotAString));
        assert!(matches!(salted("[]", &SaltPolicy::Random), Err(SaltError::Json(_))));
    }

    #[test]
    fn other_endpoints_stay() {
        let result = ensure_salt(Endpoint::Embeddings, b"{}", &SaltPolicy::Random, &mut TestRng::new(1));
        assert_eq!(result, Ok((Cow::Borrowed(b"{}".as_slice()), None)));
    }

    #[test]
    fn debug_hides_the_salt() {
        assert_eq!(format!("{:?}", SaltPolicy::Shared("geheim".into())), "Shared(..)");
    }
}
