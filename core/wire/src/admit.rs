//! What a worker demands of a request after it has opened it, and what it adds before the engine gets it.
//!
//! Looks only at members that would make the engine share a cache or fetch something; everything else is the engine's to
//! refuse. protocol.md, section 3 (server side).

mod media;
mod options;

pub use options::with_usage_options;

use crate::json::{JsonError, Object, string_value};
use crate::multipart::{Form, MultipartError};
use crate::profile::Endpoint;
use crate::salt::{MIN_SALT, SaltError, check_length};

/// Why a request is refused. All are the caller's fault (400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmitError {
    /// Not a JSON object.
    #[error("the body is not a valid JSON object")]
    Json(#[source] JsonError),
    /// Not a form.
    #[error("the body is not a valid multipart form")]
    Multipart(#[source] MultipartError),
    /// No `cache_salt`: other tenants could learn the prompt from cache timing.
    #[error("`cache_salt` is missing")]
    SaltMissing,
    /// `cache_salt` is not a string.
    #[error("`cache_salt` must be a string")]
    SaltNotAString,
    /// `cache_salt` can be guessed.
    #[error("`cache_salt` must have at least {MIN_SALT} characters, it has {length}")]
    SaltTooShort {
        /// How many it has.
        length: usize,
    },
    /// The engine would fetch it from wherever it points to.
    #[error("URLs in `{member}` must begin with `https:` or `data:`")]
    MediaUrl {
        /// Which member held the URL.
        member: &'static str,
    },
    /// Audio and video by URL.
    #[error("`{member}` is not supported")]
    MediaKind {
        /// Which member or part.
        member: &'static str,
    },
    /// A media member of a shape that we do not know, which an engine might still read.
    #[error("`{member}` must be a URL, or an object with one")]
    MediaShape {
        /// Which member.
        member: &'static str,
    },
    /// Content parts within content parts beyond any use.
    #[error("the content parts are nested too deeply")]
    TooDeep,
    /// `stream_options` is neither an object nor null.
    #[error("`stream_options` must be an object")]
    StreamOptions,
    /// Engines that read `1` or `"true"` as true would stream what nobody asked to be metered.
    #[error("`stream` must be true, false or null")]
    Stream,
}

/// Checks an opened request.
pub fn check(endpoint: Endpoint, content_type: Option<&str>, body: &[u8]) -> Result<(), AdmitError> {
    if endpoint == Endpoint::Unstructured {
        return Ok(());
    }
    if endpoint.is_multipart() {
        return Form::parse(content_type.unwrap_or_default(), body).map(drop).map_err(AdmitError::Multipart);
    }
    if body.is_empty() && endpoint.requires_cache_salt() {
        return Err(AdmitError::SaltMissing);
    }
    if body.is_empty() {
        return Ok(());
    }
    let object = Object::parse(body).map_err(AdmitError::Json)?;
    if endpoint.requires_cache_salt() {
        check_salt(&object)?; // before the media: it is the cheaper check
    }
    if object.get("stream").is_some_and(|stream| !matches!(stream.raw, b"true" | b"false" | b"null")) {
        return Err(AdmitError::Stream);
    }
    media::check(&object)
}

fn check_salt(object: &Object<'_>) -> Result<(), AdmitError> {
    let member =
        object.get("cache_salt").filter(|salt| salt.raw != b"null").ok_or(AdmitError::SaltMissing)?;
    let salt = string_value(member.raw).ok_or(AdmitError::SaltNotAString)?;
    check_length(&salt).map_err(|error| match error {
        SaltError::TooShort { length } => AdmitError::SaltTooShort { length },
        SaltError::Json(error) => AdmitError::Json(error),
        SaltError::NotAString => AdmitError::SaltNotAString,
    })
}

#[cfg(test)]
mod tests;
