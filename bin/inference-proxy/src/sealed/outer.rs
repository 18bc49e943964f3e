//! What stands outside a sealed body. Each header once: two readers must not see two.

use http::{HeaderMap, request::Parts};
use privatemode_service::ApiError;
use privatemode_wire::{
    SecretId, header,
    stream::{
        Outer,
        outer::{CONTENT_LENGTH_TOKENS, MAX_TOKENS, REQUEST_HEADER, RequestSalt},
    },
};

use crate::failure;

/// The outer headers of one request.
pub(super) struct OuterHeaders<'a> {
    pub(super) salt: RequestSalt,
    pub(super) secret_id: SecretId,
    /// What the head repeats.
    pub(super) fields: Outer<'a>,
    pub(super) length_tokens: Option<&'a str>,
}

impl<'a> OuterHeaders<'a> {
    pub(super) fn parse(parts: &'a Parts) -> Result<Self, ApiError> {
        let headers = &parts.headers;
        let salt = once(headers, REQUEST_HEADER)?.ok_or_else(failure::no_salt)?;
        let secret_id = once(headers, header::SECRET_ID)?.ok_or_else(failure::no_secret_id)?;
        let fields = Outer {
            method: parts.method.as_str(),
            path: parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str),
            model: once(headers, header::TARGET_MODEL)?,
            shard_key: once(headers, header::SHARD_KEY)?,
            max_tokens: once(headers, MAX_TOKENS)?,
            ocsp_policy: once(headers, header::OCSP_POLICY)?,
        };
        Ok(Self {
            salt: RequestSalt::parse_header(salt).map_err(|error| failure::bad_salt(&error))?,
            secret_id: SecretId::parse(secret_id).map_err(|_| failure::bad_secret_id())?,
            fields,
            length_tokens: once(headers, CONTENT_LENGTH_TOKENS)?,
        })
    }
}

fn once<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| failure::outer_header(name)),
        (Some(_), Some(_)) => Err(failure::outer_header(name)),
    }
}
