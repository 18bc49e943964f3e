//! What one event of a stream adds to the answer, where the engine does not say how many tokens that is.
//!
//! Lenient: what it does not know counts as one token, which is what engines put into an event.

use crate::json::{Array, Object, string_value};

/// Text beyond this for each token, in bytes, is more than one token in any language that models are billed in.
const BYTES: usize = 8;

/// The tokens that an event of any endpoint adds, about: one for each piece of an answer, more for long pieces. 0 for events
/// that add nothing, such as the first and the last ones.
pub(super) fn tokens(data: &[u8]) -> u64 {
    let Ok(event) = Object::parse(data) else { return 0 };
    let choices = event.get("choices").and_then(|choices| Array::parse(choices.raw).ok());
    let choices =
        choices.iter().flat_map(Array::elements).filter_map(|choice| Object::parse(choice.raw).ok());
    // `choices`: chat and completions; `delta`: messages, responses and transcriptions.
    choices
        .map(|choice| piece(&choice, &["delta", "text"]))
        .sum::<u64>()
        .saturating_add(piece(&event, &["delta"]))
}

/// The tokens of the first of these members that has any.
fn piece(of: &Object<'_>, members: &[&str]) -> u64 {
    members
        .iter()
        .filter_map(|name| of.get(name))
        .map(|member| text(member.raw))
        .find(|count| *count > 0)
        .unwrap_or(0)
}

/// A string, or an object with what was added.
fn text(raw: &[u8]) -> u64 {
    if let Some(text) = string_value(raw) {
        return of_length(text.len());
    }
    let Ok(delta) = Object::parse(raw) else { return 0 };
    // Not content: who speaks, and how the answer ends.
    let is_content = |name: &str| !matches!(name, "role" | "type" | "stop_reason" | "stop_sequence");
    let parts = delta.members().iter().filter(|member| is_content(&member.name));
    parts
        .map(|member| match (string_value(member.raw), member.raw) {
            (Some(text), _) => of_length(text.len()),
            (None, b"null" | b"[]" | b"{}") => 0,
            (None, _) => 1,
        })
        .sum()
}

fn of_length(bytes: usize) -> u64 {
    if bytes == 0 { 0 } else { bytes.div_euclid(BYTES).max(1) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_every_endpoint() {
        for (event, expected) in [
            (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, 0),
            (r#"{"choices":[{"delta":{"content":" word"},"finish_reason":null}]}"#, 1),
            (r#"{"choices":[{"delta":{"reasoning_content":"hm"}},{"delta":{"content":"a"}}]}"#, 2),
            (r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}"#, 1),
            (r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, 0),
            (r#"{"choices":[],"usage":{"completion_tokens":9}}"#, 0),
            (r#"{"choices":[{"text":" word"}]}"#, 1),
            (r#"{"choices":[{"text":"sixteen bytes  ."}]}"#, 2),
            (r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#, 1),
            (r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null}}"#, 0),
            (r#"{"type":"message_start","message":{"content":[]}}"#, 0),
            (r#"{"type":"response.output_text.delta","delta":"hi"}"#, 1),
            (r#"{"type":"response.output_text.done","text":"hi"}"#, 0),
            (r#"{"error":{"message":"no"}}"#, 0),
            ("[DONE]", 0),
        ] {
            assert_eq!(tokens(event.as_bytes()), expected, "{event}");
        }
    }
}
