//! `GET /v1/models` and `/v1/models/{id}`: plain, with what each model can do.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header, request::Parts};
use privatemode_service::{
    ApiError, BoxBody,
    body::{full, read_limited},
};

use super::{Worker, failure};
use crate::request::engine_headers;

const MAX_MODELS: usize = 4 * 1024 * 1024;

impl Worker {
    pub(super) async fn models(&self, parts: &Parts) -> Result<Response<BoxBody>, ApiError> {
        let headers = engine_headers(&parts.headers, false);
        let answer = self.0.engine.send(Method::GET, parts.uri.path(), headers, Bytes::new()).await;
        let (head, body) = answer.map_err(|error| failure::engine(&error))?.into_parts();
        let body = read_limited(body, MAX_MODELS).await.map_err(|_| failure::broken_answer())?;
        let body = if head.status.is_success() {
            self.0.tasks.inject(&body).map_err(|_| failure::not_json(head.status))?.into()
        } else if privatemode_wire::json::validate_value(body.trim_ascii()).is_ok() {
            body
        } else {
            return Err(failure::silent(head.status));
        };
        let mut response = Response::new(full(body));
        *response.status_mut() = head.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}
