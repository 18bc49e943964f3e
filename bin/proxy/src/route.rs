//! Which request goes where. Reads nothing but method and path. Specification: product.md P1, P12.

use http::{HeaderValue, Method, header};
use privatemode_service::ApiError;
use privatemode_wire::Endpoint;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Seal, forward, open.
    Sealed(Endpoint),
    /// The model list: public, passed on as it is.
    Models,
    Healthz,
    Readyz,
    StatusJson,
    StatusPage,
}

const EXISTING: &str = "POST /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/audio/transcriptions, \
    /v1/audio/translations, /v1/messages, /v1/responses, /unstructured/general/v0/general; \
    GET /v1/models, /v1/models/{id}, /healthz, /readyz, /privatemode, /privatemode/status";

impl Route {
    /// The route, or 404 with what exists, or 405.
    pub(crate) fn of(method: &Method, path: &str) -> Result<Self, Box<ApiError>> {
        let route = match path {
            "/healthz" => Self::Healthz,
            "/readyz" => Self::Readyz,
            "/privatemode/status" => Self::StatusJson,
            "/" | "/privatemode" | "/privatemode/" => Self::StatusPage,
            "/v1/models" => Self::Models,
            _ if is_model(path) => Self::Models,
            _ => match Endpoint::from_path(path) {
                // A path that a gateway could read as another one is nobody's honest request.
                Some(endpoint) if !has_dot_segment(path) => Self::Sealed(endpoint),
                _ => return Err(Box::new(unknown(path))),
            },
        };
        let allowed = route.methods();
        if allowed.contains(method) {
            return Ok(route);
        }
        let allow = if route.is_read() { "GET, HEAD, OPTIONS" } else { "POST, OPTIONS" };
        let message = format!("{method} is not possible here; this path takes {allow}.");
        Err(Box::new(
            ApiError::method_not_allowed(message).with_header(header::ALLOW, HeaderValue::from_static(allow)),
        ))
    }

    fn methods(self) -> &'static [Method] {
        if self.is_read() { &[Method::GET, Method::HEAD] } else { &[Method::POST] }
    }

    fn is_read(self) -> bool {
        !matches!(self, Self::Sealed(_))
    }
}

/// IDs of models may have slashes (`org/name`).
fn is_model(path: &str) -> bool {
    path.strip_prefix("/v1/models/").is_some_and(|id| !id.is_empty()) && !has_dot_segment(path)
}

fn has_dot_segment(path: &str) -> bool {
    // URL parsers, the one that builds our request among them, take `\` for `/`.
    let plain = path.to_ascii_lowercase().replace("%2e", ".");
    plain.split('/').any(|segment| segment == "." || segment == "..")
        || ["\\", "%5c", "%2f"].iter().any(|slash| plain.contains(slash))
}

fn unknown(path: &str) -> ApiError {
    let shown: String = path.chars().take(100).collect();
    let hint = if shown.starts_with("/v1/") { "" } else { " An OpenAI client's base URL ends in /v1." };
    ApiError::not_found("unknown_path", format!("There is no `{shown}` here. What exists: {EXISTING}.{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let post = |path| Route::of(&Method::POST, path).map_err(|error| error.status.as_u16());
        let get = |path| Route::of(&Method::GET, path).map_err(|error| error.status.as_u16());
        assert_eq!(post("/v1/chat/completions"), Ok(Route::Sealed(Endpoint::ChatCompletions)));
        assert_eq!(post("/unstructured/general/v0/general"), Ok(Route::Sealed(Endpoint::Unstructured)));
        assert_eq!(get("/v1/models/org/name"), Ok(Route::Models));
        assert_eq!(get("/"), Ok(Route::StatusPage));
        assert_eq!(get("/v1/chat/completions"), Err(405));
        assert_eq!(post("/v1/models"), Err(405));
        assert_eq!(post("/v1/images/generations"), Err(404));
        assert_eq!(post("/privatemode/v1/secret"), Err(404), "the proxy's own affair");
        assert_eq!(post("/unstructured/../privatemode/v1/secret"), Err(404));
        assert_eq!(post("/unstructured/%2e%2E/x"), Err(404));
        assert_eq!(get("/v1/models/..%2fx"), Err(404));
        assert_eq!(get(r"/v1/models/..\..\privatemode/v2/x"), Err(404));
        assert_eq!(post(r"/unstructured/..\privatemode/v1/secret"), Err(404));
        assert_eq!(post("/unstructured/..%5Cprivatemode/v1/secret"), Err(404));
    }

    #[test]
    fn a_404_lists_what_exists() {
        let error = Route::of(&Method::POST, "/chat/completions").unwrap_err();
        assert!(
            error.public.contains("/v1/chat/completions") && error.public.contains("base URL"),
            "{}",
            error.public
        );
        let error = Route::of(&Method::DELETE, "/v1/messages").unwrap_err();
        assert_eq!(error.headers["allow"], "POST, OPTIONS");
    }
}
