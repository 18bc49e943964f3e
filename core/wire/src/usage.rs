//! Reads what a response reports about its cost from the members that stay plain.
//!
//! Works on sealed and on opened documents alike, and is lenient: what it cannot read counts as absent. The figures are the
//! worker's word through an untrusted gateway, good for metering only. protocol.md, section 3 (plain lists).

mod deltas;
mod document;
mod prompt;

pub use document::DocumentUsage;
pub use prompt::estimate_prompt;

use crate::json::Object;
use crate::sse::{Framer, SseError};

/// Tokens, seconds and bytes of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Both together.
    pub total_tokens: u64,
    /// Tokens of the prompt that came from the prefix cache.
    pub cached_tokens: u64,
    /// Seconds of audio, rounded up.
    pub audio_seconds: u64,
    /// Bytes of audio as they were uploaded, rounded up by the worker.
    pub audio_bytes: u64,
}

impl Usage {
    /// The larger of both for each figure: in a stream the counts only grow, and may be spread over events.
    #[must_use]
    pub fn merge(self, other: Usage) -> Usage {
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = other;
        let prompt_tokens = self.prompt_tokens.max(prompt_tokens);
        let completion_tokens = self.completion_tokens.max(completion_tokens);
        Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: self
                .total_tokens
                .max(total_tokens)
                .max(prompt_tokens.saturating_add(completion_tokens)),
            cached_tokens: self.cached_tokens.max(cached_tokens),
            audio_seconds: self.audio_seconds.max(audio_seconds),
            audio_bytes: self.audio_bytes.max(audio_bytes),
        }
    }
}

/// The usage of one JSON document: its top-level `usage` (OpenAI's or Anthropic's names) and `duration`. `None` if there is
/// neither, or the document is not an object.
pub fn parse(document: &[u8]) -> Option<Usage> {
    let object = Object::parse(document).ok()?;
    let duration = object.get("duration").and_then(|duration| number(duration.raw));
    let usage = object.get("usage").and_then(|usage| Object::parse(usage.raw).ok());
    if usage.is_none() && duration.is_none() {
        return None;
    }
    let mut result = usage.as_ref().map(of_member).unwrap_or_default();
    result.audio_seconds = result.audio_seconds.max(duration.unwrap_or(0));
    Some(result)
}

/// An event's own usage, or that of the answer within it: `response` of the Responses API, `message` of Anthropic's first
/// event. Only where the event is opened: sealed, both are strings.
fn of_event(data: &[u8]) -> Option<Usage> {
    let own = parse(data);
    let object = Object::parse(data).ok()?;
    let inner = ["response", "message"].iter().find_map(|name| parse(object.get(name)?.raw));
    match (own, inner) {
        (Some(own), Some(inner)) => Some(own.merge(inner)),
        (own, inner) => own.or(inner),
    }
}

fn of_member(usage: &Object<'_>) -> Usage {
    let figure = |name: &str| usage.get(name).and_then(|member| number(member.raw));
    let details = |name: &str| {
        let details = Object::parse(usage.get(name)?.raw).ok()?;
        number(details.get("cached_tokens")?.raw)
    };
    // Anthropic counts cached tokens beside `input_tokens`, OpenAI within `prompt_tokens`.
    let read = figure("cache_read_input_tokens").unwrap_or(0);
    let written = figure("cache_creation_input_tokens").unwrap_or(0);
    let input = || figure("input_tokens").map(|input| input.saturating_add(read).saturating_add(written));
    let prompt_tokens = figure("prompt_tokens").or_else(input).unwrap_or(0);
    let completion_tokens = figure("completion_tokens").or_else(|| figure("output_tokens")).unwrap_or(0);
    let cached = details("prompt_tokens_details").or_else(|| details("input_tokens_details")).unwrap_or(read);
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens: figure("total_tokens").unwrap_or(prompt_tokens.saturating_add(completion_tokens)),
        cached_tokens: cached,
        audio_seconds: figure("seconds").unwrap_or(0),
        audio_bytes: 0,
    }
}

/// A non-negative number, or a string that holds one (`duration` is either), rounded up.
fn number(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?.trim_matches('"');
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let value: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "range checked; `as` saturates"
    )]
    (value.is_finite() && value >= 0.0).then(|| value.ceil() as u64)
}

/// Collects the usage of an event stream, sealed or opened.
#[derive(Debug, Default)]
pub struct StreamUsage {
    framer: Framer,
    usage: Option<Usage>,
    /// About how many tokens have come so far, where that is counted.
    produced: Option<u64>,
}

impl StreamUsage {
    /// Nothing seen yet.
    pub fn new() -> StreamUsage {
        StreamUsage::default()
    }

    /// Nothing seen yet; counts what an opened stream adds to the answer, for [`StreamUsage::so_far`].
    pub fn counting() -> StreamUsage {
        StreamUsage { produced: Some(0), ..StreamUsage::default() }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), SseError> {
        let StreamUsage { framer, usage, produced } = self;
        framer.push(chunk, |event| {
            // Most events carry none; a search is cheaper than a parse.
            let data = event.data().unwrap_or_default();
            let may_have = |name: &str| memchr::memmem::find(&data, name.as_bytes()).is_some();
            let mut told = 0;
            if (may_have("usage") || may_have("duration"))
                && let Some(found) = of_event(&data)
            {
                told = found.completion_tokens;
                *usage = Some(usage.unwrap_or_default().merge(found));
            }
            if let Some(produced) = produced {
                // An engine that counts in every event counts better than we do.
                let added = if told == 0 { deltas::tokens(&data) } else { 0 };
                *produced = produced.saturating_add(added).max(told);
            }
            Ok(())
        })
    }

    /// What was reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// What an answer has cost that is given up here: what was reported, and what came without being reported, counted by its
    /// pieces. `prompt`: the prompt's tokens, for an engine that has not said them yet.
    pub fn so_far(&self, prompt: u64) -> Usage {
        let told = self.usage.unwrap_or_default();
        let prompt_tokens = if told.prompt_tokens == 0 { prompt } else { told.prompt_tokens };
        let completion_tokens = self.produced.unwrap_or(0);
        told.merge(Usage { prompt_tokens, completion_tokens, ..Usage::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai() {
        let document = br#"{"id":"1","choices":"sealed","usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,
            "prompt_tokens_details":{"cached_tokens":8}}}"#;
        let expected = Usage {
            prompt_tokens: 12,
            completion_tokens: 5,
            total_tokens: 17,
            cached_tokens: 8,
            ..Usage::default()
        };
        assert_eq!(parse(document), Some(expected));
        let responses =
            br#"{"usage":{"input_tokens":12,"output_tokens":5,"input_tokens_details":{"cached_tokens":8}}}"#;
        assert_eq!(parse(responses), Some(expected));
    }

    #[test]
    fn anthropic_counts_the_cache_beside() {
        let document =
            br#"{"type":"message","usage":{"input_tokens":4,"cache_read_input_tokens":8,"output_tokens":5}}"#;
        let expected = Usage {
            prompt_tokens: 12,
            completion_tokens: 5,
            total_tokens: 17,
            cached_tokens: 8,
            ..Usage::default()
        };
        assert_eq!(parse(document), Some(expected));
    }

    #[test]
    fn audio() {
        let seconds = |document: &str| parse(document.as_bytes()).unwrap().audio_seconds;
        assert_eq!(seconds(r#"{"usage":{"type":"duration","seconds":12}}"#), 12);
        assert_eq!(seconds(r#"{"duration":"3.2"}"#), 4);
        assert_eq!(seconds(r#"{"duration":3.0,"usage":null}"#), 3);
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(parse(b"[]"), None);
        assert_eq!(parse(b"{\"usage\":null}"), None);
        assert_eq!(parse(b"not json"), None);
        assert_eq!(
            parse(br#"{"usage":{"prompt_tokens":-1,"completion_tokens":"x","total_tokens":1e400}}"#),
            Some(Usage::default())
        );
    }

    #[test]
    fn the_answer_within_an_event_counts() {
        let mut stream = StreamUsage::new();
        for event in [
            r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
            r#"{"type":"message_delta","usage":{"output_tokens":3}}"#,
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":4}}}"#,
            r#"{"response":"usage sealed"}"#,
        ] {
            stream.push(format!("data: {event}\n\n").as_bytes()).unwrap();
        }
        let expected = Usage { prompt_tokens: 5, completion_tokens: 4, total_tokens: 9, ..Usage::default() };
        assert_eq!(stream.usage(), Some(expected));
    }

    #[test]
    fn what_an_abandoned_stream_has_cost() {
        let so_far = |events: &[&str]| {
            let mut stream = StreamUsage::counting();
            for event in events {
                stream.push(format!("data: {event}\n\n").as_bytes()).unwrap();
            }
            let Usage { prompt_tokens, completion_tokens, total_tokens, .. } = stream.so_far(40);
            assert_eq!(total_tokens, prompt_tokens + completion_tokens);
            (prompt_tokens, completion_tokens)
        };
        let word = r#"{"choices":[{"delta":{"content":"word"}}],"usage":null}"#;
        let told =
            r#"{"choices":[{"delta":{"content":"word"}}],"usage":{"prompt_tokens":7,"completion_tokens":5}}"#;
        let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#;
        let delta = r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"hi"}}"#;
        assert_eq!(so_far(&[]), (40, 0));
        assert_eq!(so_far(&[word, word]), (40, 2));
        assert_eq!(so_far(&[word, told]), (7, 5), "the engine's own word");
        assert_eq!(so_far(&[told, word, word]), (7, 7), "and what came since");
        assert_eq!(so_far(&[start, delta, delta]), (5, 3));
    }

    #[test]
    fn a_stream_keeps_the_largest() {
        let mut stream = StreamUsage::new();
        for chunk in [
            "data: {\"usage\":{\"prompt_tokens\":3,\"comp",
            "letion_tokens\":1}}\n\ndata: {\"usage\":null}\n\n",
            "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        ] {
            stream.push(chunk.as_bytes()).unwrap();
        }
        let expected = Usage { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5, ..Usage::default() };
        assert_eq!(stream.usage(), Some(expected));
    }
}
