//! `GET /privatemode/v2/manifest.json`: the manifest, byte for byte. Public: clients compare what they attest with it, and
//! whoever changes it here only makes them refuse.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use privatemode_service::{BoxBody, body};
use sha2::{Digest, Sha256};

pub(crate) struct ServedManifest {
    raw: Bytes,
    etag: HeaderValue,
}

impl ServedManifest {
    pub(crate) fn new(raw: impl Into<Bytes>) -> ServedManifest {
        let raw = raw.into();
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&raw)));
        ServedManifest { raw, etag: HeaderValue::from_str(&etag).expect("hex in quotes is a header value") }
    }

    pub(crate) fn answer(&self, request: &HeaderMap) -> Response<BoxBody> {
        let unchanged = self.is_known_to(request);
        let mut response =
            Response::new(if unchanged { body::empty() } else { body::full(self.raw.clone()) });
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }

    fn is_known_to(&self, request: &HeaderMap) -> bool {
        let tags = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let own = self.etag.to_str().unwrap_or_default();
        tags.flat_map(|value| value.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
        })
    }
}
