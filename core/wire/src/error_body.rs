//! Error bodies in OpenAI's shape, unary and as an SSE event.
//!
//! Chooses no status code and no wording. protocol.md, section 2.

use crate::json::quote;

/// `{"error":{"message","type","param","code"}}`; absent `param` and `code` are `null`.
pub fn openai(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> String {
    let optional = |value: Option<&str>| value.map_or_else(|| "null".to_owned(), quote);
    format!(
        r#"{{"error":{{"message":{},"type":{},"param":{},"code":{}}}}}"#,
        quote(message),
        quote(kind),
        optional(param),
        optional(code)
    )
}

/// The same JSON as an SSE event named `error`, for callers that accept `text/event-stream`.
pub fn sse_error_event(json: &str) -> String {
    let mut event = String::from("event: error\n");
    for line in json.lines() {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shape() {
        let body = openai("no \"model\"\n", "invalid_request_error", Some("model"), None);
        assert_eq!(
            body,
            r#"{"error":{"message":"no \"model\"\n","type":"invalid_request_error","param":"model","code":null}}"#
        );
        serde_json::from_str::<serde_json::Value>(&body).unwrap();
        assert_eq!(sse_error_event("{}"), "event: error\ndata: {}\n\n");
    }
}
