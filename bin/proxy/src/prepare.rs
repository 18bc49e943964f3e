//! A caller's body on its way to the sealer: is it what the endpoint takes, which model, which salt. Does no IO.
//! Specification: product.md P5, P11, protocol.md §3, §5, §7.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use privatemode_wire::{
    Endpoint,
    json::Object,
    multipart::Form,
    salt::{SaltPolicy, ensure_salt},
    shard_key,
};
use rand_core::CryptoRng;

use crate::failure::Failure;

/// A body that can be sealed, with what the gateway needs to route it.
pub(crate) struct Prepared {
    pub(crate) endpoint: Endpoint,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
    pub(crate) model: Option<HeaderValue>,
    pub(crate) shard_key: Option<HeaderValue>,
    /// Whether the caller waits for a stream of events.
    pub(crate) stream: bool,
}

/// The one content type of a request.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<HeaderValue>, Failure> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let first = values.next().cloned();
    if values.next().is_some() {
        return Err(Failure::ContentTypes); // two readers could pick different ones
    }
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    if encodings.iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Failure::ContentEncoding);
    }
    Ok(first)
}

/// Checks and completes a body. Order: form before content, so that the message names the first thing that is wrong.
pub(crate) fn prepare(
    endpoint: Endpoint,
    content_type: Option<HeaderValue>,
    body: Bytes,
    policy: &SaltPolicy,
    rng: &mut dyn CryptoRng,
) -> Result<Prepared, Failure> {
    // An empty body passes the cipher, but no endpoint can do anything with one.
    if body.is_empty() {
        return Err(Failure::Empty { endpoint });
    }
    if endpoint == Endpoint::Unstructured {
        return Ok(Prepared { endpoint, content_type, body, model: None, shard_key: None, stream: false });
    }
    if endpoint.is_multipart() {
        let (model, stream) = read_form(content_type.as_ref(), &body)?;
        return Ok(Prepared { endpoint, content_type, body, model: Some(model), shard_key: None, stream });
    }
    let (model, stream) = read_json(endpoint, &body)?;
    let (body, salt) = salted(endpoint, body, policy, rng)?;
    let shard_key = match salt {
        Some(salt) => shard_header(endpoint, &body, &salt)?,
        None => None,
    };
    let content_type = Some(HeaderValue::from_static("application/json"));
    Ok(Prepared { endpoint, content_type, body, model: Some(model), shard_key, stream })
}

/// The body with a salt, and the salt if anything else may have it: one of this request only keeps nothing in a cache,
/// and its shard key would say something about the prompt's length for nothing.
fn salted(
    endpoint: Endpoint,
    body: Bytes,
    policy: &SaltPolicy,
    rng: &mut dyn CryptoRng,
) -> Result<(Bytes, Option<String>), Failure> {
    let (salted, salt) =
        ensure_salt(endpoint, &body, policy, rng).map_err(|source| Failure::Salt { source })?;
    match salted {
        Cow::Borrowed(_) => Ok((body, salt)), // the request's own
        Cow::Owned(salted) => {
            let shared = salt.filter(|_| matches!(policy, SaltPolicy::Shared(_)));
            Ok((salted.into(), shared))
        }
    }
}

fn shard_header(endpoint: Endpoint, body: &[u8], salt: &str) -> Result<Option<HeaderValue>, Failure> {
    let key = shard_key::of_request(endpoint, body, salt).map_err(|source| Failure::ShardKey { source })?;
    Ok(HeaderValue::from_str(&key).ok())
}

/// Model, and whether a stream is asked for.
fn read_json(endpoint: Endpoint, body: &[u8]) -> Result<(HeaderValue, bool), Failure> {
    let object = Object::parse(body).map_err(|source| Failure::Json { source })?;
    if object.get("model").is_none_or(|member| member.raw == b"null") {
        return Err(Failure::NoModel);
    }
    let model = model_header(&object.string("model").ok_or(Failure::ModelName)?)?;
    // There is no stream of embeddings; engines ignore the wish.
    Ok((model, endpoint != Endpoint::Embeddings && object.is_true("stream")))
}

fn read_form(content_type: Option<&HeaderValue>, body: &[u8]) -> Result<(HeaderValue, bool), Failure> {
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = Form::parse(content_type, body).map_err(|source| Failure::Multipart { source })?;
    let model = form.text("model").ok_or(Failure::NoModel)?;
    let model = model_header(std::str::from_utf8(model).map_err(|_| Failure::ModelName)?)?;
    let stream =
        form.text("stream").is_some_and(|value| value.eq_ignore_ascii_case(b"true") || value == b"1");
    Ok((model, stream))
}

fn model_header(model: &str) -> Result<HeaderValue, Failure> {
    if model.trim().is_empty() {
        return Err(Failure::NoModel);
    }
    if model.len() > 256 || !model.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::ModelName);
    }
    HeaderValue::from_str(model).map_err(|_| Failure::ModelName)
}

#[cfg(test)]
mod tests;
