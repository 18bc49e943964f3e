//! What the outside of a request says: content type, secret ID, what of its headers the engine gets.

use std::borrow::Cow;

use http::{HeaderMap, HeaderValue, header};
use privatemode_service::ApiError;
use privatemode_wire::{
    Endpoint, SecretId,
    header::{REQUEST_ID, SECRET_ID, USER_REQUEST_ID, sanitize_id},
    json::{Object, string_value},
    multipart::Form,
};

use crate::failure;

/// The one content type. With two of them, two readers could see two different bodies.
pub(crate) fn content_type(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| failure::content_types()),
        (Some(_), Some(_)) => Err(failure::content_types()),
    }
}

/// The secret that the header names, or the body's first sealed field. It is only where to look: whether the body was
/// sealed under it shows when it is opened.
pub(crate) fn secret_id(
    headers: &HeaderMap,
    endpoint: Endpoint,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<SecretId, ApiError> {
    let mut values = headers.get_all(SECRET_ID).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => {
            let text = value.to_str().map_err(|_| failure::bad_secret_id())?;
            SecretId::parse(text).map_err(|_| failure::bad_secret_id())
        }
        (Some(_), Some(_)) => Err(failure::bad_secret_id()),
        (None, _) => secret_id_in(endpoint, content_type, body).ok_or_else(failure::no_secret_id),
    }
}

fn secret_id_in(endpoint: Endpoint, content_type: Option<&str>, body: &[u8]) -> Option<SecretId> {
    if endpoint == Endpoint::Unstructured {
        return id_of_field(std::str::from_utf8(body).ok()?.trim_matches('"'));
    }
    if endpoint.is_multipart() {
        let form = Form::parse(content_type?, body).ok()?;
        return form.parts().iter().find_map(|part| id_of_field(std::str::from_utf8(part.body).ok()?));
    }
    let object = Object::parse(body).ok()?;
    object.members().iter().find_map(|member| id_of_field(&string_value(member.raw)?))
}

/// The ID in `id:nonce:iv:ct`.
fn id_of_field(text: &str) -> Option<SecretId> {
    let mut parts = text.split(':');
    let id = parts.next()?;
    (parts.count() == 3).then(|| SecretId::parse(id).ok())?
}

/// What the engine gets to see. No credentials, no addresses, nothing of the gateway's.
pub(crate) fn engine_headers(headers: &HeaderMap, has_body: bool) -> HeaderMap {
    let mut kept = HeaderMap::new();
    if has_body {
        let json = HeaderValue::from_static("application/json");
        kept.insert(header::CONTENT_TYPE, headers.get(header::CONTENT_TYPE).cloned().unwrap_or(json));
    }
    if let Some(accept) = headers.get(header::ACCEPT) {
        kept.insert(header::ACCEPT, accept.clone());
    }
    for name in [REQUEST_ID, USER_REQUEST_ID] {
        if let Some(id) = request_id(headers, name) {
            kept.insert(name, id);
        }
    }
    kept
}

/// As [`engine_headers`], for a body that was sealed with its own content type.
pub(crate) fn sealed_engine_headers(headers: &HeaderMap, content_type: Option<&str>) -> HeaderMap {
    let mut kept = engine_headers(headers, true);
    let json = HeaderValue::from_static("application/json");
    let content_type = content_type.and_then(|value| HeaderValue::from_str(value).ok());
    kept.insert(header::CONTENT_TYPE, content_type.unwrap_or(json));
    kept
}

fn request_id(headers: &HeaderMap, name: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(foreign_id(headers, name)?).ok()
}

/// An ID that somebody else chose, made harmless.
pub(crate) fn foreign_id(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(sanitize_id(&String::from_utf8_lossy(headers.get(name)?.as_bytes())))
}

/// The path as the engine knows it. `None`: it tries to leave its place.
pub(crate) fn engine_path(endpoint: Endpoint, path: &str) -> Option<Cow<'_, str>> {
    match endpoint {
        // the document service's own paths begin behind the prefix
        Endpoint::Unstructured => {
            path.strip_prefix("/unstructured").filter(|path| stays(path)).map(Cow::Borrowed)
        }
        other => Some(Cow::Borrowed(other.path())),
    }
}

/// Whether a path has no segments that lead elsewhere, however they are written.
pub(crate) fn stays(path: &str) -> bool {
    let dots = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    !dots.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: &str = "aWQ=:00:11:22";

    fn id_in(endpoint: Endpoint, content_type: Option<&str>, body: &str) -> Option<String> {
        secret_id_in(endpoint, content_type, body.as_bytes()).map(|id| id.to_string())
    }

    #[test]
    fn the_id_is_found_in_each_kind_of_body() {
        let found = Some("aWQ=".to_owned());
        let json = format!(r#"{{"model":"m:1","messages":"{FIELD}"}}"#);
        assert_eq!(id_in(Endpoint::ChatCompletions, None, &json), found);
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--b\r\n\
             Content-Disposition: form-data; name=\"file\"\r\n\r\n{FIELD}\r\n--b--\r\n"
        );
        assert_eq!(id_in(Endpoint::Transcriptions, Some("multipart/form-data; boundary=b"), &form), found);
        assert_eq!(id_in(Endpoint::Unstructured, None, FIELD), found);
        assert_eq!(id_in(Endpoint::ChatCompletions, None, r#"{"model":"m"}"#), None);
        assert_eq!(id_in(Endpoint::ChatCompletions, None, "{"), None);
    }

    #[test]
    fn the_header_wins_and_must_be_one() {
        let mut headers = HeaderMap::new();
        headers.insert(SECRET_ID, "header".parse().unwrap());
        let body = format!(r#"{{"a":"{FIELD}"}}"#);
        let id = |headers: &HeaderMap| secret_id(headers, Endpoint::Messages, None, body.as_bytes());
        assert_eq!(id(&headers).unwrap().as_str(), "header");
        headers.append(SECRET_ID, "other".parse().unwrap());
        assert_eq!(id(&headers).unwrap_err().code, "bad_secret_id");
        headers.insert(SECRET_ID, "a:b".parse().unwrap());
        assert_eq!(id(&headers).unwrap_err().code, "bad_secret_id");
        assert_eq!(
            secret_id(&HeaderMap::new(), Endpoint::Messages, None, b"{}").unwrap_err().code,
            "no_secret_id"
        );
    }

    #[test]
    fn the_engine_sees_few_headers() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer caller"),
            ("cookie", "c"),
            ("x-forwarded-for", "192.0.2.1"),
            ("privatemode-secret-id", "id"),
            ("accept", "text/event-stream"),
            ("content-type", "application/json; charset=utf-8"),
            ("x-request-id", "a b"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let kept = engine_headers(&headers, true);
        let mut names: Vec<_> = kept.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "content-type", "x-request-id"]);
        assert_eq!(kept["x-request-id"], "a?b");
    }

    #[test]
    fn paths_stay_in_their_place() {
        let path = |path| engine_path(Endpoint::Unstructured, path);
        assert_eq!(path("/unstructured/general/v0/general").as_deref(), Some("/general/v0/general"));
        for outside in [
            "/unstructured/../v1/x",
            "/unstructured/a/%2E%2e/x",
            "/unstructured/a%2f..%2Fx",
            "/unstructured/./a",
        ] {
            assert_eq!(path(outside), None, "{outside}");
        }
        assert_eq!(engine_path(Endpoint::Messages, "/anything").as_deref(), Some("/v1/messages"));
    }
}
