//! How an error leaves the process: as one line with its whole chain for us, as an HTTP answer in OpenAI's shape for the
//! caller. Does not decide which error is whose fault: each process maps its own errors, exhaustively.

use std::{error::Error, fmt};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::body::{BoxBody, full};

/// Prints an error and all its sources, each once: `cannot read manifest: permission denied`.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        formatter.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Foreign errors often print their source themselves.
            if !text.is_empty() && !last.ends_with(&text) {
                write!(formatter, ": {text}")?;
                last = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An answer that says no. The caller sees `public`; `private` goes only to the log.
#[derive(Debug)]
pub struct ApiError {
    /// The HTTP status: 4xx the caller must act, 429 later, 5xx we must, 502/504 what is behind us must.
    pub status: StatusCode,
    /// OpenAI's `type`, derived from the status unless set.
    pub kind: &'static str,
    /// OpenAI's `code`, stable, for programs.
    pub code: &'static str,
    /// What the caller reads: what happened, why, what next.
    pub public: String,
    /// The member of the request that is at fault, if one is.
    pub param: Option<String>,
    /// For our log only.
    pub private: Option<String>,
    /// Further headers of the answer, for example `Retry-After`. Boxed: an error is part of most results, and a map is
    /// larger than all the rest.
    pub headers: Box<HeaderMap>,
}

impl ApiError {
    /// An error whose `type` follows from the status.
    pub fn new(status: StatusCode, code: &'static str, public: impl Into<String>) -> Self {
        Self {
            status,
            kind: kind_of(status),
            code,
            public: public.into(),
            param: None,
            private: None,
            headers: Box::default(),
        }
    }

    /// 400: the caller must change the request.
    pub fn bad_request(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, public)
    }

    /// 401: no or no valid credentials.
    pub fn unauthorized(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, public)
    }

    /// 403: valid credentials that do not cover this.
    pub fn forbidden(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, public)
    }

    /// 404.
    pub fn not_found(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, public)
    }

    /// 405.
    pub fn method_not_allowed(public: impl Into<String>) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", public)
    }

    /// 413: more than `max` bytes.
    #[must_use]
    pub fn too_large(max: usize) -> Self {
        let public =
            format!("The request is larger than the {max} bytes allowed here. Send less, or split it.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", public)
    }

    /// 500: our fault; the caller learns nothing but that.
    pub fn internal(private: impl fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "internal error").with_private(private)
    }

    /// 502: what is behind us answered wrongly or not at all.
    pub fn bad_gateway(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, code, public)
    }

    /// 503: not now.
    pub fn unavailable(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, public)
    }

    /// 504: what is behind us did not answer in time.
    pub fn gateway_timeout(code: &'static str, public: impl Into<String>) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, code, public)
    }

    /// Another `type` than the status implies.
    #[must_use]
    pub fn with_kind(mut self, kind: &'static str) -> Self {
        self.kind = kind;
        self
    }

    /// Names the member at fault.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Adds what only our log may say.
    #[must_use]
    pub fn with_private(mut self, private: impl fmt::Display) -> Self {
        self.private = Some(private.to_string());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The JSON document, OpenAI's shape.
    #[must_use]
    pub fn to_json(&self) -> String {
        json!({"error": {"message": self.public, "type": self.kind, "param": self.param, "code": self.code}})
            .to_string()
    }

    /// Logs the private part: `error` for our own faults, `debug` for the callers'. Call it where the request's ID is in a span.
    pub fn log(&self) {
        let private = self.private.as_deref().unwrap_or("");
        let status = self.status.as_u16();
        match status {
            500 => tracing::error!(status, code = self.code, detail = private, "request failed"),
            501.. => tracing::warn!(status, code = self.code, detail = private, "request failed"),
            _ => tracing::debug!(status, code = self.code, detail = private, "request refused"),
        }
    }

    /// The answer: JSON, or an SSE event named `error` where `request` accepts `text/event-stream`.
    #[must_use]
    pub fn response(&self, request: &HeaderMap) -> Response<BoxBody> {
        let json = self.to_json();
        let (content_type, text) = if accepts_event_stream(request) {
            ("text/event-stream", format!("event: error\ndata: {json}\n\n"))
        } else {
            ("application/json", json)
        };
        let mut response = Response::new(full(text));
        *response.status_mut() = self.status;
        *response.headers_mut() = (*self.headers).clone();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.status.as_u16(), self.code, self.public)
    }
}

impl Error for ApiError {}

impl From<crate::BodyError> for ApiError {
    fn from(error: crate::BodyError) -> Self {
        use crate::BodyError::{Read, Stalled, TooLarge};
        match error {
            TooLarge { max } => Self::too_large(max),
            Stalled { .. } => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_stalled",
                "The request's body stopped in the middle.",
            ),
            Read { .. } => {
                Self::bad_request("body_incomplete", "The request's body could not be read to its end.")
            }
        }
        .with_private(Chain(&error))
    }
}

/// Whether the caller wants server-sent events.
#[must_use]
pub fn accepts_event_stream(request: &HeaderMap) -> bool {
    request.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| {
            range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
        })
    })
}

fn kind_of(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read_limited;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer {
        source: Inner,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("inner: {source}")]
    struct Inner {
        source: std::fmt::Error,
    }

    #[test]
    fn a_chain_prints_each_source_once() {
        let error = Outer { source: Inner { source: std::fmt::Error } };
        assert_eq!(Chain(&error).to_string(), format!("outer: inner: {}", std::fmt::Error));
    }

    #[tokio::test]
    async fn json_hides_the_private_part() {
        let error = ApiError::internal("the disk is on fire");
        let response = error.response(&HeaderMap::new());
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/json");
        let body = read_limited(response.into_body(), 1024).await.unwrap();
        assert_eq!(
            body,
            r#"{"error":{"code":"internal_error","message":"internal error","param":null,"type":"server_error"}}"#
        );
    }

    #[tokio::test]
    async fn an_event_stream_gets_an_event() {
        let mut headers = HeaderMap::new();
        headers.insert("accept", HeaderValue::from_static("application/json;q=0.5, Text/Event-Stream; q=1"));
        let response =
            ApiError::not_found("no_model", "no such\nmodel").with_param("model").response(&headers);
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = read_limited(response.into_body(), 1024).await.unwrap();
        let text = std::str::from_utf8(&body).unwrap();
        assert!(text.starts_with("event: error\ndata: {\"error\":"), "{text}");
        assert_eq!(text.trim_end().lines().count(), 2, "the line break in the message is escaped: {text}");
        assert!(text.ends_with("}\n\n"));
    }
}
