//! Finds media in content parts. An engine that fetches URLs could be sent to `file:` or `http://169.254…` from within
//! the worker, so only `https:` and `data:` pass, and kinds that we cannot check do not pass at all.

use super::AdmitError;
use crate::json::{Document, Object, string_value};

/// Content within tool results within messages …: real requests need three.
const MAX_NESTING: usize = 8;

/// Checks the content parts of all messages. Arguments of tool calls are free text or free objects and not looked at.
pub(super) fn check(request: &Object<'_>) -> Result<(), AdmitError> {
    // Work list instead of recursion; each entry is a raw value at a place where content parts may stand.
    let mut open: Vec<(&[u8], usize)> = Vec::new();
    for name in ["messages", "input", "system", "prompt"] {
        if let Some(member) = request.get(name) {
            open.push((member.raw, 0));
        }
    }
    while let Some((raw, depth)) = open.pop() {
        // Strings, numbers and literals hold no parts.
        if !matches!(raw.first(), Some(b'{' | b'[')) {
            continue;
        }
        if depth > MAX_NESTING {
            return Err(AdmitError::TooDeep);
        }
        match Document::parse(raw).map_err(AdmitError::Json)? {
            Document::Array(array) => {
                open.extend(array.elements().iter().map(|element| (element.raw, depth + 1)));
            }
            Document::Object(part) => {
                check_part(&part)?;
                // Messages and tool results keep parts in `content`, function results of responses in `output`, documents
                // of Anthropic's in `source`.
                let inner = ["content", "output", "source"].into_iter().filter_map(|name| part.get(name));
                open.extend(inner.map(|member| (member.raw, depth + 1)));
            }
        }
    }
    Ok(())
}

fn check_part(part: &Object<'_>) -> Result<(), AdmitError> {
    for kind in ["audio_url", "video_url"] {
        if part.get(kind).is_some() || part.string("type").as_deref() == Some(kind) {
            return Err(AdmitError::MediaKind { member: kind });
        }
    }
    // `image_url`: chat and responses; `file_url`: responses; `source`: messages.
    for member in ["image_url", "file_url"] {
        if let Some(value) = part.get(member) {
            check_url(member, value.raw, true)?;
        }
    }
    match part.get("source") {
        Some(source) => check_url("source", source.raw, false),
        None => Ok(()),
    }
}

/// A URL, an object with the member `url`, or null. Where `required`, nothing else.
fn check_url(member: &'static str, raw: &[u8], required: bool) -> Result<(), AdmitError> {
    let shape = || if required { Err(AdmitError::MediaShape { member }) } else { Ok(()) };
    if raw == b"null" {
        return Ok(());
    }
    if let Some(url) = string_value(raw) {
        return if is_allowed(&url) { Ok(()) } else { Err(AdmitError::MediaUrl { member }) };
    }
    if raw.first() != Some(&b'{') {
        return shape();
    }
    let object = Object::parse(raw).map_err(AdmitError::Json)?;
    match object.get("url").map(|url| string_value(url.raw)) {
        Some(Some(url)) if is_allowed(&url) => Ok(()),
        Some(Some(_)) => Err(AdmitError::MediaUrl { member }),
        Some(None) => Err(AdmitError::MediaShape { member }),
        None => shape(),
    }
}

/// By prefix and without trimming: whatever a lenient URL parser makes of leading blanks does not pass.
fn is_allowed(url: &str) -> bool {
    let begins =
        |scheme: &str| url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("https:") || begins("data:")
}
