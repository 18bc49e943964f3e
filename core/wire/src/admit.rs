//! What a worker demands of a request after it has opened it, and what it adds before the engine gets it.
//!
//! Looks only at members that would make the engine share a cache, fetch something, or do other work than the request is
//! routed and billed by; everything else is the engine's to refuse. protocol.md, section 3 (server side).

mod media;
mod options;
mod stated;

pub use options::with_usage_options;
pub use stated::{Stated, StatedError};

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
    /// A member that engines would convert from another type: what it says is not what was routed and is billed.
    #[error(transparent)]
    Stated(StatedError),
}

/// Checks an opened request.
pub fn check(endpoint: Endpoint, content_type: Option<&str>, body: &[u8]) -> Result<(), AdmitError> {
    if endpoint == Endpoint::Unstructured {
        return Ok(());
    }
    if endpoint.is_multipart() {
        let form = Form::parse(content_type.unwrap_or_default(), body).map_err(AdmitError::Multipart)?;
        return Stated::form_stream(form.text("stream")).map(drop).map_err(AdmitError::Stated);
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
    Stated::of(endpoint, &object).map_err(AdmitError::Stated)?;
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
