//! About how many tokens a request's prompt has, for requests that were given up before the engine has said it.

use memchr::memmem;

/// As everywhere in the protocol, a token counts as 4 bytes (protocol.md, section 7).
const BYTES_PER_TOKEN: usize = 4;
/// What of a body's length is no prompt: pictures and files within it, which engines count by other measures.
const DATA_URL: &[u8] = b"\"data:";

/// The tokens of a JSON body, by its length without `data:` URLs. Linear, and never fails.
pub fn estimate_prompt(body: &[u8]) -> u64 {
    let mut text = body.len();
    let mut rest = body;
    while let Some(at) = memmem::find(rest, DATA_URL) {
        let url = rest.get(at.saturating_add(1)..).unwrap_or_default();
        // Base64 has no quotes and no escapes.
        let length = memchr::memchr(b'"', url).unwrap_or(url.len());
        text = text.saturating_sub(length);
        rest = url.get(length..).unwrap_or_default();
    }
    text.div_ceil(BYTES_PER_TOKEN) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_no_text() {
        assert_eq!(estimate_prompt(b""), 0);
        assert_eq!(estimate_prompt(b"{\"prompt\":\"12345\"}"), 5);
        let with = |url: &str| format!(r#"{{"messages":[{{"url":"{url}"}},{{"url":"{url}"}}]}}"#);
        let url = format!("data:image/png;base64,{}", "A".repeat(1 << 20));
        assert_eq!(estimate_prompt(with(&url).as_bytes()), estimate_prompt(with("").as_bytes()));
        assert_eq!(estimate_prompt(b"\"data:cut"), 1);
    }
}
