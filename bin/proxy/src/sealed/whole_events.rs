//! Events are passed on whole: behind half of one, an error event would be part of its data. And a whole stream has its end
//! mark: the seal shows what the worker got, not that an engine said all it had to say.

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use privatemode_wire::{
    Endpoint,
    json::Object,
    sse::{Event, EventEnds, Framer, SseError},
};

/// An event that is longer is passed on as it comes; only its beginning is looked into.
const MAX_TAIL: usize = 1 << 20;

/// Holds back the beginning of an event, and notes the end mark. Looks at each byte a fixed number of times, however the
/// stream is cut.
pub(super) struct WholeEvents {
    endpoint: Endpoint,
    ends: EventEnds,
    tail: BytesMut,
    /// The rest of an event that is too long to be held.
    passing: bool,
    ended: bool,
    /// Bytes that were searched.
    searched: u64,
}

impl WholeEvents {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let (ends, tail) = (EventEnds::new(), BytesMut::new());
        Self { endpoint, ends, tail, passing: false, ended: false, searched: 0 }
    }

    /// What can be passed on with `data`; may be empty.
    pub(super) fn push(&mut self, data: Bytes) -> Bytes {
        self.searched += data.len() as u64;
        // A CR at the very end may be half of a line end: what it ends waits for what comes next.
        let end = self.ends.push(&data).filter(|end| *end < data.len() || !data.ends_with(b"\r"));
        if std::mem::take(&mut self.passing) {
            return self.pass(data, end);
        }
        let Some(end) = end else {
            self.tail.extend_from_slice(&data);
            return if self.tail.len() > MAX_TAIL { self.begin_long() } else { Bytes::new() };
        };
        let events = if self.tail.is_empty() && end == data.len() {
            data
        } else {
            let (last, next) = data.split_at(end);
            self.tail.extend_from_slice(last);
            let events = self.tail.split().freeze();
            self.tail.extend_from_slice(next);
            events
        };
        self.note_end(&events);
        events
    }

    /// What is left at the end of a stream; `None` if its end mark was missing.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        // A last event without its blank line is one all the same.
        let closed = [&self.tail[..], b"\n\n"].concat();
        self.note_end(&closed);
        self.ended.then(|| self.tail.split().freeze())
    }

    /// More of a long event, and what follows it.
    fn pass(&mut self, data: Bytes, end: Option<usize>) -> Bytes {
        let Some(end) = end else {
            self.passing = true;
            return data;
        };
        // The first end in `data` is the long event's; with whole events behind it they are searched together.
        self.note_end(data.get(..end).unwrap_or_default());
        let passed = data.slice(..end);
        self.tail.extend_from_slice(data.get(end..).unwrap_or_default());
        passed
    }

    /// Gives up holding an event. A whole answer may come as one, behind its last words: what it is stands in front.
    fn begin_long(&mut self) -> Bytes {
        self.passing = true;
        let beginning = self.tail.split().freeze();
        self.searched += beginning.len() as u64;
        self.ended |= begins_the_end(self.endpoint, &beginning);
        beginning
    }

    fn note_end(&mut self, events: &[u8]) {
        if !self.ended {
            self.searched += events.len() as u64;
            self.ended = has_end(self.endpoint, events);
        }
    }
}

/// As in [`privatemode_wire::message`]: `message_stop`, `response.completed` and its like, `[DONE]` for all others; an error
/// that the engine reports ends a stream in good order, too.
fn marks(endpoint: Endpoint) -> &'static [&'static str] {
    match endpoint {
        Endpoint::Messages => &["message_stop", "error"],
        Endpoint::Responses => &["response.completed", "response.failed", "response.incomplete", "error"],
        _ => &["[DONE]", "error"],
    }
}

fn is_typed(endpoint: Endpoint) -> bool {
    matches!(endpoint, Endpoint::Messages | Endpoint::Responses)
}

fn has_end(endpoint: Endpoint, events: &[u8]) -> bool {
    let marks = marks(endpoint);
    // Most events have none of the words; a search is cheaper than a parse.
    if !marks.iter().any(|mark| memmem::find(events, mark.as_bytes()).is_some()) {
        return false;
    }
    let mut ended = false;
    let framed: Result<(), SseError> = Framer::new().push(events, |event| {
        ended |= (!is_typed(endpoint) && event.is_done()) || is_last(&event, marks);
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

/// Whether the event that begins so is the last one, by its `event:` line or by the `type` that its data begins with.
fn begins_the_end(endpoint: Endpoint, beginning: &[u8]) -> bool {
    let mut last = false;
    let closed = [beginning, b"\n\n"].concat();
    let framed: Result<(), SseError> = Framer::new().push(&closed, |event| {
        let data = event.data().unwrap_or_default();
        let named = event.name().is_some_and(|name| marks(endpoint).contains(&&*name));
        last |= is_typed(endpoint)
            && (named || first_type(&data).is_some_and(|kind| marks(endpoint).contains(&kind)));
        Ok(())
    });
    framed.is_ok() && last
}

/// The value of `type` where it is the first member.
fn first_type(data: &[u8]) -> Option<&str> {
    let data = data.trim_ascii_start().strip_prefix(b"{")?;
    let data = data.trim_ascii_start().strip_prefix(b"\"type\"")?;
    let data = data.trim_ascii_start().strip_prefix(b":")?;
    let data = data.trim_ascii_start().strip_prefix(b"\"")?;
    std::str::from_utf8(data.split(|b| *b == b'"').next()?).ok()
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

    #[test]
    fn a_line_end_that_is_cut_in_two_is_one() {
        let mut events = WholeEvents::new(Endpoint::ChatCompletions);
        let mut push = |text: &'static str| events.push(Bytes::from_static(text.as_bytes()));
        assert_eq!(push("data: 1\r\r"), "", "a LF may follow");
        assert_eq!(push("data: 2\r\rdata"), "data: 1\r\rdata: 2\r\r");
    }

    /// A long event is no end mark by itself, and hides none behind it.
    #[test]
    fn long_events_do_not_end_a_stream() {
        let long = |kind: &str| {
            let text = format!("data: {{\"type\":\"{kind}\",\"x\":\"{}\"}}\n\n", "y".repeat(2 * MAX_TAIL));
            Bytes::from(text)
        };
        let whole = |endpoint, parts: &[Bytes]| {
            let mut events = WholeEvents::new(endpoint);
            let mut passed = Vec::new();
            for part in parts {
                for piece in part.chunks(1000) {
                    passed.extend_from_slice(&events.push(Bytes::copy_from_slice(piece)));
                }
            }
            let ended = events.finish();
            passed.extend_from_slice(&ended.clone().unwrap_or_default());
            assert!(ended.is_none() || passed == parts.concat(), "every byte goes on");
            ended.is_some()
        };
        let done = Bytes::from_static(b"data: [DONE]\n\n");
        assert!(!whole(Endpoint::ChatCompletions, &[long("x")]));
        assert!(whole(Endpoint::ChatCompletions, &[long("x"), done.clone()]));
        assert!(!whole(Endpoint::Responses, &[long("response.output_text.done"), done]));
        assert!(whole(Endpoint::Responses, &[long("response.completed")]), "it holds the whole answer");
        let named =
            format!("event: response.completed\ndata: {{\"x\":\"{}\"}}\n\n", "y".repeat(2 * MAX_TAIL));
        assert!(whole(Endpoint::Responses, &[named.into()]));
        let quoted = format!("data: {{\"x\":\"response.completed {}\"}}\n\n", "y".repeat(2 * MAX_TAIL));
        assert!(!whole(Endpoint::Responses, &[quoted.into()]), "the model's words");
    }

    /// However small the pieces are: the work grows with the stream, not with its square.
    #[test]
    fn each_byte_is_searched_a_few_times() {
        for length in [MAX_TAIL - 100, 2 * MAX_TAIL] {
            let mut events = WholeEvents::new(Endpoint::Messages);
            let event = format!("data: {}\n\n", "y".repeat(length));
            for piece in event.as_bytes().chunks(16) {
                events.push(Bytes::copy_from_slice(piece));
            }
            assert!(events.searched <= 3 * event.len() as u64, "{} of {}", events.searched, event.len());
        }
    }
}
