//! What a body says of itself and the head of a sealed body repeats: one reading for clients and workers.
//!
//! Strict about types, because engines are not: many take `"n":"2"` for 2 and `"stream":1` for true. What one reader skips
//! and the next one runs would be neither limited, nor billed, nor what the head says.

use crate::json::Object;
use crate::profile::Endpoint;

/// The members of one body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// `stream`; absent and null are false.
    pub stream: bool,
    /// The endpoint's limit of tokens.
    pub max_tokens: Option<u64>,
    /// `n`, where the endpoint has it.
    pub n: Option<u64>,
}

/// A member of a type that two readers may read differently (400).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatedError {
    /// `stream` of a document.
    #[error("`stream` must be true, false or null")]
    Stream,
    /// `stream` of a form.
    #[error("`stream` must be true or false")]
    FormStream,
    /// A count.
    #[error("`{member}` must be a whole number from 0 on, written in digits alone, or null")]
    Count {
        /// Which.
        member: &'static str,
    },
}

impl StatedError {
    /// The member's name.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            StatedError::Stream | StatedError::FormStream => "stream",
            StatedError::Count { member } => member,
        }
    }
}

impl Stated {
    /// Reads a JSON body.
    pub fn of(endpoint: Endpoint, object: &Object<'_>) -> Result<Stated, StatedError> {
        let limits: &[&'static str] = match endpoint {
            // As engines read them: the newer name wins.
            Endpoint::ChatCompletions => &["max_completion_tokens", "max_tokens"],
            Endpoint::Completions | Endpoint::Messages => &["max_tokens"],
            Endpoint::Responses => &["max_output_tokens"],
            Endpoint::Embeddings
            | Endpoint::Transcriptions
            | Endpoint::Translations
            | Endpoint::Unstructured => &[],
        };
        let mut max_tokens = None;
        for member in limits {
            // Each of them, the one that does not count too: an engine may know only that one.
            let found = count(object, member)?;
            max_tokens = max_tokens.or(found);
        }
        let has_n = matches!(endpoint, Endpoint::ChatCompletions | Endpoint::Completions);
        let n = if has_n { count(object, "n")? } else { None };
        Ok(Stated { stream: stream(object)?, max_tokens, n })
    }

    /// `stream` of a form: what engines may read as true, and what none does.
    pub fn form_stream(value: Option<&[u8]>) -> Result<bool, StatedError> {
        match value.map(<[u8]>::to_ascii_lowercase).as_deref() {
            Some(b"true" | b"1") => Ok(true),
            None | Some(b"false" | b"0" | b"") => Ok(false),
            Some(_) => Err(StatedError::FormStream),
        }
    }
}

fn stream(object: &Object<'_>) -> Result<bool, StatedError> {
    match object.get("stream").map(|stream| stream.raw) {
        Some(b"true") => Ok(true),
        None | Some(b"false" | b"null") => Ok(false),
        Some(_) => Err(StatedError::Stream),
    }
}

/// Digits alone: `2.0` and `2e0` are whole numbers to some engines, and none to others.
fn count(object: &Object<'_>, member: &'static str) -> Result<Option<u64>, StatedError> {
    let Some(found) = object.get(member).filter(|found| found.raw != b"null") else { return Ok(None) };
    let digits = std::str::from_utf8(found.raw).ok().filter(|raw| raw.bytes().all(|b| b.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(count) => Ok(Some(count)),
        None => Err(StatedError::Count { member }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated(endpoint: Endpoint, body: &str) -> Result<Stated, StatedError> {
        Stated::of(endpoint, &Object::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn each_endpoint_has_its_limit() {
        let body = r#"{"stream":true,"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"n":4}"#;
        let both = |max_tokens, n| Ok(Stated { stream: true, max_tokens, n });
        assert_eq!(stated(Endpoint::ChatCompletions, body), both(Some(2), Some(4)));
        assert_eq!(stated(Endpoint::Completions, body), both(Some(1), Some(4)));
        assert_eq!(stated(Endpoint::Messages, body), both(Some(1), None));
        assert_eq!(stated(Endpoint::Responses, body), both(Some(3), None));
        assert_eq!(stated(Endpoint::Embeddings, body), both(None, None));
        let nulls = r#"{"stream":null,"max_tokens":5,"max_completion_tokens":null,"n":null}"#;
        let expected = Stated { max_tokens: Some(5), ..Stated::default() };
        assert_eq!(stated(Endpoint::ChatCompletions, nulls), Ok(expected));
    }

    #[test]
    fn what_engines_would_convert_is_refused() {
        for odd in ["\"2\"", "2.0", "2e0", "-1", "-0", "true", "[2]", "{}", "\"\"", "18446744073709551616"] {
            for (endpoint, member) in [
                (Endpoint::ChatCompletions, "n"),
                (Endpoint::ChatCompletions, "max_tokens"),
                (Endpoint::ChatCompletions, "max_completion_tokens"),
                (Endpoint::Completions, "n"),
                (Endpoint::Completions, "max_tokens"),
                (Endpoint::Messages, "max_tokens"),
                (Endpoint::Responses, "max_output_tokens"),
            ] {
                // Behind a newer name that counts, too.
                let newer = if member == "max_tokens" { r#""max_completion_tokens":7,"# } else { "" };
                let body = format!("{{{newer}\"{member}\":{odd}}}");
                assert_eq!(stated(endpoint, &body), Err(StatedError::Count { member }), "{body}");
            }
        }
        for odd in ["0", "1", "\"true\"", "[]"] {
            let body = format!(r#"{{"stream":{odd}}}"#);
            assert_eq!(stated(Endpoint::Embeddings, &body), Err(StatedError::Stream), "{body}");
        }
    }

    #[test]
    fn forms() {
        for (value, expected) in
            [("true", true), ("TRUE", true), ("1", true), ("False", false), ("0", false), ("", false)]
        {
            assert_eq!(Stated::form_stream(Some(value.as_bytes())), Ok(expected), "{value}");
        }
        assert_eq!(Stated::form_stream(None), Ok(false));
        for odd in ["yes", "on", "2", " true"] {
            assert_eq!(Stated::form_stream(Some(odd.as_bytes())), Err(StatedError::FormStream), "{odd}");
        }
    }
}
