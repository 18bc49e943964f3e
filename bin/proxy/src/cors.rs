//! Which pages in a browser may use this proxy. Specification: product.md P10.
//!
//! The proxy spends somebody's API key, and any page that a user visits can send requests to a port of the user's
//! machine. Local applications (`app://…`, extensions, pages on loopback) may; the web may not, unless the user names the
//! origin. A foreign page is refused, not only denied the answer: that also stops pages that rebind their name to
//! 127.0.0.1. Programs that are no browsers send no `Origin` and are not concerned.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use privatemode_service::{ApiError, BoxBody, body::empty};

use crate::config::is_loopback;

/// The verdict on a request's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Not from a page.
    None,
    /// From a page that may: its origin, to be echoed.
    Allowed(HeaderValue),
}

impl Origin {
    /// Judges a request's origin.
    pub(crate) fn of(request: &HeaderMap, allowed: &[String]) -> Result<Self, Box<ApiError>> {
        let Some(origin) = request.get(header::ORIGIN) else { return Ok(Self::None) };
        let text = origin.to_str().unwrap_or_default().to_ascii_lowercase();
        if is_local_application(&text) || allowed.contains(&text) {
            return Ok(Self::Allowed(origin.clone()));
        }
        let shown: String = text.chars().take(100).collect();
        Err(Box::new(ApiError::forbidden(
            "origin_not_allowed",
            format!(
                "The page {shown} may not use this proxy: it would spend your API key. If you trust it, start the proxy \
                 with --allowOrigin {shown}."
            ),
        )))
    }

    /// Lets the page read the answer.
    pub(crate) fn decorate(&self, headers: &mut HeaderMap) {
        // What the gateway says about origins is none of its business.
        let foreign: Vec<_> =
            headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
        for name in foreign {
            headers.remove(name);
        }
        if let Self::Allowed(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("*"));
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }

    /// The answer to `OPTIONS`.
    pub(crate) fn preflight(&self, request: &HeaderMap) -> Response<BoxBody> {
        let mut response = Response::new(empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, OPTIONS"));
        self.decorate(headers);
        if matches!(self, Self::Allowed(_)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
            if let Some(names) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            if request.contains_key("access-control-request-private-network") {
                headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
            }
        }
        response
    }
}

/// A scheme that no web page has, or a page from this machine. `null` is what sandboxed frames of any page send.
fn is_local_application(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    match scheme {
        "http" | "https" => {
            let name = match host.strip_prefix('[') {
                Some(v6) => v6.split(']').next().unwrap_or_default(),
                None => host.split(':').next().unwrap_or_default(),
            };
            is_loopback(name)
        }
        "file" | "blob" | "data" | "filesystem" | "ftp" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(origin: &'static str) -> Result<Origin, u16> {
        let headers = HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))]);
        Origin::of(&headers, &["https://chat.example.com".to_owned()]).map_err(|error| error.status.as_u16())
    }

    #[test]
    fn local_applications_may_and_the_web_may_not() {
        for origin in [
            "app://bundle",
            "tauri://localhost",
            "vscode-webview://x",
            "chrome-extension://abc",
            "http://localhost:3000",
            "http://127.0.0.1:5173",
            "https://[::1]:8443",
            "https://chat.example.com",
        ] {
            assert_eq!(verdict(origin), Ok(Origin::Allowed(HeaderValue::from_static(origin))), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "http://localhost.evil.example",
            "null",
            "http://127.0.0.1.evil",
            "https://chat.example.com.evil",
        ] {
            assert_eq!(verdict(origin), Err(403), "{origin}");
        }
        assert_eq!(Origin::of(&HeaderMap::new(), &[]).unwrap(), Origin::None);
    }

    #[test]
    fn a_preflight_is_answered_for_those_who_may() {
        let origin = Origin::Allowed(HeaderValue::from_static("app://x"));
        let request = HeaderMap::from_iter([(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderValue::from_static("authorization,content-type"),
        )]);
        let response = origin.preflight(&request);
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["access-control-allow-origin"], "app://x");
        assert_eq!(response.headers()["access-control-allow-headers"], "authorization,content-type");
        assert!(!Origin::None.preflight(&request).headers().contains_key("access-control-allow-origin"));
    }

    #[test]
    fn the_gateways_words_on_origins_are_dropped() {
        let mut headers =
            HeaderMap::from_iter([(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))]);
        Origin::None.decorate(&mut headers);
        assert!(headers.is_empty());
    }
}
