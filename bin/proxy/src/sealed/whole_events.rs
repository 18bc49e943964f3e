//! Events are passed on whole: behind half of one, an error event would be part of its data. And a whole stream has its end
//! mark: the seal shows what the worker got, not that an engine said all it had to say.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use privatemode_wire::{
    Endpoint,
    json::Object,
    sse::{Event, Framer, SseError},
};

/// An event that is longer is passed on as it comes, and not looked into.
const MAX_TAIL: usize = 1 << 20;

/// Holds back the beginning of an event, and notes the end mark.
pub(super) struct WholeEvents {
    endpoint: Endpoint,
    tail: BytesMut,
    ended: bool,
}

impl WholeEvents {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, tail: BytesMut::new(), ended: false }
    }

    /// What can be passed on with `data`; may be empty.
    pub(super) fn push(&mut self, data: Bytes) -> Bytes {
        let events = if self.tail.is_empty() && end_of_events(&data) == data.len() {
            data
        } else {
            self.tail.extend_from_slice(&data);
            let long = self.tail.len() > MAX_TAIL;
            self.ended |= long;
            let end = if long { self.tail.len() } else { end_of_events(&self.tail) };
            self.tail.split_to(end).freeze()
        };
        self.ended = self.ended || has_end(self.endpoint, &events);
        events
    }

    /// What is left at the end of a stream; `None` if its end mark was missing.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        // A last event without its blank line is one all the same.
        let closed = [&self.tail[..], b"\n\n"].concat();
        let ended = self.ended || has_end(self.endpoint, &closed);
        ended.then(|| self.tail.split().freeze())
    }
}

/// Behind the last blank line.
fn end_of_events(data: &[u8]) -> usize {
    let ends = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"];
    let end = |mark: &&[u8]| memmem::rfind(data, mark).map_or(0, |at| at + mark.len());
    ends.iter().map(end).max().unwrap_or(0)
}

/// As in [`privatemode_wire::message`]: `message_stop`, `response.completed` and its like, `[DONE]` for all others; an error
/// that the engine reports ends a stream in good order, too.
fn has_end(endpoint: Endpoint, events: &[u8]) -> bool {
    let marks: &[&str] = match endpoint {
        Endpoint::Messages => &["message_stop", "error"],
        Endpoint::Responses => &["response.completed", "response.failed", "response.incomplete", "error"],
        _ => &["[DONE]", "error"],
    };
    // Most events have none of the words; a search is cheaper than a parse.
    if !marks.iter().any(|mark| memmem::find(events, mark.as_bytes()).is_some()) {
        return false;
    }
    let typed = matches!(endpoint, Endpoint::Messages | Endpoint::Responses);
    let mut ended = false;
    let framed: Result<(), SseError> = Framer::new().push(events, |event| {
        ended |= (!typed && event.is_done()) || is_last(&event, marks);
        Ok(())
    });
    // What cannot be framed is not ours to refuse: the worker vouches for the bytes.
    ended || framed.is_err()
}

fn is_last(event: &Event<'_>, kinds: &[&str]) -> bool {
    let data = event.data().unwrap_or_default();
    let Ok(object) = Object::parse(&data) else { return false };
    let kind = object.string("type").unwrap_or_default();
    kinds.contains(&&*kind) || object.get("error").is_some_and(|error| error.raw != b"null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_events_pass() {
        let mut events = WholeEvents::new(Endpoint::ChatCompletions);
        let mut push = |text: &'static str| events.push(Bytes::from_static(text.as_bytes()));
        assert_eq!(push("data: 1\n\n"), "data: 1\n\n");
        assert_eq!(push("data: 2\n\ndata"), "data: 2\n\n");
        assert_eq!(push(": 3\r\n\r"), "");
        assert_eq!(push("\ndata: [DONE]"), "data: 3\r\n\r\n");
        assert_eq!(events.finish().unwrap(), "data: [DONE]");
    }

    #[test]
    fn a_long_event_is_not_held() {
        let mut events = WholeEvents::new(Endpoint::ChatCompletions);
        let long = Bytes::from(vec![b'x'; MAX_TAIL + 1]);
        assert_eq!(events.push(long.clone()), long);
    }

    #[test]
    fn each_endpoint_has_its_end() {
        let whole = |endpoint, text: &'static str| {
            let mut events = WholeEvents::new(endpoint);
            events.push(Bytes::from_static(text.as_bytes()));
            events.finish().is_some()
        };
        assert!(whole(Endpoint::ChatCompletions, "data: [DONE]\n\n"));
        assert!(!whole(Endpoint::ChatCompletions, "data: {\"text\":\"[DONE]\"}\n\n"), "the model's words");
        assert!(!whole(Endpoint::ChatCompletions, ""));
        assert!(whole(Endpoint::Messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
        assert!(!whole(Endpoint::Messages, "data: [DONE]\n\n"));
        assert!(whole(Endpoint::Responses, "data: {\"type\":\"response.incomplete\"}\n\n"));
        assert!(!whole(Endpoint::Responses, "data: {\"type\":\"response.created\"}\n\n"));
        assert!(whole(Endpoint::Completions, "data: {\"error\":{\"message\":\"no\"}}\n\n"), "told is told");
        assert!(!whole(Endpoint::Completions, "data: {\"error\":null}\n\n"));
    }
}
