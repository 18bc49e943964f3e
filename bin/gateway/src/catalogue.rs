//! `GET /v1/models`: the workers' lists as one, in OpenAI's shape.

use http::{HeaderValue, Response, header};
use privatemode_service::{ApiError, BoxBody, body};

use crate::workers::{Model, NoWorker, Workers};

/// All models.
pub(crate) fn list(workers: &Workers) -> Result<Response<BoxBody>, ApiError> {
    let models = workers.models();
    if models.is_empty() && !workers.any_up() {
        return Err(no_worker(NoWorker::NotYetKnown, ""));
    }
    let entries: Vec<&str> = models.iter().map(Model::entry).collect();
    Ok(json(format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(","))))
}

/// One model; its name may hold slashes, also encoded ones.
pub(crate) fn one(workers: &Workers, encoded: &str) -> Result<Response<BoxBody>, ApiError> {
    let id = percent_decoded(encoded).ok_or_else(|| no_worker(NoWorker::UnknownModel, encoded))?;
    match workers.models().iter().find(|model| *model.id == *id) {
        Some(model) => Ok(json(model.entry().to_owned())),
        None if workers.any_up() => Err(no_worker(NoWorker::UnknownModel, &id)),
        None => Err(no_worker(NoWorker::NotYetKnown, &id)),
    }
}

/// The answer where no worker can take a request.
pub(crate) fn no_worker(reason: NoWorker, model: &str) -> ApiError {
    match reason {
        NoWorker::UnknownModel => ApiError::not_found(
            "model_not_found",
            format!(
                "The model `{}` is not served here. `GET /v1/models` lists those that are.",
                shown(model)
            ),
        )
        .with_kind("invalid_request_error")
        .with_param("model"),
        NoWorker::NotYetKnown => retry_later(ApiError::unavailable(
            "workers_starting",
            "No worker has answered yet, so it is not known which models there are. Try again in some seconds.",
        )),
        NoWorker::Unreachable => retry_later(ApiError::unavailable(
            "no_worker",
            format!(
                "No worker that serves `{}` can be reached at present. Try again in some seconds.",
                shown(model)
            ),
        )),
    }
}

fn retry_later(error: ApiError) -> ApiError {
    error.with_header(header::RETRY_AFTER, HeaderValue::from_static("2"))
}

/// A name from outside, short enough and without control characters.
fn shown(model: &str) -> String {
    model.chars().take(100).map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn json(text: String) -> Response<BoxBody> {
    let mut response = Response::new(body::full(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent() {
        assert_eq!(percent_decoded("org%2Fname").as_deref(), Some("org/name"));
        assert_eq!(percent_decoded("a/b").as_deref(), Some("a/b"));
        for broken in ["%", "%2", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
    }
}
