//! The engine's answer, sealed.

use bytes::Bytes;
use getrandom::{SysRng, rand_core::UnwrapErr};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use privatemode_service::{
    ApiError, BoxBody,
    body::{full, read_limited},
};
use privatemode_wire::{
    Endpoint,
    message::{ResponseSealer, SealError},
};

use super::{Worker, failure, off_thread, sealable_json};
use crate::stream::SealedStream;

impl Worker {
    /// Seals whatever the engine answers; what cannot be sealed becomes a sealed error.
    pub(super) async fn seal(
        &self,
        endpoint: Endpoint,
        sealer: ResponseSealer,
        answer: Response<Incoming>,
    ) -> Response<BoxBody> {
        let (parts, body) = answer.into_parts();
        if !parts.status.is_success() {
            tracing::debug!(status = parts.status.as_u16(), "the engine answered with an error");
        }
        if is_event_stream(&parts.headers) {
            let metrics = &self.0.metrics;
            let open = metrics.open_streams.enter();
            let stream = SealedStream::new(
                body,
                endpoint,
                sealer.into_stream(endpoint),
                self.0.engine.patience(),
                metrics.broken_streams(),
                open,
            );
            return response(parts.status, "text/event-stream", stream.boxed_unsync(), &parts.headers);
        }
        let body = match read_limited(body, self.0.limits.answer).await {
            Ok(body) => body,
            Err(error) => {
                // its text names sizes and times, never content
                let error = failure::broken_answer().with_private(error);
                return sealed_error(endpoint, sealer, &error);
            }
        };
        if body.is_empty() {
            let error = if parts.status.is_success() {
                failure::not_json(parts.status)
            } else {
                failure::silent(parts.status)
            };
            return sealed_error(endpoint, sealer, &error);
        }
        match seal_unary(endpoint, sealer, body).await {
            Ok((Ok(sealed), _)) => response(parts.status, "application/json", full(sealed), &parts.headers),
            Ok((Err(_not_json), sealer)) => sealed_error(endpoint, sealer, &failure::not_json(parts.status)),
            Err(error) => super::plain(error.response(&HeaderMap::new())),
        }
    }
}

/// Gives the sealer back: a body that is no JSON was refused before anything of it was sealed.
async fn seal_unary(
    endpoint: Endpoint,
    mut sealer: ResponseSealer,
    body: Bytes,
) -> Result<(Result<Vec<u8>, SealError>, ResponseSealer), ApiError> {
    let length = body.len();
    let seal = move || {
        let sealed = sealer.seal(endpoint, &body, &mut UnwrapErr(SysRng));
        (sealed, sealer)
    };
    off_thread(length, seal).await
}

/// An error that only the client can read.
pub(super) fn sealed_error(
    endpoint: Endpoint,
    mut sealer: ResponseSealer,
    error: &ApiError,
) -> Response<BoxBody> {
    failure::log(error);
    let json = sealable_json(endpoint, error);
    match sealer.seal(endpoint, json.as_bytes(), &mut UnwrapErr(SysRng)) {
        Ok(sealed) => response(error.status, "application/json", full(sealed), &error.headers),
        Err(fault) => super::plain(ApiError::internal(fault).response(&HeaderMap::new())),
    }
}

/// Of the engine's headers only what says when to come back is passed on.
fn response(
    status: StatusCode,
    content_type: &'static str,
    body: BoxBody,
    headers: &HeaderMap,
) -> Response<BoxBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let own = response.headers_mut();
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    own.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let digits = |value: &&HeaderValue| value.len() <= 10 && value.as_bytes().iter().all(u8::is_ascii_digit);
    if let Some(seconds) = headers.get(header::RETRY_AFTER).filter(digits) {
        own.insert(header::RETRY_AFTER, seconds.clone());
    }
    response
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}
