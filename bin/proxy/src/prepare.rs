//! A caller's body on its way to the sealer: is it what the endpoint takes, which model, which salt. Does no IO.
//! Specification: product.md P5, P11, protocol.md §3, §5, §7.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use privatemode_wire::{
    Endpoint,
    admit::Stated,
    json::Object,
    multipart::{Form, boundary},
    salt::{SaltPolicy, ensure_salt},
    shard_key,
};
use rand_core::CryptoRng;

use crate::{
    app::App,
    failure::Failure,
    payload::{Ahead, Payload, Upload},
};

/// A body that can be sealed, with what the gateway needs to route it.
pub(crate) struct Prepared {
    pub(crate) endpoint: Endpoint,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Payload,
    pub(crate) model: Option<HeaderValue>,
    pub(crate) shard_key: Option<HeaderValue>,
    /// Whether the caller waits for a stream of events.
    pub(crate) stream: bool,
    pub(crate) stated: Stated,
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
        return Ok(Prepared::file(endpoint, content_type, Payload::Whole(body), None, false));
    }
    if endpoint.is_multipart() {
        let (model, stream) = read_form(content_type.as_ref(), &body)?;
        return Ok(Prepared::file(endpoint, content_type, Payload::Whole(body), Some(model), stream));
    }
    let (model, stated) = read_json(endpoint, &body)?;
    // There is no stream of embeddings; engines ignore the wish.
    let stream = endpoint != Endpoint::Embeddings && stated.stream;
    let (body, salt) = salted(endpoint, body, policy, rng)?;
    let shard_key = match salt {
        Some(salt) => shard_header(endpoint, &body, &salt)?,
        None => None,
    };
    let content_type = Some(HeaderValue::from_static("application/json"));
    let body = Payload::Whole(body);
    Ok(Prepared { endpoint, content_type, body, model: Some(model), shard_key, stream, stated })
}

/// The same for a body of which only the beginning is there: files. `None` if what must be known is not in it, because the
/// fields come after the file; then the whole is needed.
pub(crate) fn prepare_ahead(
    endpoint: Endpoint,
    content_type: Option<&HeaderValue>,
    upload: &Arc<Upload>,
) -> Result<Option<Prepared>, Failure> {
    let body = || Payload::Streamed(Arc::clone(upload));
    if endpoint == Endpoint::Unstructured {
        return Ok(Some(Prepared::file(endpoint, content_type.cloned(), body(), None, false)));
    }
    if !endpoint.is_multipart() {
        return Ok(None);
    }
    let found = upload.look_ahead(|ahead| read_form_ahead(content_type, ahead)).transpose()?.flatten();
    Ok(found
        .map(|(model, stream)| Prepared::file(endpoint, content_type.cloned(), body(), Some(model), stream)))
}

impl Prepared {
    fn file(
        endpoint: Endpoint,
        content_type: Option<HeaderValue>,
        body: Payload,
        model: Option<HeaderValue>,
        stream: bool,
    ) -> Self {
        let stated = Stated { stream, ..Stated::default() };
        Self { endpoint, content_type, body, model, shard_key: None, stream, stated }
    }

    /// With its whole body: sealed fields cannot be streamed.
    pub(crate) async fn into_whole(prepared: Arc<Self>, app: &App) -> Result<Arc<Self>, Failure> {
        let Payload::Streamed(upload) = &prepared.body else { return Ok(prepared) };
        let body = upload.whole().await.map_err(|source| Failure::Body { source })?;
        let (endpoint, content_type) = (prepared.endpoint, prepared.content_type.clone());
        prepare(endpoint, content_type, body, &app.salt, &mut *app.entropy.rng()).map(Arc::new)
    }
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

fn read_json(endpoint: Endpoint, body: &[u8]) -> Result<(HeaderValue, Stated), Failure> {
    let object = Object::parse(body).map_err(|source| Failure::Json { source })?;
    if object.get("model").is_none_or(|member| member.raw == b"null") {
        return Err(Failure::NoModel);
    }
    let model = model_header(&object.string("model").ok_or(Failure::ModelName)?)?;
    let stated = Stated::of(endpoint, &object).map_err(|source| Failure::Stated { source })?;
    Ok((model, stated))
}

fn read_form(content_type: Option<&HeaderValue>, body: &[u8]) -> Result<(HeaderValue, bool), Failure> {
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let form = Form::parse(content_type, body).map_err(|source| Failure::Multipart { source })?;
    fields_of(&form)
}

/// From the parts that are whole. Official clients send fields before files.
fn read_form_ahead(
    content_type: Option<&HeaderValue>,
    ahead: &Ahead,
) -> Result<Option<(HeaderValue, bool)>, Failure> {
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let boundary = boundary(content_type).map_err(|source| Failure::Multipart { source })?;
    let delimiter = format!("\r\n--{boundary}");
    let Some(end) = ahead.rfind(delimiter.as_bytes()) else { return Ok(None) };
    // Closed behind the last whole part, it is a form like any other.
    let closed = [&ahead.first(end)[..], delimiter.as_bytes(), b"--"].concat();
    let form = Form::parse(content_type, &closed).map_err(|source| Failure::Multipart { source })?;
    if form.text("model").is_none() {
        return Ok(None);
    }
    fields_of(&form).map(Some)
}

fn fields_of(form: &Form<'_>) -> Result<(HeaderValue, bool), Failure> {
    let model = form.text("model").ok_or(Failure::NoModel)?;
    let model = model_header(std::str::from_utf8(model).map_err(|_| Failure::ModelName)?)?;
    let stream = Stated::form_stream(form.text("stream")).map_err(|source| Failure::Stated { source })?;
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
